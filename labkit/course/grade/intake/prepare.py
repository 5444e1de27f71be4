"""`labkit grade prepare`: what was handed in becomes notebooks that can be executed; nothing runs here."""

import hashlib
import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from labkit.attempts import parse_attempts, tried
from labkit.course.grade.exercises import exercises
from labkit.course.grade.intake.collect import Submission, collect, identity, told_apart
from labkit.course.grade.intake.members import RefusedError
from labkit.course.grade.intake.repair import read_cells, repair
from labkit.course.grade.layout import RECEIVED, Place, open_gradebook
from labkit.course.grade.limited import Overrun, run_limited
from labkit.course.grade.release import notebook_text
from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import read_json, write_json, write_text

MAX_BYTES = 20_000_000
MAX_ATTEMPTS = 1_000_000


@dataclass
class Prepared:
    """What `prepare` did."""

    students: dict[str, dict[str, Any]] = field(default_factory=dict)  # name → what its prepared.json holds
    left_out: list[str] = field(default_factory=list)  # a sentence for each file left out
    failed: dict[str, str] = field(default_factory=dict)  # name → why its submission could not be written
    deadline: datetime | None = None  # the moment after which work is late


def prepare(place: Place, source: Path, *, deadline: date | None = None, max_bytes: int = MAX_BYTES) -> Prepared:
    """Write submitted/<student>/<lab>/ for everybody found in `source`, and register them in the gradebook.

    Args:
        source: a folder or a zip, see `collect`.
        deadline: a moment, or a day, which is meant to its end; without a time zone in local time. Late is what its
            folder, its zip or its name dates after it. None keeps the one that the gradebook has, at first none.
        max_bytes: the most one notebook may have.

    Raises LabkitError: the lab is not released, or `source` is neither folder nor zip, or empty. A bad submission
        raises nothing: it is refused with a reason, and the others go on.
    """
    released = read_release(place)
    if os.path.realpath(source) == os.path.realpath(place.course):  # also where a link leads to itself
        raise LabkitError(
            f"{source}: is the course's own folder; give --from the folder or zip of what was handed in."
        )
    found, left_out = collect(source, place.lab)
    if not found and not left_out:
        raise LabkitError(f"{source}: holds nothing; give --from the folder or zip of what was handed in.")
    if deadline is not None and not isinstance(deadline, datetime):
        deadline = datetime.combine(deadline, time.max)
    result = Prepared(left_out=left_out, deadline=deadline or _known_deadline(place))
    known = _known_people(place)
    for submission in found:
        submission = told_apart(submission, known)
        try:
            one = place.of(submission.student)
            notebook, about = _sanitised(submission, released, max_bytes)
            about["attempts"] = _attempts(submission, place.lab)
            about |= {"late_seconds": _late(submission, result.deadline), "submitted": _moment(submission)}
            about["repairs"] += _older(read_json(one.folder("submitted") / "prepared.json"), about)
            _write(one.notebook("submitted"), notebook)
            write_json(one.folder("submitted") / "prepared.json", about)
            result.students[submission.student] = about
        except (LabkitError, OSError) as error:
            result.failed[submission.student] = str(error)
    _register(place, result, deadline)
    return result


def _known_people(place: Place) -> dict[str, str]:
    """Student → `identity`, of all who are prepared for this lab."""
    known = {}
    for path in place.course.glob(f"submitted/*/{place.name}/prepared.json"):
        about = read_json(path)
        known[path.parents[1].name] = identity(about.get("person") if isinstance(about, dict) else None)
    return known


def read_release(place: Place) -> NotebookNode:
    """The student version of a lab as it was released.

    Raises LabkitError: it was not.
    """
    path, number = place.release, place.lab.number
    if not place.course.is_dir():
        raise LabkitError(f"{place.course}: is no course's folder; check --course, or run `labkit release {number}`.")
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        reason, remedy = "is not there", f"run `labkit release {number}` before grading"
    except OSError as error:
        reason, remedy = f"cannot be read ({error.strerror})", "check its permissions"
    except Exception as error:  # the reader raises errors of many kinds for a file that is no notebook
        reason, remedy = f"is no notebook ({type(error).__name__})", f"write it again with `labkit release {number}`"
    raise LabkitError(f"{os.path.relpath(path)}: {reason}; {remedy}.")


