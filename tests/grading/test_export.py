import csv

import pytest
from example_course import active, properties, run_trusted, write_outcome

from labkit.errors import LabkitError
from labkit.grading.demo import DEADLINE, make_demo
from labkit.grading.export import export_csv, grade_rows, overview, write_overview
from labkit.grading.gradebook import ingest
from labkit.grading.prepare import prepare
from labkit.grading.score import parse_late_rule

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    lab = make_demo(course)
    prepare(course, lab, course / "handed-in", deadline=DEADLINE)
    run_trusted(course, lab)
    exercises = {
        "log-density-test": properties(True, False),
        "components-test": {"properties": [], "reason": "=1+1"},
    }
    write_outcome(course, lab, "nia-untouched", exercises=exercises, seconds=99, sandbox="none")
    ingest(course, lab, parse_late_rule("10%/day", "1h"))
    return course, lab


def test_the_table_has_a_row_per_student_and_exercise(graded, tmp_path):
    count = export_csv(*graded, tmp_path / "grades.csv")
    with open(tmp_path / "grades.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert count == len(rows) == 14 * 3
    assert len({(row["student"], row["exercise"]) for row in rows}) == len(rows)
    found = {(row["student"], row["exercise"]): row for row in rows}
    assert found["cleo-no-constant", "log-density-test"]["points"] == "3.0"
    assert "2π" in found["cleo-no-constant", "log-density-test"]["properties missed"]
    assert found["eve-late", "essay"]["late penalty of the lab"] == "1.6"
    assert found["eve-late", "essay"]["hours late"] == "26.0"
    assert found["lea-no-notebook", "essay"]["status"] == "refused"
    assert found["ada-right", "essay"]["waits for a human"] == "yes"


def test_points_of_the_table_are_those_of_the_properties(graded):
    for row in grade_rows(*graded):
        if row["status"] == "ok" and row["exercise"] != "essay" and not row["properties missed"]:
            assert row["points"] in (0, row["of"]) or row["student"] == "nia-untouched"
        assert 0 <= row["points"] <= row["of"]


def test_no_cell_is_a_formula(graded, tmp_path):
    export_csv(*graded, tmp_path / "grades.csv")
    text = (tmp_path / "grades.csv").read_text()
    assert "'=1+1" in text
    with open(tmp_path / "grades.csv", newline="") as stream:
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in csv.reader(stream) for cell in row)


def test_the_overview_names_what_was_missed_most_first(graded):
    text = overview(*graded)
    assert "14 submissions: 11 ok, 1 kernel died, 1 time-out, 1 refused." in text
    missed = text.split("## Properties")[1].split("## Time")[0].splitlines()
    counts = [int(line.split(" | ")[2]) for line in missed if line.startswith(("| log", "| comp"))]
    assert counts == sorted(counts, reverse=True) and counts[0] > 0
    assert "nia-untouched 99 s" in text
    assert "**Without a sandbox**: nia-untouched." in text
    assert "- lea-no-notebook: refused" in text


def test_the_page_is_the_same_and_does_nothing_by_itself(graded):
    page = write_overview(*graded)
    assert page.with_suffix(".md").read_text(encoding="utf-8") == overview(*graded)
    html = page.read_text(encoding="utf-8")
    assert active(html) == ["meta", "style"] and "<table>" in html


def test_without_grades_it_says_what_to_do(tmp_path):
    lab = make_demo(tmp_path)
    with pytest.raises(LabkitError, match="labkit grade ingest demo"):
        export_csv(tmp_path, lab, tmp_path / "x.csv")
