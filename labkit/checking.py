"""Property checks of the exercises: each property that a student's code misses comes with a hint.

A check gets the student's functions and returns a list of `Property`; `Run.check` prints them (`ladder`). Nothing
that the student's code raises leaves a check: it becomes the hint of a missed property.
"""

import copy
import hashlib
import math
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-5

STUB = "this cell still holds the stub: write its body in place of `raise NotImplementedError`."
AGAIN = "blocked by the error above."
STOPPED = "your code stopped with"
UNEARNED = "it holds, but counts only once a property holds that needs a solution."


class Hint(NamedTuple):
    """What is said of a property that a student's code misses."""

    where: str = ""  # the smallest failing case: what came, what was expected
    why: str = ""  # the likely mistake
    formula: str = ""  # what would be right

    def text(self) -> str:
        """Where and why; the formula alone where there is nothing else to say."""
        return " ".join(filter(None, (self.where, self.why))) or self.formula


Test = Callable[[], "str | Hint | None"]
Function = Callable[..., Any]  # what a student writes, or what is made of it
# What a common mistake would have given, and what to say of it.
Mistake = tuple[Callable[[], Any], str]


@dataclass(frozen=True)
class Property:
    """One thing that must hold of a student's code."""

    name: str  # what must hold, in a few words
    passed: bool  # whether it does
    hint: str  # the likely mistake, in a sentence; empty where it holds
    where: str = ""  # the parts of a `Hint`; `hint` leaves the formula out
    why: str = ""
    formula: str = ""


class Missed(Exception):  # noqa: N818 - not an error: what a test says of the code it looked at
    """Raised within a test to end it with a hint."""


def weak(test: Test) -> Test:
    """Mark a test that a constant, the identity or an empty answer passes: it earns nothing by itself."""

    def marked() -> "str | Hint | None":
        return test()

    marked.weak = True
    return marked


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
_DTYPE = ContextVar("dtype", default=torch.float64)


def _run(test: Test) -> Hint | None:
    """What a test has to say, None if nothing.

    Inputs are float64, where mistakes stand out from rounding; code that makes its own float32 tensors is right too,
    and is asked again in float32.
    """
    try:
        return _outcome(test)
    except Exception as error:
        if not DTYPE_ERROR.search(str(error)):
            return _stopped(error)
    before = _DTYPE.set(torch.float32)
    try:
        return _outcome(test)
    except Exception as error:
        return _stopped(error)
    finally:
        _DTYPE.reset(before)


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


def no_nan(value: Tensor) -> Tensor:
    """`value` as it is.

    Raises:
        Missed: there is NaN in it.
    """
    if value.isnan().any():
        raise Missed(_nan(value, {}))
    return value


def _stopped(error: Exception) -> Hint:
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
    ours = str(Path(__file__).parent)
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


_SALT = ContextVar("salt", default=0)


@contextmanager
def salted(value: int) -> Iterator[None]:
    """Within it all checks draw other inputs: what was learnt from the ones that students see is of no use there.

    Args:
        value: of 0 to 2⁶³ − 1; with 0 the inputs are those that students see.
    """
    before = _SALT.set(value)
    try:
        yield
    finally:
        _SALT.reset(before)


def drawing_seed(seed: int) -> int:
    """A check's own seed under the salt in force."""
    salt = _SALT.get()
    if not salt:
        return seed
    digest = hashlib.blake2b(f"{salt}/{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers of `dtype()`, the same at every call under one salt."""
    generator = torch.Generator().manual_seed(drawing_seed(seed))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype())


def dtype() -> torch.dtype:
    """What inputs of a check are: float64, or float32 where a student's code wants that."""
    return _DTYPE.get()


def hold_again(check: Callable[..., Sequence[Property]], *functions: Any) -> None:
    """Assert a check's properties on inputs that students have not seen: for the hidden tests of a notebook.

    Raises AssertionError: one does not hold, with its name and hint.
    """
    with salted(20_261_128):
        missed = [each for each in check(*functions) if not each.passed]
    assert not missed, f"{missed[0].name}: {missed[0].hint}"


def random_numbers(seed: int = 0) -> np.random.Generator:
    """numpy's generator for a check's inputs, the same at every call under one salt."""
    return np.random.default_rng(drawing_seed(seed))


def size(low: int, high: int) -> int:
    """A size of a check's inputs, `low` to `high`: another one under another salt, so that none can be written in."""
    return int(random_numbers().integers(low, high + 1))