def _sanitised(
    submission: Submission, released: NotebookNode, limit: int
) -> tuple[NotebookNode | None, dict[str, Any]]:
    about: dict[str, Any] = {"repairs": list(submission.notes), "sha256": None, "taken": submission.taken}
    about |= {"refused": submission.refused or None, "person": submission.person}
    if submission.read is None:
        return None, about
    try:
        data = submission.read(limit)
        about["sha256"] = hashlib.sha256(data).hexdigest()
        text, said = run_limited(_repaired, data, notebook_text(released))
    except RefusedError as error:
        return None, {**about, "refused": str(error)}
    except Overrun as error:
        return None, {**about, "refused": f"it cannot be read: {error}."}
    except OSError:  # of this machine: a full disk, no further process; no submission is refused for that
        raise
    except Exception as error:  # whatever one submission does to its readers, the others go on
        return None, {**about, "refused": f"it cannot be read ({type(error).__name__})."}
    about["repairs"] += said
    return nbformat.reads(text, as_version=4), about


def _attempts(submission: Submission, lab: Lab) -> dict[str, str]:
    """Check of an exercise → what the student's own log says of the attempts at it; no points depend on that."""
    try:
        attempts = parse_attempts(submission.read_attempts(MAX_ATTEMPTS)) if submission.read_attempts else []
    except RefusedError:
        return {}
    said = {}
    for each in chain.from_iterable(exercises(lab.path).values()) if attempts else ():
        failed, passed = tried(attempts, lab.number, each.check, "+".join(each.functions))
        if failed or passed:
            said[each.check] = f"{len(failed)} failed, {'one' if passed else 'none'} passed"
    return said


def _repaired(data: bytes, released: str) -> tuple[str, list[str]]:
    cells, said = read_cells(data)
    notebook, repairs = repair(nbformat.reads(released, as_version=4), cells)
    return notebook_text(notebook), said + repairs


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


def _older(before: object, about: dict[str, Any]) -> list[str]:
    """A batch that is prepared after a newer one replaces it, which nobody may overlook."""
    last = before.get("submitted") if isinstance(before, dict) else None
    if not (last and about["submitted"] and about["submitted"] < last and before.get("sha256") != about["sha256"]):
        return []
    replaced = f"it is dated {about['submitted']}, and replaces one of {last}"
    return [f"{replaced}; if the later one shall count, prepare it again."]


def _known_deadline(place: Place) -> datetime | None:
    from nbgrader.api import MissingEntry

    with open_gradebook(place) as gradebook:
        try:
            due = gradebook.find_assignment(place.name).duedate
        except MissingEntry:
            return None
    return due.replace(tzinfo=UTC) if due else None


def _register(place: Place, result: Prepared, deadline: datetime | None) -> None:
    with open_gradebook(place) as gradebook:
        if deadline is not None:
            due = deadline.astimezone(UTC).replace(tzinfo=None)
            gradebook.update_or_create_assignment(place.name, duedate=due)
        for student, about in result.students.items():
            gradebook.update_or_create_student(student)
            when = {"timestamp": about["submitted"]} if about["submitted"] else {}
            row = gradebook.update_or_create_submission(place.name, student, **when)
            _show_received(place.of(student), row.timestamp)


def _show_received(place: Place, moment: datetime | None) -> None:
    """Formgrader counts these folders, and takes for graded whose file says the moment that the gradebook has."""
    folder = place.folder(RECEIVED)
    folder.mkdir(parents=True, exist_ok=True)
    if moment is not None:
        write_text(folder / "timestamp.txt", moment.isoformat())
