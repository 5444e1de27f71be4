import json
import shutil
from types import SimpleNamespace

import nbformat
import pytest
from example_course import properties, run_trusted, write_outcome

from labkit.course.grade.demo import DEADLINE, fill, make_demo
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.marks import gradebook as gradebook_module
from labkit.course.grade.marks.gradebook import graded_cells, ingest, records
from labkit.course.grade.marks.neutral import unescaped
from labkit.course.grade.marks.score import parse_late_rule
from labkit.errors import LabkitError
from labkit.files import write_json

pytest.importorskip("nbgrader", reason="needs the extra `grade`")
TESTS = ("log-density-test", "components-test")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    lab = make_demo(course)
    prepare(Place(course, lab), course / "handed-in", deadline=DEADLINE)
    run_trusted(course, lab)
    ingest(Place(course, lab), parse_late_rule("10%/day", "1h"))
    return course, lab


@pytest.fixture
def graded(template, tmp_path):
    course, lab = template
    shutil.copytree(course, tmp_path / "course")
    return tmp_path / "course", lab


def grades(course, lab, student):
    with open_gradebook(Place(course, lab)) as gradebook:
        row = gradebook.find_submission_notebook(lab.stem, f"lab{lab.number}", student)
        return {each.name: each.to_dict() for each in row.grades}


def everything(course):
    """All that is in the gradebook, as text that can be compared."""
    with open_gradebook(Place(course, None)) as gradebook:
        notebooks = [n for s in gradebook.students for sub in s.submissions for n in sub.notebooks]
        said = [
            (
                n.student.id,
                n.late_submission_penalty,
                *(str(c.to_dict()) for c in sorted(n.comments, key=lambda c: c.name)),
            )
            for n in notebooks
        ]
        return sorted(map(str, said + [g.to_dict() for n in notebooks for g in n.grades]))


def test_the_feedback_names_the_attempts_and_they_win_no_points(graded):
    course, lab = graded
    path = Place(course, lab, "ada-right").folder("submitted") / "prepared.json"
    before = everything(course)
    write_json(path, json.loads(path.read_text()) | {"attempts": {"first_check": "2 failed, one passed"}})
    ingest(Place(course, lab))
    said = "Answers to first_check, by the student's own log: 2 failed, one passed"
    assert said in unescaped(autograded(course, lab, "ada-right").cells[0].source)
    assert everything(course) == before


def autograded(course, lab, student):
    return nbformat.read(Place(course, lab, student).notebook("autograded"), as_version=4)


def shown(course, lab, student):
    return "\n".join(cell.source for cell in autograded(course, lab, student).cells)


@pytest.mark.parametrize(
    ("student", "points", "essay_waits"),
    [
        ("ada-right", (4, 4), True),
        ("ben-right-otherwise", (4, 4), True),
        ("cleo-no-constant", (3, 4), True),
        ("finn-warnings", (4, 4), True),
        ("gus-deleted-test", (4, 4), True),
        ("hana-renamed-cell", (4, 4), True),
        ("jon-kills-the-kernel", (4, 0), True),
        ("kim-endless-loop", (4, 0), True),
        ("lea-no-notebook", (0, 0), False),
        ("nia-untouched", (0, 0), False),
    ],
)
def test_everybody_gets_what_the_properties_are_worth(template, student, points, essay_waits):
    found = grades(*template, student)
    assert tuple(found[name]["auto_score"] for name in TESTS) == pytest.approx(points)
    assert not any(found[name]["needs_manual_grade"] for name in TESTS)
    assert found["essay"]["needs_manual_grade"] == essay_waits
    assert found["essay"]["auto_score"] == (None if essay_waits else 0)


def test_a_late_submission_loses_its_share_and_gets_it_of_a_humans_points_too(graded):
    course, lab = graded
    with open_gradebook(Place(course, lab)) as gradebook:
        place = (lab.stem, f"lab{lab.number}", "eve-late")
        assert gradebook.find_submission_notebook(*place).late_submission_penalty == pytest.approx(0.2 * 8)
        assert gradebook.find_submission(f"lab{lab.number}", "eve-late").total_seconds_late == 26 * 3600
        gradebook.find_grade("essay", *place).manual_score = 2
        gradebook.db.commit()
    ingest(Place(course, lab))
    with open_gradebook(Place(course, lab)) as gradebook:
        assert gradebook.find_submission_notebook(*place).late_submission_penalty == pytest.approx(0.2 * 10)
    write_json(course / "late.json", json.loads((course / "late.json").read_text()) | {"lab99": {"share": 1}})
    ingest(Place(course, lab), parse_late_rule("none"))
    assert json.loads((course / "late.json").read_text())["lab99"] == {"share": 1}
    with open_gradebook(Place(course, lab)) as gradebook:
        assert gradebook.find_submission_notebook(*place).late_submission_penalty is None


def test_a_second_ingest_changes_nothing(graded):
    course, lab = graded
    before = everything(course)
    pages = {path: path.read_bytes() for path in course.glob("autograded/*/*/*.ipynb")}
    assert len(ingest(Place(course, lab)).graded) == 14
    assert everything(course) == before
    assert {path: path.read_bytes() for path in course.glob("autograded/*/*/*.ipynb")} == pages