def as_tensor(value: Any, what: str) -> Tensor:
    """`value` as a float64 tensor that keeps its graph.

    Raises Missed: it is None or cannot be one.
    """
    if value is None:
        raise Missed(f"{what} is None: the `return` is missing; does your function end with a return?")
    try:
        if isinstance(value, Tensor):
            return value.double()
        if (
            isinstance(value, list | tuple)
            and value
            and all(torch.is_tensor(each) and not each.ndim for each in value)
        ):
            return torch.stack(list(value)).double()  # numbers of a loop, which keep their graph
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Missed(f"{what} is a {type(value).__name__}; return a tensor.") from None


def results(value: Any, *names: str) -> tuple[Tensor, ...]:
    """The things that a function returned, as float64 tensors that keep their graph.

    Raises Missed: there are more or fewer, or one is no tensor.
    """
    if value is None:
        raise Missed("it returns None: the `return` is missing.")
    if isinstance(value, Tensor | np.ndarray) and value.ndim and len(value) == len(names):
        value = tuple(value)
    if not isinstance(value, tuple | list) or len(value) != len(names):
        number = {2: "two", 3: "three"}.get(len(names), str(len(names)))
        raise Missed(f"return {number} things: {', '.join(names[:-1])} and {names[-1]}.")
    return tuple(as_tensor(each, name) for each, name in zip(value, names, strict=True))


