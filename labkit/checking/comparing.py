"""Comparing what came with what is right: where it is off, and which mistake would give just that."""

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.checking.hints import Function, Hint, Missed, Mistake
from labkit.checking.inputs import dtype, normal
from labkit.checking.values import as_tensor, number

TOLERANCE = 1e-5


def no_nan(value: Tensor) -> Tensor:
    """`value` as it is.

    Raises:
        Missed: there is NaN in it.
    """
    if value.isnan().any():
        raise Missed(_nan(value, {}))
    return value


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
    mine, wanted = _told_apart(got[tuple(place)].item(), expected[tuple(place)].item())
    if not place:
        return f"it is {mine}, expected {wanted}."
    return f"at {place} it is {mine}, expected {wanted}."


def _told_apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers with four digits, or with as many more as show that they differ."""
    written = [(f"{a:.{digits}g}", f"{b:.{digits}g}") for digits in range(4, 18)]
    return next((each for each in written if each[0] != each[1]), written[0])


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
    for many in (most, 1):
        rows = torch.arange(many) % count
        for got, beside in zip(asked(rows), few):
            if not beside.ndim or len(beside) != count:
                continue
            if hint := _nan(beside, {}):
                return hint
            if got.shape != beside[rows].shape:
                return (
                    f"for N = {many} it has shape {tuple(got.shape)}, expected {tuple(beside[rows].shape)}: leave "
                    "out squeeze(), which drops every dimension of one, and write in no N."
                )
            if not close(got, beside[rows]):
                return (
                    f"for N = {many} a row is another one than for N = {count}: write in no number of rows, and let "
                    "none count the others."
                )
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
