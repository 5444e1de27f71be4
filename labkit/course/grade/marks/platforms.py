"""Totals in the columns that Moodle, Canvas and Gradescope import.

Columns and matching: Moodle's "offline grading worksheet", Canvas' "gradebook CSV", Gradescope's "assignment grades".
Each finds a student by the number that it gave: what another system gave stays out.
"""

import html
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from labkit.course.grade.layout import Place
from labkit.course.grade.marks.export import STALE, grade_rows, write_table
from labkit.course.grade.marks.gradebook import person_of
from labkit.errors import LabkitError, nearest

PLATFORMS = {
    "moodle": ("Identifier", "Full name", "Email address", "Grade", "Maximum Grade", "Feedback comments"),
    "canvas": ("Student", "ID", "SIS User ID", "SIS Login ID", "Section"),  # and one of the lab's
    "gradescope": ("Name", "Email", "SID", "Total Score", "Max Points"),
}


@dataclass
class Exported:
    """Students in a table, and among them those whom the system cannot find, whose answers wait, without a total."""

    students: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    ungraded: list[str] = field(default_factory=list)


def export_for(place: Place, system: str, path: Path) -> Exported:
    """Write a row per student with the total after the penalty for lateness.

    Whose newest work is not graded gets no total: an empty cell changes nothing in the system.

    Raises LabkitError: no such system, nobody is graded yet, or the file cannot be written.
    """
    if system not in PLATFORMS:
        raise LabkitError(f"--for {system}: there is no such table{nearest(system, PLATFORMS)}")
    result, lab = Exported(), f"Lab {place.lab.number}"
    columns, table = PLATFORMS[system] + ((lab,) if system == "canvas" else ()), []
    for student, group in groupby(grade_rows(place), key=lambda row: row["student"]):
        rows, person = list(group), person_of(place.of(student))
        total, most = total_of(rows), sum(row["of"] for row in rows)
        if rows[0]["status"] in (STALE, "not run"):
            total = ""
            result.ungraded.append(student)
        elif any(row["waits for a human"] for row in rows):
            result.waiting.append(student)
        number = person.get("id", "") if person.get("system") == system else ""
        name, email = person.get("name") or student, person.get("email", "")
        if not number and not (email and system == "gradescope"):  # only it finds people by address, too
            result.unknown.append(student)
        result.students.append(student)
        if system == "moodle":
            values = (number and f"Participant {number}", name, email, total, most, _comment(rows))
        elif system == "canvas":
            if not table:
                table.append({"Student": "    Points Possible", lab: most})
            values = (name, number, "", "", "", total)
        else:
            values = (name, email, number, total, most)
        table.append(dict(zip(columns, values, strict=True)))
    write_table(path, columns, table)
    return result


def total_of(rows: list[dict[str, Any]]) -> float:
    """A student's total: the points of all exercises less what lateness costs, which each row names anew."""
    points = sum(row["points"] for row in rows) - rows[0]["late penalty of the lab"]
    return max(0.0, round(points, 4))


def _comment(rows: list[dict[str, Any]]) -> str:
    """What a student reads beside the grade; Moodle takes it for HTML."""
    parts = [f"{row['exercise']}: {row['points']:g} of {row['of']:g}" for row in rows]
    if lost := rows[0]["late penalty of the lab"]:
        parts.append(f"late: −{lost:g}")
    return html.escape("; ".join(parts))
