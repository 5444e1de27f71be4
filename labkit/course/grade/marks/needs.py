"""Says of a cell that lacks what an earlier one should have made which exercise or cell it waits for.

A student who leaves an exercise open sees one sentence under each cell that depends on it, in place of tracebacks.
"""

import re
from collections.abc import Iterable

from nbformat import NotebookNode
from nbformat.v4 import new_output

from labkit.course.grade.talk.quoting import error_name

# Patterns, not a parser: the text is a stranger's. Names before a lone "=", also as in `rows["a"] =`, and those of
# functions and classes.
INDEX = re.compile(r"\[[^\]\n]*\]")
TARGET = rf"\w+(?:{INDEX.pattern})?"
ASSIGNED = re.compile(rf"^[ \t]*\(?((?:{TARGET}[ \t]*,[ \t]*)*{TARGET})\)?[ \t]*=(?!=)", re.MULTILINE)
DEFINED = re.compile(r"^[ \t]*(?:def|class)[ \t]+(\w+)", re.MULTILINE)
MISSING = re.compile(r"name '(\w{1,80})' is not defined")
WORD = re.compile(r"\w+")
INDEXED = re.compile(r"\b(\w+)\[")
CALLED = re.compile(r"\bin (\w{1,80})\(")  # a frame of IPython's traceback
COLOUR = re.compile(r"\x1b\[[\d;]{0,20}m")


def say_what_is_needed(cells: Iterable[NotebookNode]) -> None:
    """Show a sentence in place of an error that comes of an exercise left open, or of an earlier cell's error.

    These are a stub's NotImplementedError, a NameError of a name that an earlier cell failed to make, and a KeyError
    of a cell that looks into such a name: what it stands for holds less than it should. A test cell keeps its error.

    Args:
        cells: executed ones, in order; their outputs are changed in place.
    """
    exercise_of: dict[str, str] = {}  # function that a student writes → its exercise
    failed: dict[str, str] = {}  # name → what became of the cell that makes it
    for cell in cells:
        if cell.cell_type != "code":
            continue
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution"):
            exercise_of |= dict.fromkeys(DEFINED.findall(cell.source), str(about.get("grade_id", "")))
        error = next((each for each in cell.outputs if each.output_type == "error"), None)
        if error is None:
            for name in _made_by(cell.source):
                failed.pop(name, None)
            continue
        needed, reason = _lacks(cell, error, failed)
        stub = "" if reason else _stub(error, exercise_of)
        if stub:
            text = f"This cell waits for the exercise {exercise_of[stub]}: {stub} still holds its stub.\n"
        else:
            text = f"This cell needs {needed}: {reason}.\n"
        if (stub or reason) and not about.get("grade"):
            cell.outputs[cell.outputs.index(error)] = new_output("stream", name="stderr", text=text)
        for name in _made_by(cell.source):
            failed[name] = reason or _became(cell, error, exercise_of.get(stub, ""))


def _lacks(cell: NotebookNode, error: NotebookNode, failed: dict[str, str]) -> tuple[str, str]:
    """What the cell lacks of what earlier ones failed to make, and why; empty texts where the error is its own."""
    if error.ename == "NameError" and (missing := MISSING.match(error.evalue)):
        return f"{missing[1]}, which is not there", failed.get(missing[1], "")
    if error.ename == "KeyError":
        own = _made_by(cell.source)
        for name in INDEXED.findall(cell.source):
            if name in failed and name not in own:
                return f"{name}, which is not complete", failed[name]
    return "", ""


def _stub(error: NotebookNode, exercise_of: dict[str, str]) -> str:
    """The student's function that holds its stub, by the innermost such frame of the traceback, or ""."""
    if error.ename != "NotImplementedError":
        return ""
    frames = CALLED.findall(COLOUR.sub("", "\n".join(error.traceback)))
    return next((name for name in reversed(frames) if name in exercise_of), "")


def _became(cell: NotebookNode, error: NotebookNode, exercise: str) -> str:
    which = f"cell [{cell.execution_count if cell.execution_count is not None else ' '}]"
    if exercise:
        return f"{which} waits for the exercise {exercise}"
    return f"{which} stopped with {error_name([error.ename])}"


def _made_by(source: str) -> set[str]:
    targets = ",".join(each[1] for each in ASSIGNED.finditer(source))
    return {*WORD.findall(INDEX.sub("", targets)), *DEFINED.findall(source)}
