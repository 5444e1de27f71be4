"""What came of a lab: a table of points for a spreadsheet, and a page about the class."""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader

from labkit.course.grade.intake.prepare import read_release
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.marks.gradebook import Record, graded_cells, records, update_penalties
from labkit.course.grade.marks.neutral import plain_text, safe_markdown
from labkit.errors import LabkitError
from labkit.files import write_text

COLUMNS = (
    "student",
    "lab",
    "exercise",
    "points",
    "of",
    "by hand",
    "waits for a human",
    "properties missed",
    "late penalty of the lab",
    "hours late",
    "status",
    "reason",
)
FORMULA = re.compile(r"(^[\s\0\u200b-\u202e\ufeff]*|[;,|\t\r\n]\s*)(?=[=+\-@\t\r＝＋－＠])")
STALE = "not ingested"
MEASURED = re.compile(r"-?\d+\.\d+(e[+-]?\d+)?|\b(inf|nan)\b")  # the same mistake gives other numbers
MAX_SAID = 600  # characters of what a page quotes


def export_csv(place: Place, path: Path) -> int:
    """Write a row per student and exercise; returns how many.

    Raises LabkitError: nobody is graded yet, or the file cannot be written.
    """
    rows = grade_rows(place)
    write_table(path, COLUMNS, rows)
    return len(rows)


