"""A cell that lacks what an earlier one failed to make says so, and names the first that failed."""

import time

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.grading.needs import say_what_is_needed
from labkit.grading.shown import shown_notebook


def stopped(count, source, name, text):
    error = new_output("error", ename=name, evalue=text, traceback=["long"])
    return new_code_cell(source, execution_count=count, outputs=[error])


def lacks(count, source, name):
    return stopped(count, source, "NameError", f"name '{name}' is not defined")


def said(cell):
    return cell.outputs[0].get("text", "")


SOURCES = ["dim = count(0.5)", "(codes, dim) = f()", "if x:\n    dim = 1", "def dim():\n    0"]
STUB = "calls a function that still holds its stub"
ERRORS = {
    "ValueError": "stopped with ValueError",
    "NotImplementedError": "calls a function that still holds its stub",
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("error", ERRORS)
def test_the_first_cell_that_failed_is_named_down_the_chain(source, error):
    cells = [stopped(3, source, error, ""), new_markdown_cell("x")]
    cells += [lacks(4, "flow = Flow(dim)", "dim"), lacks(5, "show(flow)", "flow")]
    say_what_is_needed(cells)
    assert cells[0].outputs[0].ename == error
    assert said(cells[2]) == f"This cell needs dim, which is not there: cell [3] {ERRORS[error]}.\n"
    assert said(cells[3]) == f"This cell needs flow, which is not there: cell [3] {ERRORS[error]}.\n"


def test_a_students_own_slip_keeps_its_traceback():
    cells = [stopped(1, "dim == 3", "ValueError", "x"), lacks(2, "a = dim", "dim"), lacks(3, "b = c", "c")]
    mended = [stopped(1, "dim = 3/0", "E", "x"), new_code_cell("dim = 3"), lacks(3, "del dim; dim", "dim")]
    for each in (cells, mended):
        say_what_is_needed(each)
        assert all(cell.outputs[0].output_type == "error" for cell in each if cell.outputs)


def test_strange_texts_take_no_time_and_say_nothing_of_their_own():
    begun = time.process_time()
    cells = [stopped(1, source, "Own1234", "x") for source in ("a," * 10**5, "a" * 10**5, "(" * 10**5)]
    cells += [stopped(2, "dim = 1", "Own1234", "x"), lacks(3, "dim", "dim")]
    say_what_is_needed(cells)
    assert "Exception" in said(cells[-1]) and "Own" not in said(cells[-1])
    assert time.process_time() - begun < 5


def test_it_is_what_formgrader_and_feedback_show():
    cells = [stopped(1, "dim = f()", "ValueError", "x"), lacks(2, "show(dim)", "dim")]
    executed = {each.id: {"outputs": each.outputs, "execution_count": each.execution_count} for each in cells}
    shown = shown_notebook(new_notebook(cells=cells), executed, {}, [])
    assert "needs dim" in said(shown.cells[1])
