"""Who reads without names finds none, and the same pseudonym for the same student in every lab of a course."""

import shutil

import nbformat
import pytest
from example_course import active, run_trusted
from typer.testing import CliRunner

from labkit.course.cli import app
from labkit.course.grade.demo import fill
from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place
from labkit.course.grade.marks import anonymous
from labkit.course.grade.marks.anonymous import pseudonyms, without_names, write_essays
from labkit.course.grade.marks.feedback import write_feedback
from labkit.course.grade.marks.gradebook import ingest
from labkit.course.grade.release import release
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")
ESSAY = (
    "By Ada Lovelace (ada.lovelace), <script>alert(1)</script> ![ada lovelace](x.png) [me](mailto:Ada_Lovelace@x.org)"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    made = Place(course, demo_lab(course))
    release(made)
    for student in ("Ada Lovelace", "Bo Li"):
        notebook = nbformat.read(made.release, as_version=4)
        fill(notebook)
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") == "essay":
                cell.source = ESSAY if student.startswith("Ada") else "The base has little mass there."
        folder = course / "in" / f"{student}_7_assignsubmission_file_"
        folder.mkdir(parents=True)
        (folder / made.lab.path.name).write_text(nbformat.writes(notebook))
    prepare(made, course / "in")
    run_trusted(course, made.lab)
    ingest(made)
    return made


def test_feedback_and_essays_bear_no_name_and_the_key_tells_who_is_who(place):
    command = ["--course", str(place.course), "--anonymous"]
    for name in ("feedback", "essays"):
        done = CliRunner().invoke(app, ["grade", name, "demo", *command])
        assert done.exit_code == 0, done.output
    labels = pseudonyms(place)
    pages = [*place.course.glob("feedback-anonymous/*/*"), place.course / "essays" / "labdemo-anonymous.html"]
    assert {path.stem for path in pages[:-1]} == set(labels.values()) and len(pages) == 3
    for path in pages:
        text = path.read_text(encoding="utf-8").casefold()
        assert not any(name in text for name in ("lovelace", "bo li", "bo_li"))
        assert any(label in text for label in labels.values())
    key = (place.course / anonymous.KEY).read_text(encoding="utf-8-sig").splitlines()
    assert {tuple(line.split(",")) for line in key[1:]} == {(label, student) for student, label in labels.items()}
    for name in (anonymous.KEY, anonymous.SECRET):
        assert (place.course / name).stat().st_mode & 0o077 == 0


def test_with_names_a_page_has_them_and_does_nothing_by_itself(place):
    page, count, failed = write_essays(place)
    text = page.read_text(encoding="utf-8")
    assert count == 2 and not failed and "Ada Lovelace" in text and "The base has little mass" in text
    assert active(text) == ["meta", "style"]
    assert "Lovelace" in write_feedback(place)[0][0].read_text(encoding="utf-8")


def test_a_pseudonym_stays_within_a_course_and_is_another_in_the_next(place, tmp_path):
    first, other = pseudonyms(place), Place(shutil.copytree(place.course, tmp_path / "next"), place.lab)
    assert pseudonyms(other) == first == pseudonyms(place)
    (other.course / anonymous.SECRET).unlink()
    assert not set(pseudonyms(other).values()) & set(first.values())
    (other.course / anonymous.SECRET).write_text("")
    with pytest.raises(LabkitError, match="holds no secret"):
        pseudonyms(other)


@pytest.mark.parametrize("row", ["anon-1", "anon-1," + "x" * 200_000, "\udcff,x"])
def test_a_damaged_key_file_is_named_and_not_written_over(place, tmp_path, row):
    other = Place(shutil.copytree(place.course, tmp_path / "next"), place.lab)
    text = f"pseudonym,student\n{row}\n".encode(errors="surrogateescape")
    (other.course / anonymous.KEY).write_bytes(text)
    with pytest.raises(LabkitError, match=f"{anonymous.KEY} cannot be used"):
        pseudonyms(other)
    assert (other.course / anonymous.KEY).read_bytes() == text


def test_a_name_is_replaced_where_it_is_read_and_nowhere_else():
    picture = '<img alt="Body" src="data:image/png;base64,body">'
    page = f'<style>body {{}}</style><body class="body">{picture} body, somebody</body>'
    hidden = without_names(page, ["body"], "anon-1")
    assert hidden == page.replace('"Body"', '"anon-1"').replace(" body,", " anon-1,")
    assert without_names("R&amp;D x", ["R&D"], "anon-1") == "anon-1 x" and without_names("ab", ["ab"], "z") == "ab"
