"""`labkit grade prepare`: what was handed in becomes notebooks that can be executed; nothing runs here."""

import hashlib
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from labkit.course.grade.intake.collect import RefusedError, Submission, collect
from labkit.course.grade.intake.repair import read_cells, repair
from labkit.course.grade.layout import RECEIVED, assignment, open_gradebook, release_path, student_folder
from labkit.course.grade.release import notebook_text
from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import write_json, write_text

MAX_BYTES = 20_000_000


@dataclass
class Prepared:
    """What `prepare` did: student → what its prepared.json holds, and a sentence for each file left out."""

    students: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def prepare(
    course: Path, lab: Lab, source: Path, *, deadline: datetime | None = None, max_bytes: int = MAX_BYTES
) -> Prepared:
    """Write submitted/<student>/<lab>/ for everybody found in `source`, and register them in the gradebook.

    Args:
        source: a folder or a zip, see `collect`.
        deadline: a moment; one without a time zone is local time. Late is what its folder or zip dates after it.
            None keeps the one that the gradebook has, at first none.
        max_bytes: the most one notebook may have.

    Raises:
        LabkitError: the lab is not released, or `source` is neither folder nor zip. A bad submission raises
            nothing: it is refused with a reason, and the others go on.
    """
    released = read_release(course, lab)
    found, left_out = collect(source, lab)
    result = Prepared(left_out=left_out)
    deadline = deadline or _known_deadline(course, lab)
    for submission in found:
        folder = student_folder(course, "submitted", submission.student, lab)
        notebook, about = _sanitised(submission, released, max_bytes)
        about["late_seconds"] = _late(submission, deadline)
        about["submitted"] = _moment(submission)
        _write(folder / lab.path.name, notebook)
        write_json(folder / "prepared.json", about)
        result.students[submission.student] = about
    _register(course, lab, result.students, deadline)
    return result


def read_release(course: Path, lab: Lab) -> NotebookNode:
    """The student version of a lab as it was released.

    Raises:
        LabkitError: it was not.
    """
    path = release_path(course, lab)
    if not path.is_file():
        raise LabkitError(f"{os.path.relpath(path)}: is not there; run `labkit release {lab.number}` before grading.")
    return nbformat.read(path, as_version=4)


def _sanitised(
    submission: Submission, released: NotebookNode, limit: int
) -> tuple[NotebookNode | None, dict[str, Any]]:
    about = {"repairs": list(submission.notes), "sha256": None, "refused": submission.refused or None}
    if submission.read is None:
        return None, about
    try:
        data = submission.read(limit)
        about["sha256"] = hashlib.sha256(data).hexdigest()
        cells, said = read_cells(data)
        notebook, repairs = repair(released, cells)
    except RefusedError as error:
        return None, {**about, "refused": str(error)}
    except Exception as error:  # whatever one submission does to its readers, the others go on
        return None, {**about, "refused": f"it cannot be read ({type(error).__name__})."}
    about["repairs"] += said + repairs
    return notebook, about


def _write(path: Path, notebook: NotebookNode | None) -> None:
    if notebook is None:
        path.unlink(missing_ok=True)
    else:
        write_text(path, notebook_text(notebook))


def _late(submission: Submission, deadline: datetime | None) -> float | None:
    if deadline is None or not submission.modified:
        return None
    return max(0.0, submission.modified - deadline.timestamp())


def _moment(submission: Submission) -> str | None:
    if not submission.modified:
        return None
    return datetime.fromtimestamp(submission.modified, UTC).isoformat(timespec="seconds")


def _known_deadline(course: Path, lab: Lab) -> datetime | None:
    from nbgrader.api import MissingEntry

    with open_gradebook(course) as gradebook:
        try:
            due = gradebook.find_assignment(assignment(lab)).duedate
        except MissingEntry:
            return None
    return due.replace(tzinfo=UTC) if due else None


def _register(course: Path, lab: Lab, students: dict[str, dict], deadline: datetime | None) -> None:
    with open_gradebook(course) as gradebook:
        if deadline is not None:
            due = deadline.astimezone(UTC).replace(tzinfo=None)
            gradebook.update_or_create_assignment(assignment(lab), duedate=due)
        for student, about in students.items():
            gradebook.update_or_create_student(student)
            when = {"timestamp": about["submitted"]} if about["submitted"] else {}
            row = gradebook.update_or_create_submission(assignment(lab), student, **when)
            _show_received(course, lab, student, row.timestamp)


def _show_received(course: Path, lab: Lab, student: str, moment: datetime | None) -> None:
    """Formgrader counts these folders, and takes for graded whose file says the moment that the gradebook has."""
    folder = student_folder(course, RECEIVED, student, lab)
    folder.mkdir(parents=True, exist_ok=True)
    if moment is not None:
        write_text(folder / "timestamp.txt", moment.isoformat())