def by_hand(course, lab, student, name, **values):
    with open_gradebook(Place(course, lab)) as gradebook:
        grade = gradebook.find_grade(name, lab.stem, f"lab{lab.number}", student)
        for key, value in values.items():
            setattr(grade, key, value)
        gradebook.db.commit()


def test_what_a_human_entered_survives(graded):
    course, lab = graded
    by_hand(course, lab, "ada-right", "essay", manual_score=1.5, extra_credit=0.5, needs_manual_grade=False)
    by_hand(course, lab, "cleo-no-constant", "log-density-test", manual_score=3.5, needs_manual_grade=False)
    with open_gradebook(Place(course, lab)) as gradebook:
        comment = gradebook.find_comment("essay", lab.stem, f"lab{lab.number}", "ada-right")
        comment.manual_comment = "Well said."
        gradebook.db.commit()
    before = everything(course)
    ingest(Place(course, lab))
    assert everything(course) == before
    essay, density = (
        grades(course, lab, "ada-right")["essay"],
        grades(course, lab, "cleo-no-constant")[TESTS[0]],
    )
    assert (essay["manual_score"], essay["extra_credit"], essay["needs_manual_grade"]) == (1.5, 0.5, False)
    assert (density["manual_score"], density["auto_score"]) == (3.5, 3)


def test_a_human_looks_again_where_the_work_or_its_score_has_changed(graded):
    course, lab = graded
    by_hand(course, lab, "ada-right", "essay", manual_score=2, needs_manual_grade=False)
    by_hand(course, lab, "ada-right", "components-test", manual_score=1, needs_manual_grade=False)
    by_hand(course, lab, "ada-right", "log-density-test", manual_score=1, needs_manual_grade=False)
    again = nbformat.read(Place(course, lab).release, as_version=4)
    fill(
        again,
        essay="Something else.",
        components="def components_for(share, ratios):\n    return 1\n\n\n"
        "def nearest_power_of_two(count):\n    return 2",
    )
    nbformat.write(again, course / "handed-in" / "ada-right" / lab.path.name)
    prepare(Place(course, lab), course / "handed-in", deadline=DEADLINE)
    assert ingest(Place(course, lab)).left_out == {"ada-right": "not run yet; run `labkit grade run demo`."}
    run_trusted(course, lab)
    ingest(Place(course, lab))
    ingest(Place(course, lab))  # who has not looked yet is still to look
    found = grades(course, lab, "ada-right")
    assert {name: each["needs_manual_grade"] for name, each in found.items()} == {
        "essay": True,
        "components-test": True,
        "log-density-test": False,
    }
    assert [each["manual_score"] for each in found.values()].count(None) == 0


def test_an_outcome_of_an_earlier_hand_in_counts_for_nothing(graded):
    course, lab = graded
    notebook = Place(course, lab, "ada-right").notebook("submitted")
    notebook.write_text(notebook.read_text().replace("square", "cube"))
    record = next(each for each in records(Place(course, lab)) if each.student == "ada-right")
    assert record.status == "not run" and record.outcome is None
    assert {score.reason for score in record.scores.values()} == {"it is not run yet."}
    before = grades(course, lab, "ada-right")
    ingest(Place(course, lab))
    assert grades(course, lab, "ada-right") == before


def hand_in_again(course, lab, student, **answers):
    """Another notebook of the student's own, or with `text` something that is none; prepared, not run."""
    path = course / "handed-in" / student / lab.path.name
    if "text" in answers:
        path.write_text(answers["text"])
    else:
        again = nbformat.read(Place(course, lab).release, as_version=4)
        fill(again, **answers)
        nbformat.write(again, path)
    prepare(Place(course, lab), course / "handed-in", deadline=DEADLINE)


def test_a_refusal_shows_nothing_of_what_was_handed_in_before(graded):
    course, lab = graded
    prints = {"output_type": "stream", "name": "stdout", "text": "of the first hand-in"}
    write_outcome(course, lab, "ada-right", exercises={}, outputs=[nbformat.from_dict(prints)])
    ingest(Place(course, lab))
    assert "of the first" in str(autograded(course, lab, "ada-right"))
    hand_in_again(course, lab, "ada-right", text="the wrong file")
    ingest(Place(course, lab))
    assert "of the first" not in str(autograded(course, lab, "ada-right"))
    found = grades(course, lab, "ada-right").values()
    assert not any(each["auto_score"] or each["needs_manual_grade"] for each in found)


def test_a_submission_that_cannot_be_scored_keeps_its_grades(graded, monkeypatch):
    course, lab = graded
    before = everything(course)
    write_outcome(course, lab, "ada-right", exercises={test: properties(False) for test in TESTS})
    enter, calls = gradebook_module._enter_essay, []

    def stops_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError("the disk is full")
        enter(*arguments)

    monkeypatch.setattr(gradebook_module, "_enter_essay", stops_once)
    assert "disk is full" in ingest(Place(course, lab)).failed["ada-right"]
    assert everything(course) == before


