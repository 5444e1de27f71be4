"""Runs labs headlessly: several at once, each within its time, and only where something has changed."""

import contextlib
import json
import math
import os
import shutil
import subprocess
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from labkit.course.pages.run_page import write_index
from labkit.course.run import processes
from labkit.course.run.execute import Outcome, Task
from labkit.course.run.freshness import (
    CHECKPOINTS,
    MADE_OF,
    data_folders,
    data_identity,
    drop_stale_checkpoints,
    fingerprint,
    record_hashes,
    why_stale,
)
from labkit.course.run.labs import COMMON_PARAMETERS, Lab, project_root
from labkit.course.run.results import Console, Result
from labkit.errors import LabkitError, nearest
from labkit.files import absolute, relative, write_json, write_text
from labkit.record import (
    JOBS_VARIABLE,
    LARGEST_SEED,
    LOG,
    NOTEBOOK,
    OUT_VARIABLE,
    PAGE,
    PROFILE_VARIABLE,
    PROFILES,
    STATE,
    clear_record,
    read_record,
)
from labkit.scheduler import SCHEDULER_VARIABLE, connect

FREE_BYTES = 200 * 2**20
GRACE_SECONDS = 60.0
INTERRUPT_SECONDS = 10.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class RunConfig:
    """How to run labs."""

    profile: str  # "smoke", "cpu" or "gpu"
    out: Path  # the folder above <profile>/<lab>
    data: Path | None = None  # where real data lie, or None
    seed: int = 0  # for every generator
    jobs: int = 1  # labs at a time; each gets its share of the cores
    extra: dict[str, Any] = field(default_factory=dict)  # further notebook parameters
    budget_factor: float = 1.0  # for machines slower than the profiles expect
    force: bool = False  # run also labs that are up to date
    # Address of a dask.distributed scheduler whose workers run the labs, all at once; they must see this project and
    # `out` under the same paths. None runs them here.
    scheduler: str | None = None
    sharing: int = 1  # labs that share what they run on; each gets as many times its budget

    def folder(self, lab: Lab) -> Path:
        """Where the record of a lab goes."""
        return self.out / self.profile / lab.stem

    def parameters(self, lab: Lab) -> dict[str, Any]:
        """What papermill injects into a lab."""
        data = {"DATA": str(self.data)} if self.data else {}
        out = str(self.folder(lab))
        return {"PROFILE": self.profile, "SEED": self.seed, "OUT": out, **data, **self.extra}

    def budget(self, lab: Lab) -> float:
        """Seconds that a lab may take."""
        return lab.budget_seconds[self.profile] * self.budget_factor * self.sharing


def validate(config: RunConfig, labs: list[Lab]) -> RunConfig:
    """The config with absolute paths, once everything in it is known to be usable.

    Raises LabkitError: unknown profile or parameter, no such data, no such scheduler, or results could not be
        written.
    """
    if config.profile not in PROFILES:
        said = PROFILE_VARIABLE if os.environ.get(PROFILE_VARIABLE) == config.profile else "--profile"
        raise LabkitError(f"{said}: there is no profile {config.profile!r}{nearest(config.profile, PROFILES)}")
    if config.jobs < 1 or not 0 < config.budget_factor <= 10_000:  # beyond, no clock counts so far
        raise LabkitError(
            "--jobs and --budget-factor must be positive, factors at most 10,000; leave them out if in doubt."
        )
    if not 0 <= config.seed <= LARGEST_SEED:
        raise LabkitError(f"--seed {config.seed}: must be from 0 to {LARGEST_SEED}.")
    for name in config.extra:
        if name in COMMON_PARAMETERS:
            raise LabkitError(f"-p {name}: is set by an option; use --{name.lower()}.")
        for lab in labs:
            if name not in lab.parameters:
                raise LabkitError(f"-p {name}: {lab.stem} has no such parameter{nearest(name, lab.parameters)}")
    out, data = absolute(config.out), config.data and absolute(config.data)
    given = str(config.data or os.environ.get("LABKIT_DATA", ""))
    if given and not os.path.exists(absolute(given)):
        name = f"--data {given}" if data else f"LABKIT_DATA={given}"
        raise LabkitError(f"{name}: does not exist; give the folder or file that holds the data.")
    _check_room(out, config.profile)
    if config.scheduler is None:
        jobs = sharing = min(config.jobs, max(1, len(labs)))
        if address := os.environ.get(SCHEDULER_VARIABLE):  # whom the sweeps of these labs will ask
            connect(address, SCHEDULER_VARIABLE).close()
    else:
        jobs = max(1, len(labs))
        with connect(config.scheduler) as client:
            sharing = math.ceil(jobs / max(1, sum(client.nthreads().values())))
    return replace(config, out=out, data=data, jobs=jobs, sharing=sharing)


