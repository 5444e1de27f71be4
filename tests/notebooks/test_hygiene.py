import ast

import nbformat
import pytest
from hygiene import broken_links, convoluted, misspelt, problems, prose
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from labkit.course.run.labs import list_labs, project_root

ROOT = project_root()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md"]
EXERCISE = {
    "schema_version": 3,
    "grade": False,
    "solution": True,
    "locked": False,
    "task": False,
    "grade_id": "a",
}
TEST = {**EXERCISE, "grade": True, "solution": False, "locked": True, "points": 1, "grade_id": "a_test"}
SOLUTION_SOURCE = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"
TEST_SOURCE = "run.check(f)\n### BEGIN HIDDEN TESTS\nassert f() == 1\n### END HIDDEN TESTS"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_keeps_every_rule(path):
    assert not problems(path)


def test_every_notebook_is_a_lab():
    assert NOTEBOOKS
    assert [lab.path for lab in list_labs(ROOT / "notebooks")] == NOTEBOOKS


@pytest.mark.parametrize("page", PAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_pages_link_to_what_exists(page):
    assert not list(broken_links(page, page.read_text(encoding="utf-8")))


def strings(path):
    """All strings of a module but its docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    constants = (node for node in nodes if isinstance(node, ast.Constant) and id(node) not in docs)
    return [node.value for node in constants if isinstance(node.value, str)]


def test_the_readme_and_the_hints_are_plain():
    texts = [PAGES[0].read_text(encoding="utf-8")]
    kit = ROOT / "labkit"
    for path in [*(kit / "labs").rglob("*.py"), *(kit / "checking").glob("*.py"), kit / "noise.py"]:
        texts += strings(path)
    assert not [words for text in texts for words in convoluted(text)]


def test_spelling(tmp_path):
    texts = {path.name: prose(path) for path in NOTEBOOKS}
    texts |= {f"{page.parent.name}-{page.name}": page.read_text(encoding="utf-8") for page in PAGES}
    for path in [*(ROOT / "labkit").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        # The test below plants a misspelling in its own source.
        if path.name != "test_hygiene.py":
            texts["-".join(path.relative_to(ROOT).parts)] = path.read_text(encoding="utf-8")
    assert not misspelt(texts, tmp_path)


def test_a_misspelling_and_a_dead_link_are_found(tmp_path):
    assert misspelt({"a.md": "the likelihood is recieved"}, tmp_path)
    (tmp_path / "b.md").touch()
    text = "[dead](gone.md) [alive](b.md#part) [far](https://example.org) [here](#part)"
    assert list(broken_links(tmp_path / "a.md", text)) == ["links to gone.md, which is not there"]


@pytest.fixture
def good(tmp_path, make_lab):
    """A notebook of 35 cells that keeps every rule, with one exercise."""
    path = make_lab(tmp_path, "01_good", ["# Words\n\nA [link](01_good.ipynb)."] * 30)
    notebook = nbformat.read(path, 4)
    notebook.cells.append(checked(1))
    notebook.cells.append(new_code_cell(SOLUTION_SOURCE, metadata={"nbgrader": dict(EXERCISE)}))
    notebook.cells.append(new_code_cell(TEST_SOURCE, metadata={"nbgrader": dict(TEST)}))
    nbformat.write(notebook, path)
    return path, notebook


def add(*cells):
    return lambda notebook: notebook.cells.extend(cells)


def code(source, **metadata):
    return new_code_cell(source, metadata=metadata)


def printing():
    return new_code_cell("print(1)", outputs=[new_output("stream", text="1\n")])


def checked(count):
    tagged = {"tags": ["check-output"]}
    return new_code_cell(
        "print(1)", metadata=tagged, execution_count=count, outputs=[new_output("stream", text="1\n")]
    )


def drop_exercise_key(notebook):
    del notebook.cells[-2].metadata.nbgrader["locked"]


PLANTED = {
    "not valid nbformat": lambda n: n.cells[0].update(surprise=1),
    "kernel is not python3": lambda n: n.metadata.kernelspec.update(name="conda-env"),
    "has outputs": add(printing()),
    "not printed text alone": lambda n: n.cells.append(
        new_code_cell(
            "1",
            metadata={"tags": ["check-output"]},
            outputs=[new_output("display_data", {"text/plain": "1"})],
        )
    ),
    "execution count": lambda n: n.cells.append(new_code_cell("1", execution_count=3)),
    "nbval refuses": lambda n: n.cells.append(checked(None)),
    "widget state": lambda n: n.metadata.update(widgets={}),
    "26 lines": add(code("\n".join(["x = 1"] * 26))),
    "has 21 cells": lambda n: n.cells.__delitem__(slice(2, 16)),
    "has 55 cells": add(*(new_markdown_cell("words") for _ in range(20))),
    "lacks budget_seconds": lambda n: n.metadata.labkit.pop("budget_seconds"),
    "lacks minutes.gpu": lambda n: n.metadata.labkit.minutes.pop("gpu"),
    "is stopped in smoke": lambda n: n.metadata.labkit.budget_seconds.update(smoke=15),
    "metadata say lab 02": lambda n: n.metadata.labkit.update(lab="02"),
    "no cell is tagged": lambda n: n.cells[1].metadata.clear(),
    "parameters cell lacks OUT": lambda n: n.cells[1].update(source="PROFILE = SEED = DATA = None"),
    "first code cell": lambda n: n.cells.insert(0, code("import torch")),
    "without alt text": add(code("run.figure('a', fig, alt='')")),
    "image without": add(new_markdown_cell("![](01_good.ipynb)")),
    "an image": add(new_markdown_cell('<img src="a.png">')),
    "links to gone.md": add(new_markdown_cell("[a](gone.md)")),
    "is convoluted": add(new_markdown_cell("What is finished is skipped. What is skipped?")),
    "path of one machine": add(code("open('/home/ada/faces.npz')")),
    "is used 2 times": add(code(SOLUTION_SOURCE, nbgrader=dict(EXERCISE))),
    "lacks nbgrader's locked": drop_exercise_key,
    "unequally": lambda n: n.cells[-2].update(source="### BEGIN SOLUTION\nx = 1"),
    "version than 3": lambda n: n.cells[-2].metadata.nbgrader.update(schema_version=2),
    "a solution without": lambda n: n.cells[-2].update(source="def f(): ..."),
    "no nbgrader metadata": add(code(SOLUTION_SOURCE)),
    "without a visible run.check": lambda n: n.cells[-1].update(source=TEST_SOURCE.replace("run.check(f)", "1")),
    "without hidden tests": lambda n: n.cells[-1].update(source="run.check(f)"),
    "not locked": lambda n: n.cells[-1].metadata.nbgrader.update(locked=False),
    "worth 7 points": lambda n: n.cells[-1].metadata.nbgrader.update(points=7),
}


def test_a_good_notebook_passes(good):
    assert not problems(good[0])


@pytest.mark.parametrize("words", PLANTED)
def test_each_rule_bites(good, words):
    path, notebook = good
    PLANTED[words](notebook)
    path.write_text(nbformat.writes(notebook) if words != "not valid nbformat" else nbformat.v4.writes(notebook))
    found = problems(path)
    assert len(found) == 1, found
    assert words in found[0]