def write_table(path: Path, columns: Sequence[str], rows: list[dict[str, Any]]) -> None:
    """Write a CSV that spreadsheets read as UTF-8, and in which none of them finds a formula."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    write_text(path, "\ufeff" + text.getvalue())  # by which spreadsheets know UTF-8


def grade_rows(place: Place) -> list[dict[str, Any]]:
    """Points as the gradebook has them, a human's included, and beside them why.

    Who was never ingested has no row; whose outcome is another than was ingested has the status "not ingested".

    Raises LabkitError: nobody is graded yet.
    """
    released, rows = read_release(place), []
    exercises = [*graded_cells(released, manual=False), *graded_cells(released, manual=True)]
    with open_gradebook(place) as gradebook:
        from nbgrader.api import MissingEntry

        update_penalties(gradebook, place)
        for record in records(place):
            one = record.place
            if not one.notebook("autograded").is_file():
                continue
            try:
                lost = gradebook.find_submission_notebook(*one.row).late_submission_penalty or 0.0
                grades = {name: gradebook.find_grade(name, *one.row) for name in exercises}
            except MissingEntry:
                continue
            status = STALE if _stale(record, grades) else record.status
            rows += [_row(grade, name, record, lost, status) for name, grade in grades.items()]
    if not rows:
        raise LabkitError(f"{place.name}: nobody is graded; run `labkit grade ingest {place.lab.number}` first.")
    return rows


def overview(place: Place) -> str:
    """The class at a glance, as Markdown: what was missed most, points per exercise, time per submission.

    Raises LabkitError: nobody is graded yet.
    """
    found, rows = records(place), grade_rows(place)
    states = Counter(record.status for record in found)
    parts = [
        f"# {place.name}: {plain_text(place.lab.title)}",
        f"{len(found)} submissions: " + ", ".join(f"{count} {state}" for state, count in states.most_common()) + ".",
        "## Points per exercise",
        _points(rows),
        "## Properties, the most missed first",
        _missed(found),
        "## Time",
        _times(found),
    ]
    if unsafe := [each.student for each in found if (each.outcome or {}).get("sandbox") == "none"]:
        parts.append(f"**Without a sandbox**: {', '.join(unsafe)}.")
    graded = {row["student"] for row in rows if row["status"] != STALE}
    if waiting := [each.student for each in found if each.status != "not run" and each.student not in graded]:
        parts.append(f"**Not ingested**: {', '.join(waiting)}; run `labkit grade ingest {place.lab.number}`.")
    if stopped := [each for each in found if each.status not in ("ok", "not run")]:
        parts.append("## Did not run to their end\n\n" + "\n".join(_stopped(each) for each in stopped))
    return "\n\n".join(parts) + "\n"


def write_overview(place: Place) -> Path:
    """Write `overview` as a page, overview/<lab>.html, and as Markdown beside it; returns the page."""
    text = overview(place)
    page = place.course / "overview" / f"{place.name}.html"
    templates = Environment(loader=PackageLoader("labkit.course.grade", "marks"), autoescape=True)
    write_text(page.with_suffix(".md"), text)
    about = {"title": place.name, "body": safe_markdown(text), "mistakes": mistakes(records(place))}
    html = templates.get_template("overview.html.j2").render(about)
    write_text(page, html + "\n")
    return page


def mistakes(found: list[Record]) -> list[dict[str, Any]]:
    """What went wrong, the most frequent first: exercise, property, hint, and who, with a link to that feedback.

    A hint without its numbers tells one mistake from another. The link leads from overview/ to the exercise on the
    student's page; it is empty where there is no page.
    """
    who: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
    for record in found:
        page = record.place.folder("feedback") / f"{record.place.lab.stem}.html"
        link = f"../{quote(page.relative_to(record.place.course).as_posix())}" if page.is_file() else ""
        for name, score in record.scores.items():
            for each in score.properties:
                if not each["passed"]:
                    hint = MEASURED.sub("…", each["hint"][:MAX_SAID])
                    student = {"student": record.student, "link": link and f"{link}#{quote(name)}"}
                    who[name, each["name"], hint].append(student)
    keys = sorted(who, key=lambda key: (-len(who[key]), key))
    return [{"exercise": e, "property": p, "hint": h, "students": who[e, p, h]} for e, p, h in keys]


def _stale(record: Record, grades: dict[str, Any]) -> bool:
    """Whether the outcome that there is now is another than the gradebook knows."""
    known = {name: grades[name].auto_score for name in record.scores}
    return record.status != "not run" and any(
        known[name] is None or abs(known[name] - score.points) > 1e-9 for name, score in record.scores.items()
    )


def _row(grade: Any, name: str, record: Record, lost: float, status: str) -> dict[str, Any]:
    score = record.scores.get(name)
    missed = [each["name"] for each in score.properties if not each["passed"]] if score else []
    late = record.prepared.get("late_seconds")
    return {
        "student": record.student,
        "lab": record.place.name,
        "exercise": name,
        "points": round(grade.score, 4),
        "of": grade.max_score,
        "by hand": "" if grade.manual_score is None else round(grade.manual_score, 4),
        "waits for a human": "yes" if grade.needs_manual_grade else "",
        "properties missed": "; ".join(missed),
        "late penalty of the lab": round(lost, 4),
        "hours late": "" if late is None else round(late / 3600, 2),
        "status": status,
        "reason": score.reason if score else record.refused,
    }


def _cell(value: Any) -> Any:
    """A spreadsheet takes text that begins so for a formula, also behind what it may take for the end of a cell."""
    return FORMULA.sub(r"\1'", value) if isinstance(value, str) else value


def _points(rows: list[dict[str, Any]]) -> str:
    by_exercise: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        by_exercise[row["exercise"]].append(row)
    lines = ["| exercise | mean points | of | full marks | wait for a human |", "| --- | --- | --- | --- | --- |"]
    for name, those in by_exercise.items():
        full = sum(row["points"] >= row["of"] for row in those) if those[0]["of"] else "–"
        wait = sum(bool(row["waits for a human"]) for row in those)
        read = [row["points"] for row in those if not row["waits for a human"]]
        average = f"{mean(read):.2f}" if read else "–"
        lines.append(f"| {plain_text(name)} | {average} | {those[0]['of']:g} | {full} | {wait} |")
    return "\n".join(lines)


def _missed(found: list[Record]) -> str:
    asked: Counter[tuple[str, str]] = Counter()
    missed: Counter[tuple[str, str]] = Counter()
    for record in found:
        for name, score in record.scores.items():
            for each in score.properties:
                asked[name, each["name"]] += 1
                missed[name, each["name"]] += not each["passed"]
    lines = ["| exercise | property | missed | asked |", "| --- | --- | --- | --- |"]
    for key in sorted(asked, key=lambda key: -missed[key]):
        lines.append(f"| {plain_text(key[0])} | {plain_text(key[1])} | {missed[key]} | {asked[key]} |")
    return "\n".join(lines)


def _times(found: list[Record]) -> str:
    seconds = {each.student: float(each.outcome["seconds"]) for each in found if _timed(each)}
    if not seconds:
        return "Nothing was run."
    slowest = sorted(seconds, key=lambda student: -seconds[student])[:5]
    listed = ", ".join(f"{student} {seconds[student]:.0f} s" for student in slowest)
    return f"Half of them took less than {median(seconds.values()):.0f} s. The longest: {listed}."


def _timed(record: Record) -> bool:
    return record.outcome is not None and isinstance(record.outcome.get("seconds"), int | float)


def _stopped(record: Record) -> str:
    reason = record.refused or str((record.outcome or {}).get("reason") or "no reason known.")
    return f"- {record.student}: {plain_text(reason)}"