def run_labs(labs: list[Lab], config: RunConfig, console: Console) -> list[Result]:
    """Run labs, `config.jobs` at a time, and write the report page; one that fails stops no other.

    Returns:
        one result per lab; after Ctrl-C those not reached are "not run".
    """
    runner = _Runner(labs, config, console)
    try:
        runner.run()
    except KeyboardInterrupt:
        runner.interrupt()
    finally:
        runner.end_all()
    runner.settle_data()
    runner.write_index()
    return [runner.results.get(lab.stem, Result(lab.stem, "not run")) for lab in labs]


def announcement(labs: list[Lab], config: RunConfig) -> str:
    """What is to come and where to look, for a config from `validate`."""
    at_once = config.jobs if config.scheduler is None else config.jobs / config.sharing
    minutes = math.ceil(sum(lab.minutes[config.profile] for lab in labs) / at_once)
    page = relative(config.out / config.profile / "index.html")
    return f"{len(labs)} lab{'s' if len(labs) > 1 else ''}, about {minutes} min; results appear in {page}"


@dataclass
class Job:
    """A lab that is being run by a child process."""

    lab: Lab
    folder: Path
    process: subprocess.Popen
    budget: float  # seconds after which the runner ends it; infinite on a cluster, where a worker does that
    fingerprint: dict[str, Any]
    lock: FileLock  # keeps other runs out of its folder
    started: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None  # what the child has said became of it
    progress: str = "starting"  # the cell it is in

    def __post_init__(self) -> None:
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.started

    @property
    def status(self) -> str:
        """For the line that says what runs."""
        allowed = f"of {self.budget:.0f} s" if math.isfinite(self.budget) else "s on the cluster"
        return f"{self.lab.stem}: {self.seconds:.0f} {allowed}, {self.progress}"

    def _listen(self) -> None:
        for line in self.process.stdout:
            # What a library of the child prints may begin like a message; one that is none must not end the thread.
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                message = json.loads(line)
                if "outcome" in message:
                    self.outcome = Outcome(**message["outcome"])
                elif "cell" in message:
                    self.progress = f"cell {message['cell']} of {message['of']} {message['heading']}".strip()

    def said(self) -> Outcome | None:
        """What the child, which has ended, said became of it."""
        self._listener.join(5)
        return self.outcome

    def result(self) -> Outcome:
        """What the child said became of it, or what its silence means."""
        if outcome := self.said():
            return outcome
        status = self.process.returncode
        try:
            log = (self.folder / LOG).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            log = f"its log cannot be read ({error.strerror}); run it again"
        why = (log.strip().splitlines() or ["no message"])[-1]
        state = "killed" if status < 0 else "failed"
        return Outcome(state, f"its process ended with status {status}: {why}", self.seconds)


