"""A cell that lacks what an earlier one should have made says so, and names the exercise or the cell it waits for."""

import time

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.course.grade.marks.needs import say_what_is_needed
from labkit.course.grade.marks.shown import shown_notebook

SOURCES = [
    "dim = count(0.5)",
    "(codes, dim) = f()",
    "if x:\n    dim = 1",
    "def dim():\n    0",
    "a[0], dim[1] = 1",
]
EXERCISE = new_code_cell(
    "def count(share):\n    raise NotImplementedError\n\n\ndef power(count):\n    return 2",
    metadata={"nbgrader": {"grade_id": "components", "solution": True, "grade": False}},
)
WAITS = "waits for the exercise components"


def stopped(count, source, name, text="", traceback=("long",), **about):
    error = new_output("error", ename=name, evalue=text, traceback=list(traceback))
    return new_code_cell(source, execution_count=count, outputs=[error], metadata={"nbgrader": about})


def lacks(count, source, name):
    return stopped(count, source, "NameError", f"name '{name}' is not defined")


def unwritten(count, source, *frames):
    """A cell that ended in a stub; the frames are those of its traceback, in IPython's colours."""
    shown = [f"\x1b[36mCell\x1b[39m, line 3\x1b[39m, in \x1b[36m{name}\x1b[39m\x1b[34m(x)" for name in frames]
    return stopped(count, source, "NotImplementedError", traceback=shown)


def said(cell):
    return cell.outputs[0].get("text", "")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("indexed", [False, True])
def test_the_first_cell_that_failed_is_named_down_the_chain(source, indexed):
    cells = [stopped(3, source, "ValueError"), new_markdown_cell("x")]
    cells += [lacks(4, "flow['a'] = Flow(dim)" if indexed else "flow = Flow(dim)", "dim")]
    cells += [lacks(5, "show(flow)", "flow")]
    say_what_is_needed(cells)
    assert cells[0].outputs[0].ename == "ValueError"
    assert said(cells[2]) == "This cell needs dim, which is not there: cell [3] stopped with ValueError.\n"
    assert said(cells[3]) == "This cell needs flow, which is not there: cell [3] stopped with ValueError.\n"


def test_an_exercise_left_open_is_named_by_each_cell_that_waits_for_it():
    cells = [
        EXERCISE,
        unwritten(7, "dim = count(0.9)", "walk", "count", "wrapper"),
        lacks(8, "print(dim)", "dim"),
    ]
    say_what_is_needed(cells)
    assert said(cells[1]) == f"This cell {WAITS}: count still holds its stub.\n"
    assert said(cells[2]) == f"This cell needs dim, which is not there: cell [7] {WAITS}.\n"


def test_the_innermost_function_is_the_one_that_holds_its_stub():
    cells = [EXERCISE, unwritten(7, "dim = power(0.9)", "power", "count")]
    say_what_is_needed(cells)
    assert said(cells[1]) == f"This cell {WAITS}: count still holds its stub.\n"


def test_what_is_not_implemented_elsewhere_is_no_exercise():
    cells = [
        EXERCISE,
        new_code_cell("def draw(): ..."),
        unwritten(7, "dim = draw()", "draw"),
        stopped(8, "a = 1", "OSError", traceback=["in count("]),
    ]
    say_what_is_needed(cells)
    assert [cell.outputs[0].output_type for cell in cells[2:]] == ["error", "error"]


def test_a_key_that_a_half_done_cell_did_not_set_is_explained():
    cells = [EXERCISE, unwritten(7, "rows, title, d = {}, 1, 0\nrows['a'] = count(1)", "count")]
    cells += [
        stopped(8, "title = 2\nshow('d', title['x'], rows['a'])", "KeyError", "'a'"),
        stopped(9, "b = f(rows)['a']", "KeyError", "'a'"),
    ]
    say_what_is_needed(cells)
    assert said(cells[2]) == f"This cell needs rows, which is not complete: cell [7] {WAITS}.\n"
    assert cells[3].outputs[0].output_type == "error"


def test_a_test_cell_keeps_its_error_and_what_needs_it_is_explained():
    cells = [
        EXERCISE,
        unwritten(7, "dim = count(1)", "count"),
        lacks(8, "shown = dim", "dim"),
        lacks(9, "shown", "shown"),
    ]
    cells[2].metadata.nbgrader.grade = True
    say_what_is_needed(cells)
    assert cells[2].outputs[0].output_type == "error"
    assert WAITS in said(cells[3])


def test_a_students_own_slip_keeps_its_traceback():
    cells = [stopped(1, "dim == 3", "ValueError"), lacks(2, "a = dim", "dim"), lacks(3, "b = c", "c")]
    cells += [
        stopped(4, "a[3]", "IndexError"),
        stopped(5, "rows[key] = 1", "ValueError"),
        lacks(6, "key", "key"),
    ]
    mended = [stopped(1, "dim = 3/0", "E"), new_code_cell("dim = 3"), lacks(3, "del dim; dim", "dim")]
    mended += [stopped(4, "dim['a']", "KeyError", "'a'")]
    for each in (cells, mended):
        say_what_is_needed(each)
        assert all(cell.outputs[0].output_type == "error" for cell in each if cell.outputs)


def test_strange_texts_take_no_time_and_say_nothing_of_their_own():
    begun = time.process_time()
    sources = ("a," * 10**5, "a" * 10**5, "(" * 10**5, "a[" * 10**5, "a[0]," * 10**5, "\x1b[" * 10**5)
    cells = [stopped(1, source, "Own1234", "x") for source in sources]
    cells += [stopped(1, "x", "NotImplementedError", traceback=["in a" * 10**5, *sources])]
    cells += [stopped(2, "dim = 1", "Own1234", "x"), lacks(3, "dim", "dim")]
    say_what_is_needed(cells)
    assert "Exception" in said(cells[-1]) and "Own" not in said(cells[-1])
    assert time.process_time() - begun < 5


def test_it_is_what_formgrader_and_feedback_show():
    cells = [stopped(1, "dim = f()", "ValueError"), lacks(2, "show(dim)", "dim")]
    executed = {each.id: {"outputs": each.outputs, "execution_count": each.execution_count} for each in cells}
    shown = shown_notebook(new_notebook(cells=cells), executed, {}, [])
    assert "needs dim" in said(shown.cells[1])
