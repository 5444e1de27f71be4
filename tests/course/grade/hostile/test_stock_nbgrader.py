"""What whole submissions reach against `nbgrader autograde` as it comes: each attack here succeeds.

That they fail against this kit is what the other files of this folder test.
"""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from labkit.course.grade.layout import Place, open_gradebook

pytest.importorskip("nbgrader", reason="needs the extra `grade`")

SQUARE = "def square(x):\n    return x * x"
CUBE = "def cube(x):\n    return x ** 3"
DOUBLE = "def double(x):\n    return 2 * x"
WARNS = "import warnings\ndef square(x):\n    warnings.warn('old')\n    return x * x"
RIGHT = {"square": SQUARE, "cube": CUBE}
FULL = 6
READS = """
import json
for cell in json.load(open({path!r}))["cells"]:
    if cell["metadata"].get("nbgrader", {{}}).get("solution"):
        exec("".join(cell["source"]))
"""
HOOK = """
import ast
class Drop(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(Drop())
"""
GRADES = """
import sqlite3
with sqlite3.connect({path!r}) as book:
    book.execute("update grade set manual_score = 50")
"""
FORGES = """
import builtins
builtins.sum = lambda points: 2
"""
OVERWRITES = """
class Right:
    __eq__ = lambda self, other: True
square = cube = lambda x: Right()
"""


def attacks(course):
    """student → answers; "honest" is graded first, and "thief" last: it changes everybody's points."""
    answer_key, honest = (
        course / "source" / "lab" / "lab.ipynb",
        course / "submitted" / "honest" / "lab" / "lab.ipynb",
    )
    return {
        "honest": RIGHT,
        "warns": RIGHT | {"square": WARNS},
        "floods": RIGHT | {"square": f"for _ in range(30): print('x' * 100_000)\n{SQUARE}"},
        "kills": RIGHT | {"cube": "import os\ndef cube(x):\n    os._exit(1)"},
        "reads the answers": {"square": READS.format(path=str(answer_key)), "cube": ""},
        "reads another's work": {"square": READS.format(path=str(honest)), "cube": ""},
        "takes asserts out": {"square": HOOK, "cube": ""},
        "forges the report": RIGHT | {"double": FORGES},
        "rigs comparison": {"square": OVERWRITES, "cube": ""},
        "thief": {"square": GRADES.format(path=str(course / "gradebook.db")), "cube": ""},
    }


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """student → (whether autograde went well, points just after, the whole class's points just after)."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    course = tmp_path_factory.mktemp("course")
    source = course / "source" / "lab" / "lab.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(instructors(), source)
    with open_gradebook(Place(course, None), new=True):
        config = Config(CourseDirectory={"root": str(course), "db_url": f"sqlite:///{course / 'gradebook.db'}"})
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(course)
        api = NbGraderAPI(config=config)
        assert api.generate_assignment("lab")["success"]
        for student, answers in attacks(course).items():
            notebook = nbformat.read(course / "release" / "lab" / "lab.ipynb", as_version=4)
            for cell in notebook.cells:
                cell.source = ({"double": DOUBLE} | answers).get(cell.metadata.nbgrader.grade_id, cell.source)
            path = course / "submitted" / student / "lab" / "lab.ipynb"
            path.parent.mkdir(parents=True)
            nbformat.write(notebook, path)
            done = api.autograde("lab", student)["success"]
            with api.gradebook as gradebook:
                scores = {row.student.id: row.score for row in gradebook.assignment_submissions("lab")}
            found[student] = done, scores[student], scores
    return course, found


def instructors():
    """Three exercises of two points: two with a test that students see and one that they do not; and one whose test
    reports the points, as nbgrader's partial credit wants it.
    """
    cells = []
    for name, solution, hidden in (("square", SQUARE, 9), ("cube", CUBE, 27), ("double", DOUBLE, 6)):
        lines = solution.replace("    return", "    ### BEGIN SOLUTION\n    return") + "\n    ### END SOLUTION"
        cells.append(new_code_cell(lines, metadata=about(name, solution=True)))
        test = f"assert {name}(1) == 1\n### BEGIN HIDDEN TESTS\nassert {name}(3) == {hidden}\n### END HIDDEN TESTS"
        if name == "double":
            test = "sum(double(x) == 2 * x for x in (1, 3))"
        cells.append(new_code_cell(test, metadata=about(f"{name}-test", points=2, grade=True)))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def about(name, **more):
    plain = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
    return {"nbgrader": plain | {"grade_id": name} | more}


def test_who_attacks_nobody_is_graded_as_here(graded):
    assert graded[1]["honest"][:2] == (True, FULL)


def test_a_warning_costs_a_right_answer_its_points(graded):
    assert graded[1]["warns"][:2] == (True, FULL - 2)


def test_a_killed_kernel_yields_no_grade_not_even_of_what_came_before(graded):
    course, found = graded
    assert found["kills"][:2] == (False, 0)
    assert not (course / "autograded" / "kills" / "lab" / "lab.ipynb").exists()


def test_a_flood_of_output_is_kept_whole(graded):
    course, found = graded
    assert found["floods"][:2] == (True, FULL)
    assert (course / "autograded" / "floods" / "lab" / "lab.ipynb").stat().st_size > 3_000_000


@pytest.mark.parametrize(
    "attack",
    [
        "reads the answers",
        "reads another's work",
        "takes asserts out",
        "rigs comparison",
        "forges the report",
    ],
)
def test_who_solves_nothing_gets_full_marks(graded, attack):
    assert graded[1][attack][:2] == (True, FULL)


def test_a_submission_writes_its_own_grade_and_everybody_elses(graded):
    _, points, everybody = graded[1]["thief"]
    assert points == everybody["honest"] == 150 > FULL
