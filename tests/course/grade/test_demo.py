import json
import subprocess
import sys

import nbformat
import pytest
import typer
from example_course import run_place
from typer.testing import CliRunner

from labkit.course.grade import command
from labkit.course.grade.demo import EDITS, MARK, make_demo, run_demo
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.release import release
from labkit.course.run.labs import read_lab
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    course = tmp_path_factory.mktemp("example") / "course"
    page = run_demo(course, run_place)
    return course, page


def test_it_goes_from_release_to_overview(made):
    course, page = made
    assert page.is_file() and (course / "labdemo.csv").is_file()
    assert len(list(course.glob("feedback/*/labdemo/*.html"))) == len(EDITS) >= 12
    assert json.loads((course / "late.json").read_text())["labdemo"]["grace_seconds"] == 3600


def test_a_second_time_is_the_same(made):
    course, page = made
    before = (course / "labdemo.csv").read_bytes(), page.read_bytes()
    run_demo(course, run_place)
    assert ((course / "labdemo.csv").read_bytes(), page.read_bytes()) == before


def test_every_kind_of_submission_is_there(made):
    course, _ = made
    lab = make_demo(course)
    assert {each.student for each in Place(course, lab).students()} == set(EDITS)
    with open_gradebook(Place(course, lab)) as gradebook:
        scores = {row["student"]: row["score"] for row in gradebook.submission_dicts("labdemo")}
    assert scores["ada-right"] == scores["finn-warnings"] == scores["hana-renamed-cell"] == 8
    assert 0 < scores["cleo-no-constant"] < 8
    assert 0 < scores["jon-kills-the-kernel"] < 8
    assert scores["nia-untouched"] == scores["lea-no-notebook"] == 0


def test_its_lab_is_a_lab_like_any_other(made):
    course, _ = made
    lab = read_lab(next(course.glob("demo_*.ipynb")))
    notebook = nbformat.read(lab.path, as_version=4)
    assert sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in notebook.cells) == lab.points
    assert release(Place(course, lab), check=True) == Place(course, lab).release


def test_it_touches_no_folder_that_is_not_its_own(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(LabkitError, match="another folder"):
        run_demo(tmp_path, run_place)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert not (tmp_path / MARK).exists()


@pytest.fixture(scope="module")
def app():
    """The commands as the command line has them."""
    whole = typer.Typer()
    whole.command()(command.release)
    whole.add_typer(command.grade_app, name="grade")
    return whole


@pytest.fixture
def typed(app, made):
    """Runs a command on the example course; what it printed, or the sentence that it was refused with."""

    def run(*arguments, course=made[0]):
        result = CliRunner().invoke(app, [*arguments, "--course", str(course)])
        if isinstance(result.exception, LabkitError):
            return f"labkit: {result.exception}"
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_the_commands_say_what_they_did(made, typed, tmp_path):
    told = typed("grade", "prepare", "demo", "--from", str(made[0] / "handed-in"))
    assert "lea-no-notebook: refused: it is no notebook" in told
    assert "13 prepared, 1 refused, 0 left out" in told
    assert "14 graded, 0 not" in typed("grade", "ingest", "demo", "--late", "10%/day")
    assert "14 pages" in typed("grade", "feedback", "demo")
    assert "42 rows" in typed("grade", "export", "demo", "--to", str(tmp_path / "x.csv"))
    assert "Points per exercise" in typed("grade", "overview", "demo")
    assert "source gives today" in typed("release", "demo", "--check")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("grade", "ingest", "demo", "--late", "ten"), "10%/day"),
        (("grade", "ingest", "99"), "there is no lab '99'"),
        (("grade", "ingest", "1"), "is 2 notebooks"),
        (("grade", "prepare", "demo", "--from", "nowhere"), "neither a folder nor a zip"),
        (("grade", "prepare", "demo", "--from", ".", "--deadline", "soon"), "is no day and no moment"),
    ],
)
def test_bad_input_is_one_sentence(typed, arguments, words):
    told = typed(*arguments)
    assert told.startswith("labkit: ") and words in told and "\n" not in told


@pytest.mark.parametrize("arguments", [("grade", "ingest", "demo"), ("release", "demo"), ("grade", "demo")])
def test_without_the_extra_it_says_how_to_get_it(typed, arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    assert "pip install -e '.[grade]'" in typed(*arguments)


def test_help_takes_no_library():
    code = "import sys\nfrom labkit.course.grade.command import grade_app\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300).stdout.split()
    assert "labkit.course.grade.command" in loaded and not {"torch", "nbgrader", "nbformat"} & set(loaded)
