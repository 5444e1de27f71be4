import csv
import re
import shutil
import sys
import zipfile

import pytest
from example_course import active, properties, run_trusted, write_outcome

from labkit.course.grade.demo import DEADLINE, make_demo
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.marks import export
from labkit.course.grade.marks.export import export_csv, grade_rows, overview, write_overview
from labkit.course.grade.marks.gradebook import ingest, records
from labkit.course.grade.marks.score import parse_late_rule
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    lab = make_demo(course)
    prepare(Place(course, lab), course / "handed-in", deadline=DEADLINE)
    run_trusted(course, lab)
    exercises = {
        "log-density-test": properties(True, False),
        "components-test": {"properties": [], "reason": "=1+1"},
    }
    write_outcome(course, lab, "nia-untouched", exercises=exercises, seconds=99, sandbox="none")
    ingest(Place(course, lab), parse_late_rule("10%/day", "1h"))
    return course, lab


def test_the_table_has_a_row_per_student_and_exercise(graded, tmp_path):
    count = export_csv(Place(*graded), tmp_path / "grades.csv")
    with open(tmp_path / "grades.csv", newline="", encoding="utf-8-sig") as stream:
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
    for row in grade_rows(Place(*graded)):
        if row["status"] == "ok" and row["exercise"] != "essay" and not row["properties missed"]:
            assert row["points"] in (0, row["of"]) or row["student"] == "nia-untouched"
        assert 0 <= row["points"] <= row["of"]


def test_a_row_and_the_overview_say_what_the_gradebook_does(graded, tmp_path):
    course, lab = shutil.copytree(graded[0], tmp_path / "course"), graded[1]
    place = (lab.stem, f"lab{lab.number}", "eve-late")
    with open_gradebook(Place(course, lab)) as gradebook:
        test, essay = (gradebook.find_grade(name, *place) for name in ("log-density-test", "essay"))
        test.manual_score, essay.manual_score, essay.needs_manual_grade = 2.5, 1.5, False
        gradebook.db.commit()
    rows = {(row["student"], row["exercise"]): row for row in grade_rows(Place(course, lab))}
    assert rows["eve-late", "log-density-test"] == {
        "student": "eve-late",
        "lab": "labdemo",
        "exercise": "log-density-test",
        "points": 2.5,
        "of": 4,
        "by hand": 2.5,
        "waits for a human": "",
        "properties missed": "",
        "late penalty of the lab": 1.6,
        "hours late": 26,
        "status": "ok",
        "reason": "",
    }
    assert rows["lea-no-notebook", "essay"]["reason"] == rows["lea-no-notebook", "log-density-test"]["reason"]
    assert rows["lea-no-notebook", "essay"]["reason"] and rows["ada-right", "essay"]["by hand"] == ""
    points = [row["points"] for (_, name), row in rows.items() if name == "log-density-test"]
    full = sum(each == 4 for each in points)
    assert 0 < full < len(points) == 14
    assert f"| log-density-test | {sum(points) / 14:.2f} | 4 | {full} | 0 |" in overview(Place(course, lab))


def test_no_cell_is_a_formula(graded, tmp_path):
    export_csv(Place(*graded), tmp_path / "grades.csv")
    text = (tmp_path / "grades.csv").read_text()
    assert "'=1+1" in text
    with open(tmp_path / "grades.csv", newline="") as stream:
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in csv.reader(stream) for cell in row)


def test_the_overview_names_what_was_missed_most_first(graded):
    text = overview(Place(*graded))
    assert "14 submissions: 11 ok, 1 kernel died, 1 time-out, 1 refused." in text
    missed = text.split("## Properties")[1].split("## Time")[0].splitlines()
    counts = [int(line.split(" | ")[2]) for line in missed if line.startswith(("| log", "| comp"))]
    assert counts == sorted(counts, reverse=True) and counts[0] > 0
    assert "The longest: nia-untouched 99 s" in text
    constant = next(line for line in missed if "2π" in line)
    assert constant.split(" | ")[2] == str(
        sum("2π" in row["properties missed"] for row in grade_rows(Place(*graded)))
    )
    assert "**Without a sandbox**: nia-untouched." in text
    assert "- lea-no-notebook: it is no notebook" in text


def test_the_page_is_the_same_and_does_nothing_by_itself(graded):
    page = write_overview(Place(*graded))
    assert page.with_suffix(".md").read_text(encoding="utf-8") == overview(Place(*graded))
    html = page.read_text(encoding="utf-8")
    assert active(html) == ["meta", "style"] and "<table" in html


