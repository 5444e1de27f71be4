import ast
import json
import shutil

import nbformat
import pytest

from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.release import CODE_STUB, TEXT_STUB, notebook_text, release, student_version
from labkit.course.run.labs import list_labs, read_lab
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


@pytest.fixture
def lab(tmp_path):
    return demo_lab(tmp_path / "labs")


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    """A course with an empty gradebook: making one takes nbgrader seconds."""
    folder = tmp_path_factory.mktemp("blank")
    with open_gradebook(Place(folder, lab), new=True):
        return folder


@pytest.fixture
def course(blank, tmp_path):
    return shutil.copytree(blank, tmp_path / "course")


@pytest.mark.parametrize("number", [lab.number for lab in list_labs()])
def test_no_lab_gives_its_answers_away(number):
    from nbgrader.utils import compute_checksum

    lab = next(lab for lab in list_labs() if lab.number == number)
    source, notebook = nbformat.read(lab.path, as_version=4), student_version(lab)
    assert len(notebook.cells) == len(source.cells)
    for given, cell in zip(source.cells, notebook.cells, strict=True):
        assert "BEGIN" not in cell.source
        assert not cell.get("outputs") and cell.get("execution_count") is None
        about = cell.metadata.get("nbgrader", {})
        if not about:
            assert cell.source == given.source
            continue
        assert about.checksum == compute_checksum(cell)
        assert cell.metadata.deletable is False
        if about.solution and cell.cell_type == "code":
            assert CODE_STUB in cell.source and ast.parse(cell.source)
        elif about.solution:
            assert cell.source == TEXT_STUB
        else:
            assert cell.metadata.editable is False and cell.source.startswith("run.check(")


@pytest.mark.parametrize("number", [lab.number for lab in list_labs()])
def test_a_stub_stops_with_the_error_that_checks_know(number):
    lab = next(lab for lab in list_labs() if lab.number == number)
    for cell in student_version(lab).cells:
        about = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and about.get("solution"):
            for function in ast.parse(cell.source).body:
                raised = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise)]
                assert any(ast.unparse(each) == "NotImplementedError" for each in raised), about.grade_id


def test_it_is_what_nbgrader_itself_would_release(lab, course):
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    path = release(Place(course, lab))
    ours = nbformat.read(path, as_version=4)
    shutil.rmtree(course / "release")
    config = Config()
    config.ClearSolutions.code_stub = {"python": CODE_STUB}
    config.ClearSolutions.text_stub = TEXT_STUB
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.assignment_id = f"lab{lab.number}"
    coursedir = CourseDirectory(config=config)
    GenerateAssignment(coursedir=coursedir, config=config).start()
    theirs = nbformat.read(path, as_version=4)
    assert [(c.source, c.metadata) for c in ours.cells] == [(c.source, c.metadata) for c in theirs.cells]


def test_the_gradebook_knows_exercises_and_points(lab, course):
    release(Place(course, lab))
    with open_gradebook(Place(course, lab)) as gradebook:
        notebook = gradebook.find_notebook(lab.stem, f"lab{lab.number}")
        points = {cell.name: cell.max_score for cell in notebook.grade_cells}
        assert points == {"log-density-test": 4, "components-test": 4, "essay": 2}
        hidden = gradebook.find_source_cell("components-test", lab.stem, f"lab{lab.number}").source
    assert "HIDDEN" in hidden
    assert Place(course, lab).source.read_text() == lab.path.read_text()


def test_a_stale_copy_is_told(lab, course):
    with pytest.raises(LabkitError, match="is not there"):
        release(Place(course, lab), check=True)
    assert [path.name for path in course.iterdir()] == ["gradebook.db"]
    path = release(Place(course, lab))
    made = {each: each.stat().st_mtime_ns for each in (path, Place(course, lab).source)}
    assert release(Place(course, lab), check=True) == path
    assert {each: each.stat().st_mtime_ns for each in made} == made
    before = path.read_text()
    lab.path.write_text(lab.path.read_text().replace("How many components", "How few components"))
    with pytest.raises(LabkitError, match="is stale"):
        release(Place(course, lab), check=True)
    assert path.read_text() == before
    release(Place(course, lab))
    assert "How few components" in path.read_text()


def test_outputs_go_and_the_instructors_own_settings_stay(lab, course):
    book = json.loads(lab.path.read_text())
    book["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "the answer is 42"}]
    lab.path.write_text(json.dumps(book))
    assert "42" not in release(Place(course, lab)).read_text()
    settings = course / "nbgrader_config.py"
    assert "SanitizeHTML.enabled = True" in settings.read_text()
    settings.write_text("c = get_config()")
    release(Place(course, lab))
    assert settings.read_text() == "c = get_config()"


def test_two_releases_are_the_same_to_the_byte(lab):
    assert notebook_text(student_version(lab)) == notebook_text(student_version(lab))


def edited(lab, change):
    notebook = json.loads(lab.path.read_text())
    change({cell["id"]: cell for cell in notebook["cells"]}, notebook["cells"])
    lab.path.write_text(json.dumps(notebook))
    return read_lab(lab.path)


def replace_source(name, old, new):
    def change(cells, _):
        cells[name]["source"] = "".join(cells[name]["source"]).replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace_source("log-density", '    """', '### BEGIN SOLUTION\n    """'), "nested begin"),
        (replace_source("components", "    ### END SOLUTION", "### END SOLUTION\n      1"), "is not Python"),
        (replace_source("log-density", "    ### END SOLUTION", ""), "no end solution"),
        (
            lambda cells, _: cells["components"]["metadata"]["nbgrader"].update(grade_id="log-density"),
            "Duplicate",
        ),
    ],
)
def test_a_source_out_of_order_is_refused_in_a_sentence(lab, course, change, words):
    with pytest.raises(LabkitError, match=words):
        release(Place(course, edited(lab, change)))
    assert [path.name for path in course.iterdir()] == ["gradebook.db"]
    with open_gradebook(Place(course, lab)) as gradebook:
        assert not gradebook.assignments


def test_exercises_cannot_change_under_submissions(lab, course):
    release(Place(course, lab))
    with open_gradebook(Place(course, lab)) as gradebook:
        gradebook.add_student("ada")
        gradebook.add_submission(f"lab{lab.number}", "ada")
    release(Place(course, lab))
    fewer = edited(lab, lambda cells, all_cells: all_cells.remove(cells["components-test"]))
    with pytest.raises(LabkitError, match="submissions"):
        release(Place(course, fewer))
