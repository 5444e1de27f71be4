"""`labkit grade ingest`: outcomes become grades in nbgrader's gradebook and notebooks that formgrader shows.

What a submission says of itself is not read here: exercises and their points come from the release, properties from
the trusted worker. What a human entered is never touched.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from labkit.course.grade.intake.prepare import read_release
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.limited import Overrun, run_limited
from labkit.course.grade.marks.score import LateRule, Score, penalty, score_exercise
from labkit.course.grade.marks.shown import shown_text
from labkit.course.grade.release import notebook_text
from labkit.errors import LabkitError
from labkit.files import read_json, sha256, write_json, write_text


@dataclass
class Record:
    """What is known of one submission."""

    place: Place
    prepared: dict[str, Any]  # prepared.json; empty where it cannot be read
    outcome: dict[str, Any] | None  # outcome.json; None where it was refused, or is not run yet as it is now
    scores: dict[str, Score] = field(default_factory=dict)  # grade_id of a test cell → its score

    @property
    def student(self) -> str:
        return self.place.student

    @property
    def refused(self) -> str:
        """Why it was refused, by `prepare` or by `run`; empty if it was not."""
        if self.prepared.get("refused"):
            return str(self.prepared["refused"])
        if self.outcome and self.outcome.get("status") == "refused":
            return str(self.outcome.get("reason") or "the run refused it.")
        return ""

    @property
    def status(self) -> str:
        """ok, refused, not run, or what stopped it."""
        if self.refused:
            return "refused"
        return str(self.outcome.get("status", "ok")) if self.outcome else "not run"


@dataclass
class Ingested:
    """What `ingest` did: those graded, and student → why the others were not run yet, or failed."""

    graded: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def ingest(place: Place, rule: LateRule | None = None) -> Ingested:
    """Score every submission that was run or refused; a second time changes nothing that stayed the same.

    Args:
        rule: what lateness costs; None keeps what was said before, at first nothing.

    Raises LabkitError: the lab is not released or has no submissions, or the gradebook cannot be used. One bad
        submission does not stop the others.
    """
    from nbgrader.api import MissingEntry
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    released, result, number = read_release(place), Ingested(), place.lab.number
    if rule is not None:
        _remember(place, rule)
    if not (found := records(place)):
        raise LabkitError(f"{place.name}: nothing is prepared; run `labkit grade prepare {number}` first.")
    with open_gradebook(place) as gradebook:
        for record in found:
            if not record.prepared:
                again = f"run `labkit grade prepare {number}` again"
                result.failed[record.student] = f"its prepared.json cannot be read; {again}."
                continue
            if record.status == "not run":
                result.left_out[record.student] = f"not run yet; run `labkit grade run {number}`."
                continue
            try:
                _ingest_one(gradebook, record, released)
                result.graded.append(record.student)
            except (SQLAlchemyError, MissingEntry):  # of the database, not of this submission
                raise
            except Exception as error:  # one submission must not keep the others from their grades
                if isinstance(error.__context__, OperationalError):  # nbgrader's InvalidEntry, of the database
                    raise
                gradebook.db.rollback()
                said = " ".join(str(error).split())[:300]
                result.failed[record.student] = f"could not be scored ({type(error).__name__}: {said})."
        update_penalties(gradebook, place)
    return result


def records(place: Place) -> list[Record]:
    """All submissions of a lab with their outcomes and scores."""
    tests = graded_cells(read_release(place), manual=False)
    found = []
    for one in place.students():
        prepared = prepared_of(one)
        outcome = _read_json(one.folder("executed") / "outcome.json")
        notebook = one.notebook("submitted")
        if outcome and (not notebook.is_file() or outcome.get("notebook_sha256") != sha256(notebook)):
            outcome = None  # of what was handed in before
        if outcome and outcome.get("again"):
            outcome = None  # stopped by the clock; `run` does it once more
        record = Record(one, prepared, outcome)
        record.scores = {name: _score(record, name, points) for name, points in tests.items()}
        found.append(record)
    return found


def person_of(place: Place) -> dict[str, str]:
    """What the system that a submission came from knows its student by: system, name, id, email."""
    return {key: text for key, text in (prepared_of(place).get("person") or {}).items() if isinstance(text, str)}


def prepared_of(place: Place) -> dict[str, Any]:
    """What `prepare` wrote of a submission; empty where it cannot be read or has another shape."""
    found = _read_json(place.folder("submitted") / "prepared.json") or {}
    kinds = {"repairs": list, "person": dict | None, "late_seconds": int | float | None, "attempts": dict | None}
    return found if all(isinstance(found.get(name), kind) for name, kind in kinds.items()) else {}


def graded_cells(released: NotebookNode, *, manual: bool) -> dict[str, float]:
    """grade_id → points of the release's test cells, or with `manual` of those that a human reads."""
    abouts = [cell.metadata.nbgrader for cell in released.cells if "nbgrader" in cell.metadata]
    return {about.grade_id: float(about.points) for about in abouts if about.grade and bool(about.solution) == manual}


def update_penalties(gradebook: Any, place: Place) -> None:
    """What lateness costs, of scores as they are now: a human may have added points since."""
    from nbgrader.api import MissingEntry

    rule = _remembered(place)
    for one in place.students():
        late = prepared_of(one).get("late_seconds")
        try:
            row = gradebook.find_submission_notebook(*one.row)
        except MissingEntry:
            continue
        lost = penalty(row.score, late, rule)
        row.late_submission_penalty = lost or None
    gradebook.db.commit()


