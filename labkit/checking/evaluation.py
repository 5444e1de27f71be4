"""Running the tests of a check, one property each: what a student's code raises becomes a hint."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch

from labkit.checking.hints import Hint, Missed, Property, Test
from labkit.checking.inputs import DTYPE, salted
from labkit.checking.stopped import STOPPED, stopped

STUB = "this cell still holds the stub: write its body in place of `raise NotImplementedError`."
AGAIN = "blocked by the error above."
UNEARNED = "it holds, but counts only once a property holds that needs a solution."


def evaluate(tests: dict[str, Test]) -> list[Property]:
    """Run the tests in order, one property each.

    A property whose test is `weak` counts as missed until one holds that is not, so that points need a solution.

    Args:
        tests: name of the property → a test, which returns None where it holds and else a hint, or raises `Missed`.
    """
    found = [(name, _run(test), getattr(test, "weak", False)) for name, test in tests.items()]
    strong = [hint for _, hint, is_weak in found if not is_weak]
    earned = not strong or any(hint is None for hint in strong)
    properties: list[Property] = []
    causes: set[str] = set()
    for name, hint, is_weak in found:
        if hint is None and is_weak and not earned:
            hint = Hint(why=UNEARNED)
        if hint is None:
            properties.append(Property(name, True, ""))
            continue
        text = hint.text()
        # One cause, one line: what stops several properties is said once.
        cause = _cause(hint)
        again = text != UNEARNED and cause in causes
        causes.add(cause)
        properties.append(Property(name, False, AGAIN if again else text, *hint))
    return properties


def _cause(hint: Hint) -> str:
    """What one mistake says at each property; an error's sizes change with the inputs."""
    said = hint.why or hint.text()
    return re.sub(r"\d+", "0", said) if STOPPED in said else said


DTYPE_ERROR = re.compile(r"dtype|scalar type|\b(Double|Float|Half)\b")


def _run(test: Test) -> Hint | None:
    """What a test has to say, None if nothing.

    Inputs are float64, where mistakes stand out from rounding; code that makes its own float32 tensors is right too,
    and is asked again in float32.
    """
    try:
        return _outcome(test)
    except Exception as error:
        if not DTYPE_ERROR.search(str(error)):
            return stopped(error)
    before = DTYPE.set(torch.float32)
    try:
        return _outcome(test)
    except Exception as error:
        return stopped(error)
    finally:
        DTYPE.reset(before)


def _outcome(test: Test) -> Hint | None:
    try:
        hint = test()
    except Missed as missed:
        hint = missed.args[0] if missed.args and isinstance(missed.args[0], Hint) else str(missed) or "it is missed."
    except NotImplementedError:
        hint = STUB
    return _naming_nan(Hint(why=hint) if isinstance(hint, str) and hint else hint or None)


NAN = "NaN comes of a root or logarithm of a negative number, of 0/0, or of an overflow of exp."


def _naming_nan(hint: Hint | None) -> Hint | None:
    """Where a hint shows a NaN it calls it that, instead of a mistake that would give another number."""
    said = hint.text() if hint else ""
    if STOPPED in said or "NaN" in said or not re.search(r"\bnan\b", said):
        return hint
    return Hint(hint.where or hint.why.partition(":")[0].rstrip(".") + ".", NAN, hint.formula)


def hold_again(check: Callable[..., Sequence[Property]], *functions: Any) -> None:
    """Assert a check's properties on inputs that students have not seen: for the hidden tests of a notebook.

    Raises AssertionError: one does not hold, with its name and hint.
    """
    with salted(20_261_128):
        missed = [each for each in check(*functions) if not each.passed]
    assert not missed, f"{missed[0].name}: {missed[0].hint}"
