"""Totals as learning platforms import them, read back with pandas."""

import io
import json
import shutil

import pandas as pd
import pytest
from example_course import run_trusted
from typer.testing import CliRunner

from labkit.course.cli import app
from labkit.course.grade.demo import DEADLINE, make_demo
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.marks.gradebook import ingest
from labkit.course.grade.marks.platforms import PLATFORMS, export_for, total_of
from labkit.course.grade.marks.score import parse_late_rule
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")
WITHOUT_A_NUMBER = {"ada-right", "cleo-no-constant"}
COLUMNS = {  # of the number, the name and the total
    "moodle": ("Identifier", "Full name", "Grade"),
    "canvas": ("ID", "Student", "Lab demo"),
    "gradescope": ("SID", "Name", "Total Score"),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The example course with a penalty, one answer read by a human, and one submission newer than its grade."""
    course = tmp_path_factory.mktemp("course")
    lab = make_demo(course)
    place = Place(course, lab)
    prepare(place, course / "handed-in", deadline=DEADLINE)
    run_trusted(course, lab)
    ingest(place, parse_late_rule("10%/day", "1h"))
    with open_gradebook(place) as gradebook:
        essay = gradebook.find_grade("essay", *place.of("eve-late").row)
        essay.manual_score, essay.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    return place


def known_to(graded, folder, system):
    """A copy of the course whose students come from `system`, all but two with a number."""
    place = Place(shutil.copytree(graded.course, folder / "course"), graded.lab)
    for number, one in enumerate(place.students()):
        path = one.folder("submitted") / "prepared.json"
        person = {"system": system, "name": f"=Name of, {one.student}", "id": str(100 + number)}
        if one.student in WITHOUT_A_NUMBER:
            person.pop("id")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"person": person}))
    return place


@pytest.mark.parametrize("system", PLATFORMS)
def test_totals_are_those_of_the_gradebook_and_lateness_costs_once(graded, tmp_path, system):
    place = known_to(graded, tmp_path, system)
    path = tmp_path / "totals.csv"
    result = export_for(place, system, path)
    number, name, total = COLUMNS[system]
    table = pd.read_csv(path, dtype={number: str}).fillna({number: ""})
    assert tuple(table)[: len(PLATFORMS[system])] == PLATFORMS[system]
    if system == "canvas":
        assert table[name][0] == "    Points Possible" and table[total][0] == 10
        table = table[1:]
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") and not table[name].str.startswith("=").any()
    totals = {each.split("Name of, ")[1]: points for each, points in zip(table[name], table[total], strict=True)}
    with open_gradebook(place) as gradebook:
        rows = {row.student.id: row for row in gradebook.assignment_submissions(place.name)}
        assert totals == pytest.approx(
            {one: max(0.0, row.score - (row.late_submission_penalty or 0)) for one, row in rows.items()}
        )
        assert rows["eve-late"].late_submission_penalty > 0
    assert set(result.unknown) == WITHOUT_A_NUMBER and (table[number] == "").sum() == 2
    assert "ada-right" in result.waiting and "eve-late" not in result.waiting and not result.ungraded
    if system == "moodle":
        assert table[number].str.fullmatch(r"Participant 1\d\d|").all() and (table["Maximum Grade"] == 10).all()
        assert "late: −" in table["Feedback comments"][list(totals).index("eve-late")]


def test_numbers_of_another_system_stay_out(graded, tmp_path):
    place = known_to(graded, tmp_path, "canvas")
    result = export_for(place, "moodle", tmp_path / "totals.csv")
    assert result.unknown == result.students and pd.read_csv(tmp_path / "totals.csv")["Identifier"].isna().all()


def test_the_command_says_what_is_missing_and_newer_work_gets_no_total(graded, tmp_path):
    place = known_to(graded, tmp_path, "gradescope")
    path = place.of("ben-right-otherwise").folder("executed") / "outcome.json"
    outcome = json.loads(path.read_text())
    outcome["exercises"] = {}
    path.write_text(json.dumps(outcome))
    command = ["grade", "export", "demo", "--course", str(place.course), "--for"]
    done = CliRunner().invoke(app, [*command, "gradescope"])
    assert done.exit_code == 0, done.output
    for words in (
        "14 totals in",
        "2 without what gradescope knows them by",
        "not graded yet: ben-right-otherwise",
        "nobody has read yet",
    ):
        assert words in done.output
    table = pd.read_csv(place.course / "labdemo-gradescope.csv").set_index("Name")["Total Score"]
    assert table.isna().sum() == 1 and table.isna()["'=Name of, ben-right-otherwise"]
    with pytest.raises(LabkitError, match="--for moodel: there is no such table; did you mean moodle"):
        export_for(place, "moodel", io.StringIO())


def test_lateness_never_costs_more_than_there_is():
    row = {"points": 1.0, "late penalty of the lab": 3.0}
    assert total_of([row, row]) == 0 and total_of([row | {"late penalty of the lab": 0.5}] * 2) == 1.5
