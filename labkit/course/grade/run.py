"""`labkit grade run`: executes what is prepared and not yet run, several at a time, on this machine or on more.

Each submission is a task from folder to folder that leaves outcome.json as its last act, whole or not at all. So a
run that was killed, or one of whose workers was, does on the next start only what is missing. No worker opens a
database.
"""

import ctypes
import hashlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from labkit.course.grade.exercises import exercises
from labkit.course.grade.layout import source_path, student_folder, students
from labkit.course.grade.sandbox.kernels import NONE, Kernel
from labkit.course.grade.sandbox.limits import Limits
from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import sha256, write_json, write_text

OUTCOME = "outcome.json"
SECRET = ".grading-salt"
RETRIES = 2  # of a submission whose worker died, or stopped with an error


@dataclass(frozen=True)
class Task:
    """One submission to execute; everything that a worker needs, on whichever machine."""

    submission: Path
    out: Path
    lab: Lab
    kernel: Kernel
    limits: Limits
    salt: int


def run_submissions(
    course: Path,
    lab: Lab,
    *,
    jobs: int = 2,
    scheduler: str | None = None,
    unsafe: bool = False,
    container: bool = False,
    limits: Limits | None = None,
) -> list[dict[str, Any]]:
    """Execute every prepared submission of a lab that has no outcome yet; the outcomes of all, by student.

    Args:
        course: its folder; with a scheduler all workers must see it under the same path.
        lab: the lab.
        jobs: how many at a time on this machine.
        scheduler: address of a dask.distributed scheduler; then its workers do the work.
        unsafe: run student code without a sandbox.
        container: run it in podman or docker instead of under bubblewrap.
        limits: what one submission may take.

    Raises:
        LabkitError: there is nothing prepared, no sandbox, or the scheduler cannot be reached.
    """
    course = Path(course).resolve()
    source = source_path(course, lab)
    lab = replace(lab, path=source if source.is_file() else lab.path.resolve())
    exercises(lab.path)  # a fault in the source is found before anything runs
    names = list(students(course, lab))
    if not names:
        raise LabkitError(f"{course}: nothing of lab {lab.number} is prepared; run `labkit grade prepare` first.")
    kernel = choose_kernel(unsafe=unsafe, container=container)
    tasks = [
        Task(
            student_folder(course, "submitted", name, lab),
            student_folder(course, "executed", name, lab),
            lab,
            kernel,
            limits or Limits(),
            _salt(course, student_folder(course, "submitted", name, lab) / lab.path.name),
        )
        for name in names
    ]
    missing = [task for task in tasks if finished(task) is None]
    if missing:
        _on_dask(missing, scheduler) if scheduler else _on_this_machine(missing, jobs)
    return [outcome for task in tasks if (outcome := finished(task)) is not None]


def choose_kernel(*, unsafe: bool = False, container: bool = False) -> Kernel:
    """The kernel that submissions run in: sandboxed unless `unsafe`, for a smoke run without network.

    Raises:
        LabkitError: there is no sandbox here; says how to get one.
    """
    environment = {
        "LABKIT_PROFILE": "smoke",
        "LABKIT_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    readable: tuple[Path, ...] = ()
    if cache := os.environ.get("LABKIT_CACHE"):
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
    """A task's outcome, if it is of the notebook that is there now."""
    try:
        outcome = json.loads((task.out / OUTCOME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    notebook = task.submission / task.lab.path.name
    now = sha256(notebook) if notebook.is_file() else ""
    return outcome if isinstance(outcome, dict) and outcome.get("notebook_sha256") == now else None


def do(task: Task) -> None:
    """Execute a task in this process; what was done meanwhile is not done again."""
    from labkit.course.grade.execute import execute

    if finished(task) is None:
        execute(task.submission, task.out, task.lab, kernel=task.kernel, limits=task.limits, salt=task.salt)


def _on_this_machine(tasks: Sequence[Task], jobs: int) -> None:
    """Worker processes; where one dies the others' work is kept, and what is left is tried again, at last alone."""
    _work_on(tasks, jobs)
    left = [task for task in tasks if finished(task) is None]
    _work_on(left, jobs)
    for task in left:
        if finished(task) is None:
            _work_on([task], 1)
        if finished(task) is None:
            _give_up(task)


def _work_on(tasks: Sequence[Task], jobs: int) -> None:
    """Do tasks and print their students, until all are done or a worker dies."""
    if not tasks:
        return
    settings = {"mp_context": get_context("spawn"), "initializer": _end_with, "initargs": (os.getpid(),)}
    with ProcessPoolExecutor(max(1, min(jobs, len(tasks))), **settings) as pool:
        waiting = {pool.submit(do, task): task for task in tasks}
        try:
            for done in as_completed(waiting):
                _say(waiting[done], done.exception())
        except BrokenProcessPool:
            return
        finally:
            for each in waiting:
                each.cancel()


def _say(task: Task, error: BaseException | None) -> None:
    """Print how a task ended; an error that is not the instructor's stops no other."""
    if isinstance(error, LabkitError | BrokenProcessPool):
        raise error
    said = f": stopped with {repr(error)[:200]}" if error else ""
    print(f"{task.submission.parent.name}{said}", flush=True)


def _end_with(parent: int) -> None:
    """Let this worker end with the process that started it, also where that is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _on_dask(tasks: Sequence[Task], scheduler: str) -> None:
    from distributed import Client, as_completed

    try:
        client = Client(scheduler, timeout="20s")
    except (OSError, TimeoutError) as error:
        raise LabkitError(
            f"{scheduler}: no scheduler answers there ({error}); start one with `dask scheduler`."
        ) from None
    with client:
        waiting = {client.submit(do, task, pure=False, retries=RETRIES): task for task in tasks}
        for done in as_completed(waiting):
            _say(waiting[done], done.exception())
    for task in tasks:
        if finished(task) is None:
            _give_up(task)


def _give_up(task: Task) -> None:
    """Leave an outcome for a submission whose workers died."""
    notebook = task.submission / task.lab.path.name
    reason = "the worker that graded it died or stopped with an error each time; look at it by hand."
    outcome = {
        "lab": task.lab.number,
        "student": task.submission.parent.name,
        "notebook_sha256": sha256(notebook) if notebook.is_file() else "",
        "seconds": 0.0,
        "sandbox": task.kernel.sandbox,
        "status": "refused",
        "reason": reason,
        "exercises": {name: {"properties": [], "reason": reason} for name in exercises(task.lab.path)},
    }
    write_json(task.out / OUTCOME, outcome)


def _salt(course: Path, notebook: Path) -> int:
    """Of a submission's hidden inputs: the same at each run of this notebook, others for any other.

    So what a submission tells its student of its inputs is of no use for the next. Nobody knows it who cannot read
    the course's secret.
    """
    path = course / SECRET
    if not path.is_file():
        write_text(path, secrets.token_hex(32))
        path.chmod(0o600)
    content = sha256(notebook) if notebook.is_file() else ""
    text = f"{path.read_text(encoding='utf-8')}/{notebook.relative_to(course)}/{content}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") + 1
