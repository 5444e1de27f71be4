"""Says of a cell that lacks a name which earlier cell failed to make it, in place of a NameError's traceback."""

import re
from collections.abc import Iterable

from nbformat import NotebookNode
from nbformat.v4 import new_output

from labkit.grading.quoting import error_name

# Patterns, not a parser: the text is a stranger's. Names before a lone "=", and those of functions and classes.
ASSIGNED = re.compile(r"^[ \t]*\(?((?:\w+[ \t]*,[ \t]*)*\w+)\)?[ \t]*=(?!=)", re.MULTILINE)
DEFINED = re.compile(r"^[ \t]*(?:def|class)[ \t]+(\w+)", re.MULTILINE)
MISSING = re.compile(r"name '(\w{1,80})' is not defined")


def say_what_is_needed(cells: Iterable[NotebookNode]) -> None:
    """Where a cell ended with a NameError because of an earlier one's error, show a sentence that names that one.

    Args:
        cells: executed ones, in order; their outputs are changed in place.
    """
    failed: dict[str, str] = {}  # name → what became of the cell that makes it
    for cell in cells:
        if cell.cell_type != "code":
            continue
        error = next((each for each in cell.outputs if each.output_type == "error"), None)
        if error is None:
            for name in _made_by(cell.source):
                failed.pop(name, None)
            continue
        missing = MISSING.match(error.evalue) if error.ename == "NameError" else None
        reason = failed.get(missing[1]) if missing else None
        if reason:
            text = f"This cell needs {missing[1]}, which is not there: {reason}.\n"
            cell.outputs[cell.outputs.index(error)] = new_output("stream", name="stderr", text=text)
        for name in _made_by(cell.source):
            failed[name] = reason or _became(cell, error_name([error.ename]))


def _became(cell: NotebookNode, error: str) -> str:
    which = f"cell [{cell.execution_count if cell.execution_count is not None else ' '}]"
    if error == "NotImplementedError":
        return f"{which} calls a function that still holds its stub"
    return f"{which} stopped with {error}"


def _made_by(source: str) -> set[str]:
    names = {name.strip() for each in ASSIGNED.finditer(source) for name in each[1].split(",")}
    return names | {each[1] for each in DEFINED.finditer(source)}