def number(value: Any, what: str) -> float:
    """`value` as a float.

    Raises Missed: it cannot be one.
    """
    if value is None:
        raise Missed(f"{what} is None: the `return` is missing.")
    try:
        if isinstance(value, str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise Missed(f"{what} should be a number, not {type(value).__name__}.") from None


WRITTEN = "it writes into what it was given, which the caller still needs: work on a copy."


def untouched(given: Sequence[Any], call: Function, hint: str = WRITTEN) -> str | None:
    """`hint` if `call(*given)` writes into its tensors or arrays."""
    copies = copy.deepcopy(list(given))
    call(*copies)
    same = (np.array_equal(mine, one) for mine, one in zip(copies, given, strict=True))
    return None if all(same) else hint


def close(got: Tensor, expected: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two tensors have one shape and, to `tolerance` relative and absolute, one content.

    NaN is close to nothing; in float32 the tolerance is ten times as wide.
    """
    expected = torch.as_tensor(expected).double()
    if dtype() == torch.float32:
        tolerance = max(tolerance, min(10 * tolerance, 1e-3))
    return got.shape == expected.shape and torch.allclose(got.double(), expected, rtol=tolerance, atol=tolerance)


def explain(
    got: Tensor, expected: Any, mistakes: Sequence[Mistake] = (), otherwise: str = "", **inputs: Tensor
) -> Hint | None:
    """None if `got` is as expected, else the hint of the first mistake that gives the same.

    Args:
        mistakes: those of this exercise; after them come the common ones.
        otherwise: what would be right.
        inputs: name → what the function was given, to say where a NaN came from.
    """
    if close(got, expected):
        return None
    got, expected = got.double(), torch.as_tensor(expected).double()
    for wrong, hint in mistakes:
        if close(got, wrong()):
            return Hint(_where(got, expected), hint, otherwise)
    return Hint(_where(got, expected), _nan(got, inputs) or _common(got, expected), otherwise)


def same_numbers(
    function: Function,
    right: Function,
    cases: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    mistakes: Sequence[tuple[Function, str]],
    formula: str,
) -> Hint | None:
    """None if a function gives the right number in each case; else the first that is off, and the likely mistake.

    A mistake is named where it gives what the function gives in all cases: in one, another may by chance.

    Args:
        right: what the function should give of a case's arguments.
        cases: arguments, which `names` names in the hint; the smallest first.
        mistakes: what to compute of the same arguments instead, and what to say of it.
    """

    def numbers(of: Function) -> Tensor:
        found = [number(of(*copy.deepcopy(case)), "it") for case in cases]
        return torch.tensor(found, dtype=torch.float64)

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an empty mean, for one: the number tells
        got, expected = numbers(function), numbers(right)
        hint = explain(got, expected, otherwise=formula)
        if hint is None:
            return None
        near = partial(torch.isclose, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)  # a mistake's NaN is its mark
        why = next((why for wrong, why in mistakes if bool(near(got, numbers(wrong)).all())), hint.why)
    off = int((~near(got, expected)).nonzero()[0])
    case = ", ".join(f"{name} = {_shown(value)}" for name, value in zip(names, cases[off], strict=True))
    return Hint(f"of {case} it is {got[off]:.4g}, expected {round(expected[off].item(), 9) + 0:.4g}.", why, formula)


def _shown(value: Any) -> str:
    values = np.asarray(value)
    if values.size > 16:
        return f"(an array {values.shape})"
    short = values.astype(int) if values.dtype == bool else values.round(3)
    # Scores that are small, or nearly equal, must not look alike.
    return str((short if len(np.unique(short)) == len(np.unique(values)) else values).tolist())


def _where(got: Tensor, expected: Tensor) -> str:
    """The first number that is off."""
    if got.shape != expected.shape:
        return f"it has shape {tuple(got.shape)}, expected {tuple(expected.shape)}."
    off = ~torch.isclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)
    if not off.any():
        return ""
    place = [int(i) for i in off.nonzero()[0]]
    mine, wanted = got[tuple(place)].item(), expected[tuple(place)].item()
    if not place:
        return f"it is {mine:.4g}, expected {wanted:.4g}."
    return f"at {place} it is {mine:.4g}, expected {wanted:.4g}."


def _nan(got: Tensor, inputs: dict[str, Tensor]) -> str:
    """That there is NaN or infinity, and which input it came with."""
    bad = ~got.isfinite()
    if not bad.any():
        return ""
    kind = "NaN" if got.isnan().any() else "infinite"
    said = f"{int(bad.sum())} of {got.numel()} values are {kind}"
    for name, value in inputs.items():
        for what, mask in (("negative", value < 0), ("0", value == 0)):
            rows = mask if mask.shape == bad.shape else mask.flatten(1).any(1) if mask.ndim > bad.ndim else None
            if rows is not None and rows.shape == bad.shape and rows.any() and bool((rows == bad).all()):
                return f"{said}, just where {name} is {what}: a root, logarithm or quotient of {name} itself?"
    return f"{said}: a root or logarithm of a negative number, 0/0, or an overflow of exp?"


# What a function of the right answer would look like, and what to say of it.
COMMON: tuple[tuple[Callable[[Tensor], Tensor], str], ...] = (
    (lambda x: -x, "the sign is flipped."),
    (lambda x: x.abs(), "the sign is lost: an absolute value too many."),
    (lambda x: x.square(), "it is squared once too often."),
    (lambda x: x.exp(), "that is exp of the answer: the logarithm is missing."),
    (lambda x: x.abs().sqrt(), "that is the root of the answer."),
    (lambda x: torch.zeros_like(x), "it is 0 everywhere."),
    (lambda x: x.flip(0) if x.ndim else x, "the order is reversed."),
)
FACTORS = {2.0: "a factor ½ is missing", 0.5: "a factor ½ too many", 1 / math.log(2): "in bits, not in nats"}


def _common(got: Tensor, expected: Tensor) -> str:
    """A mistake that any exercise can have, or nothing."""
    if got.shape != expected.shape:
        if got.shape == expected.shape[::-1]:
            return "rows and columns are swapped: transpose it."
        if got.ndim < expected.ndim:
            return "a sum or mean runs over one dimension too many."
        return "a sum or mean over one dimension is missing, or keepdim is too much."
    for change, why in COMMON:
        if close(got, change(expected)):
            lost = close(got, expected.abs())
            return "the sign is flipped, or lost in an absolute value." if lost else why
    ratio = got / expected
    if got.numel() == 1 and bool(ratio.isfinite().all()):
        known = next((why for value, why in FACTORS.items() if abs(ratio.item() - value) < 1e-6), _many(ratio.item()))
        return f"it is {ratio.item():.4g} times the right one: {known}." if known else _nearly(got, expected)
    if got.numel() > 1 and bool(ratio.isfinite().all()) and close(ratio, ratio.mean().expand_as(ratio), 1e-4):
        factor = ratio.mean().item()
        if abs(factor - 1) < 1e-3:
            return _nearly(got, expected)
        known = next((why for value, why in FACTORS.items() if abs(factor - value) < 1e-4), "")
        known = known or _many(factor, 1e-4)
        return f"every value is {factor:.4g} times the right one{': ' + known if known else ''}."
    offset = got - expected
    if got.numel() > 1 and bool(offset.isfinite().all()) and close(offset, offset.mean().expand_as(offset), 1e-4):
        return f"every value is off by the same {offset.mean():.4g}: a constant is missing or wrong."
    return _nearly(got, expected)


def _many(factor: float, tolerance: float = 1e-6) -> str:
    """What a whole number of times too much, or too little, says."""
    count = round(1 / factor) if 0 < factor < 1 else 0
    if count > 1 and abs(factor * count - 1) < tolerance:
        return f"a mean over {count} where a sum belongs"
    if factor > 1 and abs(factor - round(factor)) < tolerance:
        return f"a sum over {round(factor)} where a mean belongs"
    return ""


def _nearly(got: Tensor, expected: Tensor) -> str:
    if not close(got, expected, 0.01):
        return ""
    return "it is nearly right: rounded to fewer bits, or is a small constant added, or a value limited?"


def same_gradients(got: Any, expected: Any, **inputs: Tensor) -> Hint | None:
    """None if a function's result has the gradient that a reference's has.

    Of wrong values only whether gradients arrive is asked: that they are wrong too is no second mistake.

    Args:
        got, expected: a tensor each, of the student's function and of the reference, from these very inputs.
        inputs: name → tensor that requires a gradient.
    """
    if not got.requires_grad:
        return Hint(why="no gradient: leave out .item(), .detach() and numpy, and compute with tensors.")
    right_values = close(got.detach(), expected.detach(), 1e-4)
    weights = normal(*got.shape, seed=99).double() if got.shape else torch.ones(()).double()
    found, right = (
        torch.autograd.grad((weights * each).sum(), list(inputs.values()), allow_unused=True, retain_graph=True)
        for each in (got, expected)
    )
    for name, mine, wanted in zip(inputs, found, right, strict=True):
        if wanted is None or not bool(wanted.any()):
            continue
        if mine is None or not bool(mine.any()):
            return Hint(why=f"no gradient reaches {name}: leave out .detach(); that part would never be trained.")
        if right_values and not close(mine.double(), wanted, 1e-4):
            return Hint(why=f"the gradient of {name} is not that of the formula: is a part of it detached?")
    return None


MANY_ROWS = 600


def any_number(call: Function, *given: Tensor, most: int = MANY_ROWS) -> str | None:
    """None if each row comes out alone and among many as it does beside a few.

    Args:
        call: tensors (N, …) → one tensor or several; those that have no row for each are passed over.
        given: its arguments, of a few rows.
        most: fewer where a function that loops over rows would ask a net for each.
    """

    def asked(rows: Tensor) -> list[Tensor]:
        found = call(*(each[rows] for each in given))
        return [as_tensor(each, "the result").detach() for each in (found if isinstance(found, tuple) else (found,))]

    count = len(given[0])
    few = asked(torch.arange(count))
    for number in (most, 1):
        rows = torch.arange(number) % count
        for got, beside in zip(asked(rows), few):
            if not beside.ndim or len(beside) != count:
                continue
            if hint := _nan(beside, {}):
                return hint
            if got.shape != beside[rows].shape:
                return (
                    f"for N = {number} it has shape {tuple(got.shape)}, expected {tuple(beside[rows].shape)}: leave "
                    "out squeeze(), which drops every dimension of one, and write in no N."
                )
            if not close(got, beside[rows]):
                return f"for N = {number} a row is another one than for N = {count}: write in no number of rows."
    return None


def row_values(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """One number per row of `rows` (N, d), (N,), even of a function that adds up what it should not.

    So a wrong shape costs the property of shapes alone: such a function is asked for one row at a time.
    """
    got = function(rows)
    if got.shape == (len(rows),):
        return got
    return torch.stack([function(row[None]).sum() for row in rows])


def one_per_row(got: Tensor, rows: int, features: int, what: str) -> str | None:
    """None if `got` has shape (rows,), else what was done to it instead."""
    if got.shape == (rows,):
        return None
    known = {
        (): f"{what} is one number for the whole batch: sum over the features only, .sum(1).",
        (rows, features): f"{what} has a number for each feature: sum over the features, .sum(1).",
        (features,): f"{what} has a number for each column: features are dimension 1, so .sum(1), not .sum(0).",
        (rows, 1): f"{what} is a column (N, 1): leave out keepdim.",
    }
    return known.get(tuple(got.shape), f"{what} should have shape ({rows},), not {tuple(got.shape)}.")
