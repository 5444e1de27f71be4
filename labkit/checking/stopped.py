"""An error in a student's code becomes a hint: which error, in which line, for which inputs."""

import traceback
from pathlib import Path
from types import FrameType

import numpy as np
from torch import Tensor

from labkit.checking.hints import Hint

WRITTEN = "it writes into what it was given, which the caller still needs: work on a copy."
STOPPED = "your code stopped with"


def stopped(error: Exception) -> Hint:
    if "doesn't have storage" in str(error):  # torch.func's tensors cannot go to a function of another process
        return Hint(why="torch.func cannot look into this function: differentiate with torch.autograd.grad.")
    if "modified by an inplace operation" in str(error):
        return Hint(why="a tensor that the gradient still needs is overwritten in place: make a new one.")
    if "leaf Variable that requires grad is being used in an in-place" in str(error):
        return Hint(why=WRITTEN)
    said = " ".join(str(error).split())
    said, (line, case) = said[:200] or "no message", _students_line(error)
    where = f"given {case}:" if case else ""
    if line:
        why = f"{STOPPED} {type(error).__name__}: {said} in line {line.lineno} of your code: {line.line}"
        return Hint(where, why)
    return Hint(why=f"{STOPPED} {type(error).__name__}: {said}.")


def _students_line(error: Exception) -> tuple[traceback.FrameSummary | None, str]:
    """The last line of the traceback that is neither the kit's nor a library's, and what its function was given."""
    ours = str(Path(__file__).parents[1])  # the package
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for line, frame in reversed(list(zip(traceback.extract_tb(error.__traceback__), frames, strict=True))):
        library = any(part in line.filename for part in ("site-packages", "lib/python", "<frozen"))
        if line.line and not library and not line.filename.startswith(ours):
            return line, _given(frame)
    return None, ""


def _given(frame: FrameType) -> str:
    """The arguments of a function that was stopped, tensors and arrays by their shape; none that cannot be shown."""
    code, shown = frame.f_code, []
    for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        value = frame.f_locals.get(name)
        if isinstance(value, Tensor | np.ndarray):
            shown.append(f"{name} {tuple(value.shape)}")
        elif isinstance(value, int | float | np.number) or (
            isinstance(value, list | tuple) and all(isinstance(each, int | float) for each in value)
        ):
            shown.append(f"{name} = {value}")
    said = ", ".join(shown)
    return said if len(said) < 160 else ""
