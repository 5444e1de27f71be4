"""What a student may ask for before handing in: what is undone, a file to hand in, and the solutions afterwards."""

import json
import os
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from nbformat import NotebookNode

from labkit.attempts import ATTEMPTS, read_attempts, tried
from labkit.course.grade.execute import execute
from labkit.course.grade.exercises import exercises
from labkit.course.grade.intake.members import RefusedError, read_file
from labkit.course.grade.intake.prepare import MAX_BYTES
from labkit.course.grade.intake.repair import STUBBED, read_cells, repair
from labkit.course.grade.limited import Overrun
from labkit.course.grade.release import TEXT_STUB, notebook_text, student_version
from labkit.course.grade.sandbox.kernels import Kernel
from labkit.course.grade.sandbox.limits import Limits
from labkit.course.run.labs import Lab, read_notebook
from labkit.errors import LabkitError, nearest
from labkit.files import atomic_path, write_text

TRIES = 5  # different answers that failed, after which a solution may be seen
ENOUGH = "it may be handed in."


def look_through(path: Path, labs: list[Lab]) -> tuple[list[str], bool]:
    """Sentences on a notebook as grading would take it, and whether every exercise is written.

    Raises LabkitError: it cannot be read, or has the name of no lab.
    """
    notebook, repairs = _repaired(path, _lab_of(path, labs))
    undone = [cell.metadata.nbgrader.grade_id for cell in notebook.cells if _is_undone(cell)]
    said = [f"put right at grading: {each}" for each in repairs]
    said += [f"{name}: still to be written." for name in undone]
    return [*said, f"{path.name}: {ENOUGH}"], not undone


def run_checks(path: Path, labs: list[Lab], kernel: Kernel) -> list[str]:
    """A sentence on each exercise of a notebook, run as grading runs it, but with the inputs that students see.

    Raises LabkitError: see `look_through`.
    """
    lab = _lab_of(path, labs)
    with TemporaryDirectory(prefix="labkit-") as room:
        submission, out = Path(room, "submitted"), Path(room, "executed")
        write_text(submission / lab.path.name, notebook_text(_repaired(path, lab)[0]))
        try:
            outcome = execute(submission, out, lab, kernel=kernel, limits=Limits(), salt=0, alone=True)
        except Overrun as error:
            raise LabkitError(f"{path}: its checks could not be run ({error}); try again.") from None
    said = [] if outcome["status"] == "ok" else [f"it did not run to its end: {outcome['reason']}"]
    for name, found in outcome["exercises"].items():
        held = [each["passed"] for each in found["properties"]]
        said.append(f"{name}: {f'{sum(held)} of {len(held)} properties hold.' if held else found['reason']}")
    return said


def pack(path: Path, labs: list[Lab]) -> Path:
    """Write the zip to hand in beside the notebook, with the attempts at this lab; returns where.

    Raises LabkitError: see `look_through`.
    """
    look_through(path, labs)
    lab = _lab_of(path, labs)
    attempts = [json.dumps(each) for each in read_attempts(path.parent) if each.get("lab") == lab.number]
    out = path.with_suffix(".zip")
    # A file may be dated before 1980, where the dates of zips begin.
    with (
        atomic_path(out) as place,
        zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as packed,
    ):
        packed.write(path, path.name)
        packed.writestr(ATTEMPTS, "\n".join(attempts))
    return out


def solutions(lab: Lab, work: Path) -> list[str]:
    """The solution cells of the exercises that the student has passed, or tried often enough; else a sentence."""
    attempts = read_attempts(work)
    said, before = [], []
    tests = exercises(lab.path)
    for cell in read_notebook(lab.path)["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("solution") and cell["cell_type"] == "code":
            before.append(cell["source"])
        for exercise in tests.get(about.get("grade_id", ""), []):
            failed, passed = tried(attempts, lab.number, exercise.check, "+".join(exercise.functions))
            left = TRIES - len(failed)
            if passed or left <= 0:
                said += before
            elif before:
                said.append(f"# {exercise.check}: shown once it passes, or after {left} more answers that fail.")
            before = []
    return said


def _lab_of(path: Path, labs: list[Lab]) -> Lab:
    found = [lab for lab in labs if lab.stem in path.stem]  # "… (1)", "…-Copy1", "Copy of …", "ada_…" are its copies
    if not found:
        raise LabkitError(f"{path}: has the name of no lab" + nearest(path.name, (lab.path.name for lab in labs)))
    return found[0]


def _repaired(path: Path, lab: Lab) -> tuple[NotebookNode, list[str]]:
    if not path.is_file():
        raise LabkitError(f"{path}: there is no such file; give the path of your notebook, as in work/.")
    try:
        data = read_file(Path(os.path.realpath(path)), MAX_BYTES)
        return repair(student_version(lab), read_cells(data)[0])
    except RefusedError as error:
        raise LabkitError(f"{path}: would be refused, since {error}") from None


def _is_undone(cell: NotebookNode) -> bool:
    if not cell.metadata.get("nbgrader", {}).get("solution"):
        return False
    if cell.cell_type == "code":
        return bool(STUBBED.search(cell.source))
    return not cell.source.strip() or TEXT_STUB in cell.source
