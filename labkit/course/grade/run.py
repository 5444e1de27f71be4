"""`labkit grade run`: executes what is prepared and not yet run, several at a time, on this machine or on more.

Each submission is a task from folder to folder that leaves outcome.json as its last act, whole or not at all. So a
run that was killed, or one of whose workers was, does on the next start only what is missing. No worker opens a
database.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labkit.course.grade.exercises import exercises, state_of_checks
from labkit.course.grade.layout import Place
from labkit.course.grade.limited import Overrun, run_limited
from labkit.course.grade.sandbox.kernels import NONE, Kernel
from labkit.course.grade.sandbox.limits import WALL_FACTOR, Limits
from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import read_json, sha256, write_text
from labkit.scheduler import connect

OUTCOME = "outcome.json"
SECRET = ".grading-salt"
RETRIES = 2  # of a submission whose worker died, or stopped with an error
PATIENCE = 600.0  # beyond all limits of a submission, for the start and end of its kernel


@dataclass(frozen=True)
class Task:
    """One submission to execute; everything that a worker needs, on whichever machine."""

    submission: Path
    out: Path
    lab: Lab
    kernel: Kernel
    limits: Limits
    salt: int
    alone: bool = False
    state: str = ""  # of the instructor's notebook and its checks


def run_submissions(
    place: Place,
    *,
    jobs: int = 2,
    scheduler: str | None = None,
    unsafe: bool = False,
    container: bool = False,
    limits: Limits | None = None,
    student: str = "",
) -> list[dict[str, Any]]:
    """Execute every prepared submission of a lab that has no outcome yet; the outcomes of all, by student.

    An outcome from before the notebook or a check was corrected counts as none. What the load of the machine may have
    stopped is run once more, alone.

    Args:
        place: with a scheduler all workers must see the course's folder under the same path.
        scheduler: address of a dask.distributed scheduler; then its workers do the work.
        student: run this one alone, also where there is an outcome, and within `limits` as they are: where there are
            more, a cell may compute a few times what the dearest of the course's own notebook does, see
            `Limits.beside`.

    Raises LabkitError: there is nothing prepared, or not of that student, no sandbox, the scheduler cannot be
        reached, or the course's own notebook fails in the sandbox.
    """
    place = replace(place, course=Path(os.path.realpath(place.course)))
    lab = place.lab
    lab = replace(lab, path=place.source if place.source.is_file() else lab.path.resolve())
    exercises(lab.path)  # a fault in the source is found before anything runs
    if not (prepared := place.students()):
        raise LabkitError(
            f"{place.course}: nothing of lab {lab.number} is prepared; run `labkit grade prepare` first."
        )
    if student:
        prepared = [each for each in prepared if each.student == student]
        if not prepared:
            raise LabkitError(f"{student}: has nothing prepared for lab {lab.number}; see `labkit grade prepare`.")
        (prepared[0].folder("executed") / OUTCOME).unlink(missing_ok=True)
    kernel, state = choose_kernel(unsafe=unsafe, container=container), state_of_checks(lab.path)
    tasks = [
        Task(
            each.folder("submitted"),
            each.folder("executed"),
            lab,
            kernel,
            limits or Limits(),
            _salt(each),
            alone=bool(student),
            state=state,
        )
        for each in prepared
    ]
    if missing := [task for task in tasks if finished(task) is None]:
        _on_dask(missing, scheduler) if scheduler else _on_this_machine(missing, jobs)
    return [outcome for task in tasks if (outcome := finished(task)) is not None]


def choose_kernel(*, unsafe: bool = False, container: bool = False) -> Kernel:
    """The kernel that submissions run in: sandboxed unless `unsafe`, for a smoke run without network.

    Raises LabkitError: there is no sandbox here; says how to get one.
    """
    environment = {
        "LABKIT_PROFILE": "smoke",
        "LABKIT_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    readable: tuple[Path, ...] = ()
    if (cache := os.environ.get("LABKIT_CACHE")) and os.path.isdir(cache):
        environment["LABKIT_CACHE"] = str(Path(cache).resolve())
        readable = (Path(cache).resolve(),)
    if unsafe:
        return Kernel(NONE, (), environment)
    if container:
        from labkit.course.grade.sandbox.container import require_container

        return Kernel(require_container(), readable, environment)
    from labkit.course.grade.sandbox.sandbox import require_sandbox

    require_sandbox()
    return Kernel("bubblewrap", readable, environment)


def finished(task: Task) -> dict[str, Any] | None:
    """A task's outcome, if it is of the notebook that is there now and nothing but the notebook decided it."""
    outcome = read_json(task.out / OUTCOME)
    notebook = task.submission / task.lab.path.name
    now = sha256(notebook) if notebook.is_file() else ""
    if not isinstance(outcome, dict) or not {"student", "status", "reason"} <= outcome.keys():
        return None
    if outcome.get("notebook_sha256") != now or outcome.get("again"):
        return None
    if outcome.get("checks") not in (None, task.state):
        return None
    return outcome