def test_the_page_names_each_mistake_with_whose_it_is_and_links_to_their_feedback(graded, tmp_path):
    course, lab = shutil.copytree(graded[0], tmp_path / "course"), graded[1]
    said = "<script>alert(1)</script> mean is 0.{} at 3 points"
    for student, number in (("ada-right", 25), ("ben-right-otherwise", 31)):
        write_outcome(
            course, lab, student, exercises={"log-density-test": properties(False, hint=said.format(number))}
        )
    ingest(Place(course, lab))
    page = Place(course, lab).of("ada-right").folder("feedback") / f"{lab.stem}.html"
    page.parent.mkdir(parents=True)
    page.write_text('<a name="log-density-test"></a>')
    (mistake,) = [each for each in export.mistakes(records(Place(course, lab))) if "mean is … at 3" in each["hint"]]
    assert (mistake["exercise"], mistake["property"]) == ("log-density-test", "property 0")
    assert [each["student"] for each in mistake["students"]] == ["ada-right", "ben-right-otherwise"]
    path = write_overview(Place(course, lab))
    html = path.read_text(encoding="utf-8")
    (link,) = re.findall(r'href="([^"]+)">ada-right<', html)
    file, _, anchor = link.partition("#")
    assert (path.parent / file).resolve() == page.resolve() and anchor == "log-density-test"
    assert "<script" not in html and ">ben-right-otherwise<" not in html and "ben-right-otherwise" in html


def test_what_is_not_ingested_is_no_grade(graded, tmp_path):
    course, lab = shutil.copytree(graded[0], tmp_path / "course"), graded[1]
    for student in ("ada-right", "new"):
        shutil.copy(course / "handed-in" / "cleo-no-constant" / lab.path.name, tmp_path / f"{student}.ipynb")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as packed:
        for student in ("ada-right", "new"):
            packed.write(tmp_path / f"{student}.ipynb", f"{student}/{lab.path.name}")
    prepare(Place(course, lab), tmp_path / "more.zip")
    states = {row["student"]: row["status"] for row in grade_rows(Place(course, lab))}
    assert states["ada-right"] == "not run" and states["ben-right-otherwise"] == "ok" and "new" not in states
    run_trusted(course, lab)
    rows = {(row["student"], row["exercise"]): row for row in grade_rows(Place(course, lab))}
    assert rows["ada-right", "log-density-test"]["status"] == "not ingested"
    assert rows["ada-right", "log-density-test"]["points"] == 4 and ("new", "essay") not in rows
    assert "**Not ingested**: ada-right, new, nia-untouched; run" in overview(Place(course, lab))
    ingest(Place(course, lab))
    rows = {(row["student"], row["exercise"]): row for row in grade_rows(Place(course, lab))}
    for student in ("ada-right", "new"):
        assert rows[student, "log-density-test"]["points"] == 3
        assert rows[student, "log-density-test"]["status"] == "ok"
    assert "Not ingested" not in overview(Place(course, lab))


def test_without_grades_it_says_what_to_do(tmp_path, monkeypatch):
    lab = make_demo(tmp_path)
    with pytest.raises(LabkitError, match="labkit grade ingest demo"):
        export_csv(Place(tmp_path, lab), tmp_path / "x.csv")
    prepare(Place(tmp_path, lab), tmp_path / "handed-in")
    run_trusted(tmp_path, lab)
    with pytest.raises(LabkitError, match="labkit grade ingest demo"):
        export_csv(Place(tmp_path, lab), tmp_path / "x.csv")
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    with pytest.raises(LabkitError, match="grading needs nbgrader"):
        export_csv(Place(tmp_path, lab), tmp_path / "x.csv")


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "a; =1+1", "a,@x", "x\n=cmd()", " =1", "\uff1d1", ";-1", "a|+1"],
)
def test_no_cell_begins_a_formula_wherever_a_spreadsheet_splits_it(text):
    written = export._cell(text)
    for part in re.split(r"[;,|\t\r\n]", written):
        assert not part.strip().startswith(("=", "+", "-", "@", "\uff1d")), written
    assert any(part.strip().startswith(("=", "+", "-", "@", "\uff1d")) for part in re.split(r"[;,|\t\r\n]", text))


@pytest.mark.parametrize("sign", ["\ufeff", "\0", "\u200b", "\u202e"])
def test_a_sign_that_nobody_sees_hides_no_formula(sign):
    assert export._cell(f"{sign}=1") == f"{sign}'=1"


def test_what_begins_no_formula_stays_as_it_is():
    for each in ("ada", "a-b", "x = 1", 3.5, "", None, "1+1"):
        assert export._cell(each) == each