class _Runner:
    def __init__(self, labs: list[Lab], config: RunConfig, console: Console) -> None:
        self.config, self.console = config, console
        self.waiting = list(labs)
        self.running: list[Job] = []
        self.results: dict[str, Result] = {}
        self.data_folders = data_folders(config.data, project_root())

    def run(self) -> None:
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.config.jobs:
                self._start(self.waiting.pop(0))
            for job in list(self.running):
                if job.process.poll() is not None:
                    self._finish(job, job.result())
                elif job.seconds > job.budget + GRACE_SECONDS:
                    processes.kill_tree(job.process)
                    late = f"killed: its {job.budget:.0f} s were spent and it took no interrupt"
                    self._finish(job, Outcome("timed out", late, job.seconds))
            self.console.status("   ".join(job.status for job in self.running))
            time.sleep(POLL_SECONDS)

    def interrupt(self) -> None:
        """Ctrl-C: give running labs a moment to leave a checkpoint, then end them."""
        self.console.say("interrupted: stopping what runs; what is done is kept")
        for job in self.running:
            processes.interrupt_kernels(job.process)
        until = time.monotonic() + INTERRUPT_SECONDS
        for job in list(self.running):
            try:
                job.process.wait(max(0.0, until - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                until = 0.0
            processes.kill_tree(job.process)
            self._finish(job, job.said() or Outcome("interrupted", "stopped from the keyboard", job.seconds))

    def end_all(self) -> None:
        """Leave no process behind, whatever went wrong."""
        for job in self.running:
            processes.kill_tree(job.process)

    def settle_data(self) -> None:
        """Record the data as they are now: the first run may itself have downloaded them."""
        data = data_identity(self.data_folders)
        for stem, result in self.results.items():
            folder = self.config.out / self.config.profile / stem
            state = read_record(folder, STATE, {})
            made_of = state.get("fingerprint")  # None where another run has begun the lab anew
            if result.state == "ok" and made_of and made_of.get("data") != data:
                made_of["data"] = data
                write_json(folder / STATE, state)
            begun = read_record(folder / CHECKPOINTS, MADE_OF, None)
            if result.state not in ("ok", "unchanged") and isinstance(begun, dict):  # it goes on from them
                write_json(folder / CHECKPOINTS / MADE_OF, begun | {"data": data})

    def write_index(self) -> None:
        """The report page, as far as things are."""
        write_index(self.config.out / self.config.profile, [job.folder.name for job in self.running])

    @property
    def _to_come(self) -> str:
        """What is said of the labs that have not ended."""
        count = len(self.waiting) + len(self.running)
        return f"; {count} to come" if count else ""

    def _start(self, lab: Lab) -> None:
        config, folder = self.config, self.config.folder(lab)
        parameters = config.parameters(lab)
        made_of = fingerprint(lab, parameters, self.data_folders)
        why = "as you ask" if config.force else why_stale(folder, made_of)
        if not why:
            seconds = read_record(folder, STATE, {})["seconds"]
            self.results[lab.stem] = Result.of(folder, "unchanged", seconds=seconds)
            self.console.say(f"✓ {lab.stem}: up to date{self._to_come}")
            return
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        wrong = ""
        try:
            lock.acquire(timeout=0)
            clear_record(folder)
            drop_stale_checkpoints(folder, made_of, config.force)
            for name in (NOTEBOOK, PAGE, LOG):
                (folder / name).unlink(missing_ok=True)
        except Timeout:
            wrong = f"another run is writing to {relative(folder)}; wait for its end, or choose another --out"
        except LabkitError as error:
            wrong = str(error)
        except OSError as error:
            wrong = f"{error.filename}: {error.strerror}; correct or remove it"
        if wrong:
            lock.release()
            self.results[lab.stem] = Result(lab.stem, "failed", wrong)
            self.console.say(f"✗ {lab.stem}: {wrong}{self._to_come}")
            return
        task = Task(str(lab.path.absolute()), str(folder), parameters, config.budget(lab))
        arguments, limit = task.command, task.budget_seconds
        threads = _share_of_cores(config.jobs)
        if config.scheduler is not None:
            arguments = ["-m", "labkit.course.run.cluster", config.scheduler, json.dumps(asdict(task))]
            threads, limit = None, math.inf
        jobs = {JOBS_VARIABLE: str(config.jobs)}
        process = processes.start(arguments, log=folder / LOG, threads=threads, variables=jobs)
        self.running.append(Job(lab, folder, process, limit, made_of, lock))
        self.write_index()
        self.console.say(f"▸ {lab.stem}: started, {why}; allowed {task.budget_seconds / 60:.1f} min")

    def _finish(self, job: Job, outcome: Outcome) -> None:
        self.running.remove(job)
        about = {"title": job.lab.title, "fingerprint": job.fingerprint}
        write_json(job.folder / STATE, asdict(outcome) | about | {"record": record_hashes(job.folder)})
        result = Result.of(job.folder, outcome.state, outcome.message, outcome.seconds)
        self.results[job.lab.stem] = result
        job.lock.release()
        self.write_index()
        if result.fine:
            self.console.say(f"✓ {result.lab}: done in {result.seconds:.0f} s{self._to_come}")
        else:
            kept = (
                f"; kept up to there: {relative(job.folder / NOTEBOOK)}" if (job.folder / NOTEBOOK).exists() else ""
            )
            self.console.say(f"✗ {result.lab}: {result.state} after {result.seconds:.0f} s: {result.message}{kept}")


def _check_room(out: Path, profile: str) -> None:
    """Find out before hours of work whether results can be written, by writing."""
    said = f"{OUT_VARIABLE}={out}" if os.environ.get(OUT_VARIABLE) == str(out) else f"--out {out}"
    folder = out / profile
    try:
        write_text(folder / ".room", "x" * 4096)
        (folder / ".room").unlink()
    except LabkitError as error:
        why = getattr(error.__cause__, "strerror", None) or error.__cause__
        raise LabkitError(f"{said}: cannot hold results ({why}); choose another folder.") from error
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise LabkitError(
            f"{said}: only {free / 2**20:.0f} MB are free; make {FREE_BYTES / 2**20:.0f} MB of room "
            "or choose another folder."
        )


def _share_of_cores(jobs: int) -> int | None:
    """Threads for each of `jobs` processes; None, which is torch's own choice, for a single one.

    `OMP_NUM_THREADS` is taken as all there are.
    """
    if jobs == 1:
        return None
    given = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(given) if given.isdecimal() else os.cpu_count() or 1
    return max(1, cores // jobs)
