"""What is said of a cell that waits for another: for a stub to be written, or a cell above it to be run."""

import re
import traceback
from pathlib import Path
from typing import Any


def say_what_waits(notebook: Any, kind: type, error: Any, trace: Any, tb_offset: int | None = None) -> list[str]:
    """One line for a cell that meets an exercise's stub, or lacks what a cell that stopped there should have made."""
    frames = traceback.extract_tb(trace)
    in_a_cell = bool(frames) and not Path(frames[-1].filename).exists()  # else it is a library's own
    said = ""
    if in_a_cell and isinstance(error, NameError) and _made_above(notebook, error.name):
        said = f"this cell waits for {error.name}, which a cell above makes: run that one to its end first."
    elif in_a_cell and isinstance(error, NotImplementedError) and not error.args:
        name = frames[-1].name
        said = f"this cell waits for {name}: write that exercise in place of its stub, then run both cells."
        if name == "<module>":
            said = "this is the stub of an exercise: write yours in its place."
    if said:
        error.args = (said,)
        error._render_traceback_ = lambda: [said]
    notebook.showtraceback((kind, error, trace))
    return []


def _made_above(notebook: Any, name: str | None) -> bool:
    """Whether a cell that was run before makes something of this name; else it is a slip of the pen."""
    made = rf"^\s*(?:(?:def|class) {re.escape(name or '')}\b|[\w, ]*\b{re.escape(name or '')}\b[\w, ]*=(?!=))"
    return any(re.search(made, cell, re.MULTILINE) for cell in notebook.user_ns["In"][:-1])
