"""What a student may ask for before handing in: what is undone, a file to hand in, and the solutions afterwards."""

import zipfile
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labkit.course.grade.exercises import Exercise, exercises
from labkit.course.grade.intake.members import RefusedError
from labkit.course.grade.intake.repair import STUBBED, read_cells, repair
from labkit.course.grade.release import TEXT_STUB, student_version
from labkit.course.run.labs import Lab, read_notebook
from labkit.errors import LabkitError, nearest
from labkit.files import atomic_path
from labkit.ladder import read_attempts

TRIES = 5  # different answers that failed, after which a solution may be seen
ENOUGH = "it may be handed in."


def look_through(path: Path, labs: list[Lab]) -> tuple[list[str], bool]:
    """Sentences on a notebook as grading would take it, and whether every exercise is written.

    Args:
        path: the student's notebook, under the name that the lab has.
        labs: with solutions.

    Raises:
        LabkitError: it cannot be read, or has the name of no lab.
    """
    lab = _lab_of(path, labs)
    try:
        notebook, repairs = repair(student_version(lab), read_cells(path.read_bytes())[0])
    except OSError as error:
        raise LabkitError(f"{path}: cannot be read ({error.strerror}).") from None
    except RefusedError as error:
        raise LabkitError(f"{path}: would be refused, since {error}") from None
    undone = [cell.metadata.nbgrader.grade_id for cell in notebook.cells if _is_undone(cell)]
    said = [f"put right at grading: {each}" for each in repairs]
    said += [f"{name}: still to be written." for name in undone]
    return [*said, f"{path.name}: {ENOUGH}"], not undone


def pack(path: Path, labs: list[Lab]) -> Path:
    """Write the zip to hand in beside the notebook; returns where.

    Raises:
        LabkitError: see `look_through`.
    """
    look_through(path, labs)
    out = path.with_suffix(".zip")
    with atomic_path(out) as place, zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(path, path.name)
    return out


def solutions(lab: Lab, work: Path) -> list[str]:
    """The solution cells of the exercises that the student has passed, or tried often enough; a sentence for others.

    Args:
        lab: with its solutions.
        work: the folder in which the student's attempts are kept.
    """
    attempts = [each for each in read_attempts(work) if each.get("lab") == lab.number]
    said, before = [], []
    tests = exercises(lab.path)
    for cell in read_notebook(lab.path)["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("solution") and cell["cell_type"] == "code":
            before.append(cell["source"])
        for exercise in tests.get(about.get("grade_id", ""), []):
            left = _left(exercise, attempts)
            if left <= 0:
                said += before
            elif before:
                said.append(f"# {exercise.check}: shown once it passes, or after {left} more answers that fail.")
            before = []
    return said


def _lab_of(path: Path, labs: list[Lab]) -> Lab:
    found = [lab for lab in labs if path.stem.startswith(lab.stem)]  # "… (1)", "…-Copy1" are its copies
    if not found:
        raise LabkitError(f"{path}: has the name of no lab" + nearest(path.name, (lab.path.name for lab in labs)))
    return found[0]


def _is_undone(cell: NotebookNode) -> bool:
    if not cell.metadata.get("nbgrader", {}).get("solution"):
        return False
    if cell.cell_type == "code":
        return bool(STUBBED.search(cell.source))
    return not cell.source.strip() or TEXT_STUB in cell.source


def _left(exercise: Exercise, attempts: list[dict[str, Any]]) -> int:
    """How many more answers must fail before the solution is shown; 0 where one has passed."""
    own = "+".join(exercise.functions)  # lab 00 checks a wrong function as well, to show a hint
    tried = [
        each
        for each in attempts
        if each.get("exercise") == exercise.check and str(each.get("answer")).rpartition("-")[0] == own
    ]
    if any(each.get("passed") is True for each in tried):
        return 0
    return TRIES - len({each["answer"] for each in tried})