def do(task: Task) -> None:
    """Execute a task in this process; what was done meanwhile is not done again."""
    import torch

    from labkit.course.grade.execute import execute

    torch.set_num_threads(1)  # each task has a core of its own
    if finished(task) is None:
        settings = {"kernel": task.kernel, "limits": task.limits, "salt": task.salt, "alone": task.alone}
        execute(task.submission, task.out, task.lab, state=task.state, **settings)


def _probe(task: Task) -> tuple[float, float]:
    from labkit.course.grade.execute import probe

    return probe(task.lab, task.kernel, task.limits)


def _try_own(task: Task) -> tuple[float, float]:
    """The probe, in a process of its own like every submission; a killed one is no verdict, so it is tried again."""
    for left in reversed(range(1 + RETRIES)):
        try:
            return run_limited(_probe, task, cpu_seconds=None, wall_seconds=_wall(task))
        except Overrun as ended:
            if not left:
                raise LabkitError(
                    f"{task.lab.path}: could not be tried where submissions run ({ended}), so nobody was graded; "
                    "give this machine more memory or less other work, and run the command again."
                ) from None


def _beside(tasks: Sequence[Task], own: tuple[float, float]) -> list[Task]:
    return [each if each.alone else replace(each, limits=each.limits.beside(*own)) for each in tasks]


def _limited(task: Task) -> None:
    """A task in a process of its own, so that nothing it meets reaches another."""
    run_limited(do, task, cpu_seconds=None, wall_seconds=_wall(task))


def _wall(task: Task) -> float:
    return WALL_FACTOR * task.limits.notebook_seconds + PATIENCE


def _on_this_machine(tasks: Sequence[Task], jobs: int) -> None:
    """Several at a time; what ended without an outcome, or by the clock, is tried again alone before that counts."""
    tasks = _beside(tasks, _try_own(tasks[0]))
    certain: dict[Path, str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_limited, task): task for task in tasks}
        try:
            for done in as_completed(waiting):
                if said := _say(waiting[done], done):
                    certain[waiting[done].out] = said
        finally:
            for each in waiting:
                each.cancel()
    for task in tasks:
        said = certain.get(task.out, "")
        for _ in range(RETRIES):
            if not said and finished(task) is None:
                with ThreadPoolExecutor(1) as pool:
                    said = _say(task, pool.submit(_limited, replace(task, alone=True)))
        if finished(task) is None:
            _give_up(task, said)


def _say(task: Task, done: Future) -> str:
    """Print how a task ended; why it need not be tried again, or "". An instructor's error alone stops the others."""
    error = done.exception()
    if isinstance(error, LabkitError):
        raise error
    said = f": stopped with {repr(error)[:200]}" if error else ""
    print(f"{task.submission.parent.name}{said}", flush=True)
    return str(error) if isinstance(error, Overrun) and error.certain else ""


def _on_dask(tasks: Sequence[Task], scheduler: str) -> None:
    from distributed import as_completed

    with connect(scheduler) as client:
        tasks = _beside(tasks, client.submit(_try_own, tasks[0], pure=False).result())
        waiting = {client.submit(_limited, task, pure=False, retries=RETRIES): task for task in tasks}
        for done in as_completed(waiting, loop=client.loop):
            _say(waiting[done], done)
        for task in tasks:  # one at a time, so that nothing but the notebook decides
            if finished(task) is None:
                _say(task, client.submit(_limited, replace(task, alone=True), pure=False, retries=RETRIES))
    for task in tasks:
        if finished(task) is None:
            _give_up(task)


def _give_up(task: Task, why: str = "") -> None:
    """Leave an outcome for a submission whose workers died: what was asked before keeps its result."""
    from labkit.course.grade.execute import PROGRESS, Result, leave_outcome

    why = (
        f"grading it was ended ({why})"
        if why
        else "the worker that graded it died or stopped with an error each time"
    )
    result = Result("refused", f"{why}; look at it by hand.", checks=task.state)
    progress = read_json(task.out / PROGRESS)
    if isinstance(progress, dict) and isinstance(progress.get("exercises"), dict):
        result = Result("kernel died", result.reason, progress["exercises"], checks=task.state)
    leave_outcome(task.submission, task.out, task.lab, task.kernel, result, 0.0)


def _salt(place: Place) -> int:
    """Of a submission's hidden inputs: the same at each run of this notebook, others for any other.

    So what a submission tells its student of its inputs is of no use for the next. Nobody knows it who cannot read
    the course's secret.
    """
    path, notebook = place.course / SECRET, place.notebook("submitted")
    if not path.is_file():
        write_text(path, secrets.token_hex(32))
        path.chmod(0o600)
    content = sha256(notebook) if notebook.is_file() else ""
    text = f"{path.read_text(encoding='utf-8', errors='replace')}/{notebook.relative_to(place.course)}/{content}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") + 1