def test_an_essay_that_was_emptied_is_no_response(graded):
    course, lab = graded
    hand_in_again(course, lab, "ada-right", essay="  ")
    run_trusted(course, lab)
    ingest(Place(course, lab))
    essay = grades(course, lab, "ada-right")["essay"]
    assert (essay["auto_score"], essay["needs_manual_grade"]) == (0, False)
    with open_gradebook(Place(course, lab)) as gradebook:
        comments = {
            student: gradebook.find_comment("essay", lab.stem, f"lab{lab.number}", student).auto_comment
            for student in ("ada-right", "nia-untouched", "cleo-no-constant")
        }
    assert list(comments.values()) == ["No response.", "No response.", None]


def test_one_bad_outcome_stops_nobody_else(graded):
    course, lab = graded
    folder = Place(course, lab, "ada-right").folder("executed")
    sha = records(Place(course, lab))[0].outcome["notebook_sha256"]
    write_json(folder / "outcome.json", {"notebook_sha256": sha, "exercises": {TESTS[0]: {"properties": [7]}}})
    (folder / lab.path.name).write_text("{")
    (Place(course, lab, "ben-right-otherwise").folder("executed") / "outcome.json").write_text("[")
    damaged = {
        "dan-mean-for-sum": "?",
        "eve-late": '{"repairs": [], "late_seconds": "many"}',
        "gus-deleted-test": "[]",
    }
    for student, text in damaged.items():
        (Place(course, lab, student).folder("submitted") / "prepared.json").write_text(text)
    Place(course, lab, "finn-warnings").notebook("autograded").write_text("?")
    result = ingest(Place(course, lab))
    assert len(result.graded) == 10 and set(result.left_out) == {"ben-right-otherwise"}
    assert set(result.failed) == set(damaged) and all(
        "labkit grade prepare" in said for said in result.failed.values()
    )
    assert autograded(course, lab, "finn-warnings").cells and records(Place(course, lab))
    assert grades(course, lab, "ada-right")[TESTS[0]]["auto_score"] == 0
    assert grades(course, lab, "dan-mean-for-sum")[TESTS[1]]["auto_score"] == 4
    assert grades(course, lab, "cleo-no-constant")[TESTS[0]]["auto_score"] == 3


def test_properties_with_hints_stand_behind_their_test(template):
    course, lab = template
    cells = autograded(course, lab, "cleo-no-constant").cells
    place = next(n for n, c in enumerate(cells) if c.metadata.get("nbgrader", {}).get("grade_id") == TESTS[0])
    text = cells[place + 1].source
    assert "3.00 of 4 points**, 3 of 4 properties hold" in text
    assert text.count("✔") == 3 and text.count("✘") == 1
    assert "the constant is missing" in text
    assert "kernel died" in shown(course, lab, "jon-kills-the-kernel")
    assert "no notebook" in shown(course, lab, "lea-no-notebook")
    assert "was missing, and put back" in shown(course, lab, "gus-deleted-test")
    assert "26.0 hours after the deadline" in shown(course, lab, "eve-late")


def test_an_exercise_that_the_release_does_not_have_earns_nothing(graded):
    course, lab = graded
    write_outcome(course, lab, "nia-untouched", exercises={"bonus": properties(True), "essay": properties(True)})
    ingest(Place(course, lab))
    found = grades(course, lab, "nia-untouched")
    assert set(found) == {*TESTS, "essay"}
    assert all(each["auto_score"] == 0 for each in found.values())


def test_points_are_the_releases(template):
    course, lab = template
    released = nbformat.read(Place(course, lab).release, as_version=4)
    assert graded_cells(released, manual=False) == dict.fromkeys(TESTS, 4.0)
    assert graded_cells(released, manual=True) == {"essay": 2.0}


def test_without_submissions_it_says_what_to_do(template, tmp_path):
    course, lab = template
    shutil.copytree(course / "release", tmp_path / "release")
    with pytest.raises(LabkitError, match="labkit grade prepare demo"):
        ingest(Place(tmp_path, lab))


@pytest.mark.parametrize(
    "held",
    [
        *("", "[]", "[" * 100_000, '{"lab00": []}', '{"lab00": {"share": 2}}', '{"lab00": {"share": NaN}}'),
        *('{"lab00": {"period_seconds": 0}}', '{"lab00": {"grace_seconds": -1}}'),
    ],
)
def test_a_damaged_late_rule_is_named_and_never_becomes_none(tmp_path, held):
    place = Place(tmp_path, SimpleNamespace(number="00"))
    (tmp_path / "late.json").write_text(held)
    with pytest.raises(LabkitError, match=r"late.json: is (damaged|no late rule)"):
        gradebook_module._remembered(place)
    if not held.startswith("{"):  # the other labs' rules are in it
        with pytest.raises(LabkitError, match=r"late.json: is damaged"):
            gradebook_module._remember(place, parse_late_rule("10%/day", "9" * 400 + "h"))
        assert (tmp_path / "late.json").read_text() == held
