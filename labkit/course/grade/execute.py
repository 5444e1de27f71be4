"""Executes one submission and asks each of its exercises: a pure, idempotent function from folder to folder.

Whatever the submission does is a result: a killed kernel, a time-out, a flood of output end it there, what was asked
before keeps its result, and what comes after gets the reason.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from labkit.checking import salted
from labkit.course.grade.exercises import Exercise, exercises
from labkit.course.grade.sandbox.artefacts import READABLE
from labkit.course.grade.sandbox.kernels import Kernel
from labkit.course.grade.sandbox.limits import Limits
from labkit.course.grade.talk.channel import Channel
from labkit.course.grade.talk.conversation import Conversation
from labkit.course.grade.talk.protocol.exchange import NoAnswer
from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import sha256, write_json, write_text

OUTCOME, ARTEFACTS = "outcome.json", "artefacts"
ARTEFACT_BYTES = 64 * 2**20
START_SECONDS = 120


@dataclass
class Result:
    """What became of a submission so far."""

    status: str = "ok"
    reason: str = ""
    exercises: dict[str, dict[str, Any]] = field(default_factory=dict)

    def stop(self, status: str, reason: str) -> None:
        """The first reason to stop is the one that counts."""
        if self.status == "ok":
            self.status, self.reason = status, reason


class Stopped(Exception):  # noqa: N818 - not an error: the submission's own end
    """The notebook goes no further; the result says why."""


def execute(submission: Path, out: Path, lab: Lab, *, kernel: Kernel, limits: Limits, salt: int) -> dict[str, Any]:
    """Execute the submission in folder `submission`, leave notebook, artefacts and outcome.json in folder `out`.

    Args:
        submission: holds a notebook of the lab's name; it stays as it is.
        out: what is there of an earlier run is replaced; outcome.json comes last.
        lab: its path is the instructor's notebook, which says what is asked.
        kernel: where it runs.
        limits: what it may take.
        salt: of the checks' inputs.

    Raises:
        LabkitError: the instructor's notebook, or the sandbox, is not in order.
    """
    started = time.monotonic()
    asked = exercises(lab.path)
    notebook = submission / lab.path.name
    rmtree(out, ignore_errors=True)
    result = Result()
    if (cells := _read(submission, notebook, result)) is not None:
        with TemporaryDirectory(prefix="labkit-") as room:
            work = Path(room) / "work"
            copytree(submission, work, symlinks=True, ignore=_not_files)
            client = Executor(cells, Path(room), work, asked, kernel, limits, salt, result)
            client.run()
            write_text(out / notebook.name, nbformat.writes(cells).encode("utf-8", "replace").decode() + "\n")
            _keep_artefacts(work, out / ARTEFACTS)
    for name in asked:
        why = result.reason or "this cell was not reached."
        result.exercises.setdefault(name, {"properties": [], "reason": why})
    outcome = {
        "lab": lab.number,
        "student": submission.parent.name,
        "notebook_sha256": sha256(notebook) if notebook.is_file() else "",
        "seconds": round(time.monotonic() - started, 2),
        "sandbox": kernel.sandbox,
        **asdict(result),
    }
    outcome = _clean(outcome)
    write_json(out / OUTCOME, outcome)
    return outcome


class Executor(NotebookClient):
    """nbclient, which after each test cell asks that cell's exercise, and ends at the limits."""

    def __init__(
        self,
        cells: NotebookNode,
        room: Path,
        work: Path,
        asked: dict[str, list[Exercise]],
        kernel: Kernel,
        limits: Limits,
        salt: int,
        result: Result,
    ) -> None:
        manager = kernel.manager(room / "jupyter", work, limits)
        settings = {"allow_errors": True, "store_widget_state": False, "startup_timeout": START_SECONDS}
        super().__init__(cells, km=manager, timeout_func=self._time_left, **settings)
        self._start = kernel.start_settings(work)
        self._asked, self._limits, self._salt, self._result = asked, limits, salt, result
        self._ends = time.monotonic() + limits.notebook_seconds
        self._output_left = limits.output_bytes
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Execute all cells; how it ended is in the result."""
        try:
            self.execute(cleanup_kc=True, **self._start)
        except Stopped:
            pass
        except CellTimeoutError:
            self._result.stop("time-out", self._too_long())
        except DeadKernelError:
            self._result.stop("kernel died", "the kernel died; most often its memory was full, or it was ended.")
        except LabkitError:
            raise
        except Exception as error:
            if self._loop is None:
                raise LabkitError(f"The kernel does not start here ({type(error).__name__}: {error}).") from error
            if not isinstance(error, RuntimeError):
                raise
            self._result.stop("kernel died", f"the kernel could not be talked to any more ({error}).")
        finally:
            if self.km is not None:
                self._cleanup_kernel()

    async def async_execute_cell(self, cell: NotebookNode, cell_index: int, **settings: Any) -> NotebookNode:
        """Execute a cell; where it is a test cell, ask its exercise."""
        self._loop = asyncio.get_running_loop()
        if time.monotonic() > self._ends:
            self._result.stop("time-out", self._too_long())
            raise Stopped
        try:
            cell = await super().async_execute_cell(cell, cell_index, **settings)
        finally:
            if self._output_left < 0:
                size = self._limits.output_bytes / 2**20
                self._result.stop("output flood", f"it printed more than {size:.0f} MB.")
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in self._asked and name not in self._result.exercises:
            await asyncio.to_thread(self._ask, name)
        return cell

    def process_message(self, message: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """Take an output; a flood ends the kernel."""
        if self._output_left >= 0:
            self._output_left -= len(str(message["content"]))
            if self._output_left < 0:
                self._kill()
        if self._output_left < 0 and message["msg_type"] != "status":
            return None
        return super().process_message(message, cell, cell_index)

    def _kill(self) -> None:
        asyncio.run_coroutine_threadsafe(self.km.shutdown_kernel(now=True), self._loop)

    def _time_left(self, cell: NotebookNode) -> float:
        return max(0.1, min(self._limits.cell_seconds, self._ends - time.monotonic()))

    def _too_long(self) -> str:
        if time.monotonic() > self._ends:
            return f"the notebook took longer than {self._limits.notebook_seconds:.0f} s."
        return f"a cell took longer than {self._limits.cell_seconds:.0f} s."

    def _alive(self) -> bool:
        alive = asyncio.run_coroutine_threadsafe(self.km.is_alive(), self._loop)
        return bool(alive.result(10))

    def _ask(self, name: str) -> None:
        """Hold the conversation of one exercise; in a thread of its own, while nbclient waits."""
        seconds = max(1.0, min(self._limits.cell_seconds, self._ends - time.monotonic()))
        channel = Channel(
            self.km.get_connection_info(),
            self._alive,
            seconds=seconds,
            message_seconds=seconds,
            output_bytes=self._output_left,
        )
        try:
            with salted(self._salt):
                found, broken = ask(channel, self._asked[name])
        finally:
            channel.stop()
        self._result.exercises[name] = found
        if broken:
            status = "time-out" if "within" in broken else "kernel died"
            status = "output flood" if "printed" in broken else status
            self._result.stop(status, f"{broken}.")
            raise Stopped


def ask(channel: Channel, checks: Sequence[Exercise]) -> tuple[dict[str, Any], str]:
    """Properties and reason of one test cell, and why the kernel can be asked no more, or ""."""
    conversation = Conversation(channel.send, sorted({"labkit.checking", *(each.module for each in checks)}))
    found: list[dict[str, Any]] = []
    try:
        conversation.take(channel.open())
        for each in checks:
            found += [asdict(one) for one in conversation.ask(each.load(), each.functions)]
        if not conversation.broken and not channel.close(conversation.end()):
            conversation.broken = "the kernel did not come to an end with its answers"
    except Exception as error:
        if not isinstance(error, NoAnswer):
            raise
        conversation.broken = str(error)
    reason = conversation.broken or _missing(found, checks)
    return {"properties": found, "reason": f"{reason}." if reason else ""}, conversation.broken


def _missing(found: list[dict[str, Any]], checks: Sequence[Exercise]) -> str:
    names = [name for each in checks for name in each.functions]
    hints = " ".join(each["hint"] for each in found if not each["passed"])
    gone = [name for name in names if f"NameError: name '{name}' is not defined" in hints]
    return f"the notebook defines no {' and no '.join(gone)}" if gone else ""


def _read(submission: Path, notebook: Path, result: Result) -> NotebookNode | None:
    """The submission's notebook, or None with the reason in the result."""
    try:
        prepared = json.loads((submission / "prepared.json").read_text(encoding="utf-8"))
        if refused := prepared.get("refused"):
            result.stop("refused", str(refused))
            return None
    except (OSError, ValueError, AttributeError):
        pass
    try:
        cells = nbformat.read(notebook, as_version=4)
        nbformat.validate(cells)
    except Exception as error:
        result.stop("refused", f"it is no notebook ({type(error).__name__}).")
        return None
    return cells


def _not_files(folder: str, names: list[str]) -> list[str]:
    """Names that are not copied into the kernel's folder: links and what is neither file nor folder."""
    paths = {name: Path(folder) / name for name in names}
    return [n for n, path in paths.items() if path.is_symlink() or not (path.is_file() or path.is_dir())]


def _keep_artefacts(work: Path, target: Path) -> None:
    """Arrays and weights alone: figures are in the notebook, and checkpoints are pickles, which nobody may read."""
    from labkit.course.grade.sandbox.staging import copy_plain

    if work.is_symlink() or not work.is_dir():
        return  # without a sandbox a submission can take its folder away
    target.parent.mkdir(parents=True, exist_ok=True)
    copy_plain(work, target, ARTEFACT_BYTES, READABLE)


def _clean(value: Any) -> Any:
    """The value with texts that UTF-8 can hold."""
    if isinstance(value, dict):
        return {_clean(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
