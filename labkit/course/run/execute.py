"""Executes one notebook with papermill, in a process of its own: `python -m labkit.course.run.execute TASK`.

TASK is JSON (see `Task`). Progress and the outcome go to standard output as lines of JSON. The work is idempotent:
the same task gives the same record, whichever process or machine does it and however often.
"""

import json
import os
import re
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.course.run import processes
from labkit.course.run.labs import read_notebook
from labkit.errors import LabkitError
from labkit.files import write_text
from labkit.record import BUDGET_VARIABLE, NOTEBOOK


@dataclass(frozen=True)
class Task:
    """One notebook to execute."""

    notebook: str  # path of the source
    folder: str  # where its run record goes
    parameters: dict[str, Any]  # what papermill injects
    budget_seconds: float  # when its kernel is interrupted

    @property
    def command(self) -> list[str]:
        """What a Python is started with to do it."""
        return ["-m", "labkit.course.run.execute", json.dumps(asdict(self))]


@dataclass
class Outcome:
    """What became of a task: state is "ok", "failed", "timed out", "killed" or "interrupted"."""

    state: str
    message: str = ""
    seconds: float = 0.0


class BudgetSpentError(Exception):
    """The notebook has used up its time."""


class Watch:
    """nbclient asks it, before each cell, how long that cell may take: what is left of the notebook's budget."""

    def __init__(self, budget_seconds: float, headings: dict[str, str]) -> None:
        self.budget_seconds = budget_seconds
        self.started = time.monotonic()
        self._headings = headings
        self._heading = ""
        self._count = 0

    @property
    def began(self) -> bool:
        """Whether a cell has been executed."""
        return self._count > 0

    @property
    def elapsed(self) -> float:
        """Seconds since the notebook was started."""
        return time.monotonic() - self.started

    def __call__(self, cell: Any) -> float:
        self._count += 1
        self._heading = self._headings.get(cell.get("id", ""), "")
        emit(cell=self._count, of=len(self._headings), heading=self._heading)
        if self.elapsed >= self.budget_seconds:
            raise BudgetSpentError
        return max(1.0, self.budget_seconds - self.elapsed)

    @property
    def where(self) -> str:
        """The cell that is running, as a reader of the executed notebook finds it."""
        return f"In [{self._count}]" + (f" under “{self._heading}”" if self._heading else "")


def emit(**message: Any) -> None:
    """Tell the runner something."""
    print(json.dumps(message), flush=True)


def execute(task: Task) -> Outcome:
    """Execute a notebook; whatever happens inside it is an outcome, and the notebook is kept up to there."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError

    watch = Watch(task.budget_seconds, headings(Path(task.notebook)))
    os.environ[BUDGET_VARIABLE] = str(task.budget_seconds)  # the kernel inherits it
    try:
        _papermill(task, watch)
    except PapermillExecutionError as error:
        # What a cell makes of the interrupt at the end of the budget is its own affair.
        if watch.elapsed >= task.budget_seconds:
            return _timed_out(watch)
        if error.ename in ("KeyboardInterrupt", "Interrupted"):
            return Outcome("interrupted", f"interrupted in {watch.where}", watch.elapsed)
        first = (error.evalue.strip() or "no message").splitlines()[0]
        return Outcome("failed", f"{watch.where}: {error.ename}: {first}", watch.elapsed)
    except (CellTimeoutError, BudgetSpentError):
        return _timed_out(watch)
    except DeadKernelError:
        why = f"the kernel died in {watch.where}; most often the memory is full: close other programs"
        return Outcome("killed", why, watch.elapsed)
    except LabkitError as error:
        return Outcome("failed", str(error), watch.elapsed)
    if watch.elapsed > task.budget_seconds:
        return _timed_out(watch)
    return Outcome("ok", "", watch.elapsed)


def headings(path: Path) -> dict[str, str]:
    """Cell id of each code cell → the heading it stands under."""
    found, heading = {}, ""
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "code":
            found[cell.get("id", "")] = heading
        elif titles := re.findall(r"^#+\s+(.+)$", cell["source"], flags=re.MULTILINE):
            heading = titles[-1].strip()
    return found


class WholeFiles:
    """Papermill's way to a file, such that the executed notebook is never half written."""

    scheme = "labkit-whole:"

    def write(self, text: str, path: str) -> None:
        """Write `text` to the path after the scheme."""
        write_text(path.removeprefix(self.scheme), text)

    def pretty_path(self, path: str) -> str:
        """What papermill calls it in its log."""
        return path.removeprefix(self.scheme)


def _papermill(task: Task, watch: Watch) -> None:
    import papermill
    from papermill.iorw import papermill_io

    papermill_io.register(WholeFiles.scheme, WholeFiles())
    for last in (False, True):
        try:
            papermill.execute_notebook(
                _literal(task.notebook),
                _literal(WholeFiles.scheme + str(Path(task.folder) / NOTEBOOK)),
                parameters=task.parameters,
                kernel_name="python3",
                language="python",
                cwd=Path(task.notebook).parent,
                progress_bar=False,
                timeout_func=watch,
                # An interrupt lets `fit` leave a checkpoint and the cell its output; the runner kills what
                # ignores it.
                interrupt_on_timeout=True,
            )
            return
        except RuntimeError:
            # Two kernels that start at once can be given one port, and then one of them never answers.
            if last or watch.began:
                raise


def _literal(path: str) -> str:
    """A path for papermill, which would put parameters in the place of braces."""
    return path.replace("{", "{{").replace("}", "}}")


def _timed_out(watch: Watch) -> Outcome:
    spent = f"stopped in {watch.where} when its {watch.budget_seconds:.0f} s were spent"
    message = f"{spent}; a slow machine may need --budget-factor 3"
    return Outcome("timed out", message, watch.elapsed)


def main() -> None:
    """Execute the task given as the first argument, make its page, report the outcome."""
    # A kernel of another environment under the same name must not be picked up instead of this one.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ.pop("JUPYTER_PATH", None)
    # jsonschema imports it where it is there, and for a second it builds grammars: for addresses of the web, of which
    # the format of notebooks says nothing.
    sys.modules["rfc3987_syntax"] = None
    processes.end_with_parent()
    # In a group, the runner's interrupt reaches this program too; it is meant for the kernel below.
    signal.signal(signal.SIGINT, lambda *_: None)
    task = Task(**json.loads(sys.argv[1]))
    outcome = execute(task)
    try:
        from labkit.course.pages.notebook_page import write_page

        write_page(Path(task.folder))
    except LabkitError as error:
        outcome = Outcome("failed", str(error), outcome.seconds)
    emit(outcome=asdict(outcome))


if __name__ == "__main__":
    main()