def _score(record: Record, name: str, points: float) -> Score:
    outcome = record.outcome or {}
    otherwise = record.refused or str(outcome.get("reason") or ("" if outcome else "it is not run yet."))
    exercises = outcome.get("exercises")
    exercise = exercises.get(name) if isinstance(exercises, dict) and not record.refused else None
    try:
        return score_exercise(points, exercise, otherwise)
    except (KeyError, TypeError, AttributeError):
        return Score(0.0, points, reason="its outcome cannot be read; run it again.")


def _ingest_one(gradebook: Any, record: Record, released: NotebookNode) -> None:
    place = record.place
    notebook = _submitted(record, released)
    shown = place.notebook("autograded")
    try:
        before = _answers(_read_notebook(shown))
    except Exception:  # it is written anew below; the reader raises errors of many kinds
        before = {}
    path = place.notebook("executed") if record.outcome else None  # else of what was handed in before
    blank = _answers(released)
    # Answers are compared as they are shown, so that the notebook of the last time says what they were.
    about = (record.scores, _notes(record))
    try:
        text = run_limited(shown_text, notebook_text(notebook), path, *about)
    except Overrun as error:
        about[1].append(f"What its cells printed is not shown: {error}.")
        text = run_limited(shown_text, notebook_text(notebook), None, *about)
    answers = _answers(nbformat.reads(text, as_version=4))
    gradebook.update_or_create_student(place.student)
    gradebook.update_or_create_submission(place.name, place.student)
    for name, score in record.scores.items():
        _enter_test(gradebook.find_grade(name, *place.row), score.points)
    for name in graded_cells(released, manual=True):
        blank_essay = bool(record.refused) or _unanswered(answers, blank, name)
        changed = not _same(answers.get(name), before.get(name, answers.get(name)))
        _enter_essay(gradebook.find_grade(name, *place.row), blank_essay, changed)
    for name in blank:
        comment = gradebook.find_comment(name, *place.row)
        comment.auto_comment = "No response." if _unanswered(answers, blank, name) else None
    gradebook.db.commit()
    write_text(shown, text)


def _enter_test(grade: Any, points: float) -> None:
    """A human's score stays, and is to be looked at again if the machine's has changed."""
    changed = grade.auto_score is not None and abs(grade.auto_score - points) > 1e-9
    grade.auto_score = points
    grade.needs_manual_grade = grade.manual_score is not None and (changed or grade.needs_manual_grade)


def _enter_essay(grade: Any, blank: bool, changed: bool) -> None:
    grade.auto_score = 0.0 if blank else None
    if grade.manual_score is None:
        grade.needs_manual_grade = not blank
    else:
        grade.needs_manual_grade = changed or grade.needs_manual_grade


def _submitted(record: Record, released: NotebookNode) -> NotebookNode:
    notebook = None if record.prepared.get("refused") else _read_notebook(record.place.notebook("submitted"))
    return notebook if notebook is not None else deepcopy(released)


def _answers(notebook: NotebookNode | None) -> dict[str, str]:
    """grade_id → source of the cells that students fill in."""
    cells = [] if notebook is None else [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    return {c.metadata.nbgrader.grade_id: c.source for c in cells if c.metadata.nbgrader.solution}


def _same(one: str | None, other: str | None) -> bool:
    return (one or "").strip() == (other or "").strip()


def _unanswered(answers: dict[str, str], blank: dict[str, str], name: str) -> bool:
    return _same(answers.get(name), "") or _same(answers.get(name), blank.get(name))


def _notes(record: Record) -> list[str]:
    outcome = record.outcome or {}
    notes = [f"Refused, and so without points: {record.refused}"] if record.refused else []
    if record.status not in ("ok", "refused"):
        notes.append(f"It did not run to its end ({record.status}): {outcome.get('reason') or 'no reason known.'}")
    if late := record.prepared.get("late_seconds"):
        notes.append(f"Handed in {late / 3600:.1f} hours after the deadline.")
    notes += [str(each) for each in record.prepared.get("repairs", [])]
    attempts = record.prepared.get("attempts") or {}
    return notes + [f"Answers to {name}, by the student's own log: {said}." for name, said in attempts.items()]


def _remember(place: Place, rule: LateRule) -> None:
    write_json(place.course / "late.json", {**_late_rules(place), place.name: vars(rule)})


def _remembered(place: Place) -> LateRule:
    try:
        rule = LateRule(**{name: float(number) for name, number in _late_rules(place).get(place.name, {}).items()})
        if not (0 <= rule.share <= 1 and rule.period_seconds > 0 and rule.grace_seconds >= 0):
            raise ValueError
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LabkitError(f"{place.course / 'late.json'}: is no late rule; give --late again.") from error
    return rule


def _late_rules(place: Place) -> dict[str, Any]:
    """Every lab's rule; a file that is damaged must not become none, by which lateness would cost nothing."""
    path = place.course / "late.json"
    rules = _read_json(path)
    if rules is None and path.exists():
        raise LabkitError(f"{path}: is damaged; delete it and give each lab its --late again.")
    return rules or {}


def _read_notebook(path: Path) -> NotebookNode | None:
    return nbformat.read(path, as_version=4) if path.is_file() else None


def _read_json(path: Path) -> dict[str, Any] | None:
    value = read_json(path)
    return value if isinstance(value, dict) else None
