"""Executes one submission and asks each of its exercises: a pure, idempotent function from folder to folder.

Whatever the submission does is a result: a killed kernel, a time-out, a flood of output end it there, what was asked
before keeps its result, and what comes after gets the reason.
"""

import time
from dataclasses import asdict
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from labkit.course.grade.executor import Executor, Result, clean
from labkit.course.grade.exercises import exercises
from labkit.course.grade.sandbox.kernels import Kernel
from labkit.course.grade.sandbox.limits import Limits
from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import read_json, sha256, write_json, write_text

OUTCOME, PROGRESS = "outcome.json", "progress.json"


def execute(
    submission: Path,
    out: Path,
    lab: Lab,
    *,
    kernel: Kernel,
    limits: Limits,
    salt: int,
    alone: bool = False,
    state: str = "",
) -> dict[str, Any]:
    """Execute the submission in folder `submission`, leave the notebook and outcome.json in folder `out`.

    Args:
        submission: holds a notebook of the lab's name; it stays as it is.
        out: files of an earlier run are replaced; outcome.json is written last.
        lab: its path is the instructor's notebook, which names the exercises.
        alone: nothing else is being graded here, so that a time-out counts.
        state: see `Result.checks`.

    Raises:
        LabkitError: the instructor's notebook, or the sandbox, is not in order.
        Overrun: the kernel did not start; the notebook was not seen, so there is no outcome.
    """
    started = time.monotonic()
    asked = exercises(lab.path)
    notebook = submission / lab.path.name
    rmtree(out, ignore_errors=True)
    result = Result(checks=state)
    if (cells := _read(submission, notebook, result)) is not None:
        with TemporaryDirectory(prefix="labkit-") as room:
            work = Path(room) / "work"
            copytree(submission, work, symlinks=True, ignore=_not_files)
            progress = out / PROGRESS
            client = Executor(cells, Path(room), work, asked, kernel, limits, salt, result, progress)
            client.run()
            write_text(out / notebook.name, _text(cells) + "\n")
            progress.unlink(missing_ok=True)
    result.again = result.again and not alone
    return leave_outcome(submission, out, lab, kernel, result, time.monotonic() - started)


def leave_outcome(
    submission: Path, out: Path, lab: Lab, kernel: Kernel, result: Result, seconds: float
) -> dict[str, Any]:
    """Write outcome.json; an exercise that was not asked gets the reason why."""
    notebook = submission / lab.path.name
    for name in exercises(lab.path):
        why = result.reason or "this cell was not reached."
        result.exercises.setdefault(name, {"properties": [], "reason": why})
    outcome = {
        "lab": lab.number,
        "student": submission.parent.name,
        "notebook_sha256": sha256(notebook) if notebook.is_file() else "",
        "seconds": round(seconds, 2),
        "sandbox": kernel.sandbox,
        **asdict(result),
    }
    outcome = clean(outcome)
    write_json(out / OUTCOME, outcome)
    return outcome


def probe(lab: Lab, kernel: Kernel, limits: Limits) -> tuple[float, float]:
    """Run the instructor's own notebook as a submission is run.

    Returns:
        the seconds that one of its cells or exercises computes at most, and that one sleeps at most.

    Raises:
        LabkitError: it fails here, so that it would fail for everybody; says how.
        Overrun: the kernel did not start.
    """
    cells, asked, result = nbformat.read(lab.path, as_version=4), exercises(lab.path), Result()
    for each in (each for several in asked.values() for each in several):
        each.load()
    with TemporaryDirectory(prefix="labkit-") as room:
        (work := Path(room) / "work").mkdir()
        client = Executor(cells, Path(room), work, asked, kernel, limits, 0, result, Path(room) / PROGRESS)
        client.run()
    wrong = [each["hint"] for one in result.exercises.values() for each in one["properties"] if not each["passed"]]
    if wrong or result.reason:
        outputs = [each for cell in cells.cells for each in cell.get("outputs", ())]
        errors = [f"{each.ename}: {each.evalue}" for each in outputs if each.output_type == "error"]
        said = [*errors, result.reason or wrong[0]]
        raise LabkitError(
            f"{lab.path}: the course's own notebook fails where submissions run ({said[0]}), so nobody was graded; "
            "install labkit and its packages into the environment of this command (with --container build the image "
            "anew), or mend the notebook."
        )
    return client.dearest, client.asleep


def _read(submission: Path, notebook: Path, result: Result) -> NotebookNode | None:
    """The submission's notebook, or None with the reason in the result."""
    prepared = read_json(submission / "prepared.json")
    if isinstance(prepared, dict) and (refused := prepared.get("refused")):
        result.stop("refused", str(refused))
        return None
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


def _text(cells: NotebookNode) -> str:
    """The executed notebook as text, without outputs that no notebook can hold."""
    for cell in cells.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _fits(output)]
    return nbformat.writes(cells).encode("utf-8", "replace").decode()


def _fits(output: NotebookNode) -> bool:
    try:
        nbformat.validate(output, ref="output", version=4)
        nbformat.writes(new_notebook(cells=[new_code_cell(outputs=[output])]))
    except Exception:  # whatever a stranger's output does to its readers
        return False
    return True
