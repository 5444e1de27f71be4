"""Property checks of the exercises: each property that a student's code misses comes with a hint.

A check gets the student's functions and returns a list of `Property`; `Run.check` prints them. Nothing that the
student's code raises leaves a check: it becomes the hint of a missed property.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

TOLERANCE = 1e-5

STUB = "this cell still holds the stub: write its body in place of `raise NotImplementedError`."
AGAIN = "the same as above stands in the way."

Test = Callable[[], "str | None"]
# What a common mistake would have given, and what to say of it.
Mistake = tuple[Callable[[], Any], str]


@dataclass(frozen=True)
class Property:
    """One thing that must hold of a student's code.

    Attributes:
        name: what must hold, in a few words.
        passed: whether it does.
        hint: the likely mistake, in a sentence; empty where it holds.
    """

    name: str
    passed: bool
    hint: str


class Missed(Exception):  # noqa: N818 - not an error: what a test says of the code it looked at
    """Raised within a test to end it with a hint."""


def evaluate(tests: dict[str, Test]) -> list[Property]:
    """Run the tests in order, one property each.

    Args:
        tests: name of the property → a test, which returns None where it holds and else a hint, or raises `Missed`.
    """
    properties: list[Property] = []
    for name, test in tests.items():
        hint, raised = _run(test)
        seen = raised and any(each.hint == hint for each in properties)
        properties.append(Property(name, not hint, AGAIN if seen else hint))
    return properties


def _run(test: Test) -> tuple[str, bool]:
    """The hint, empty if there is none to give, and whether the student's code raised."""
    try:
        return test() or "", False
    except Missed as missed:
        return str(missed), False
    except NotImplementedError:
        return STUB, True
    except Exception as error:
        said = " ".join(str(error).split())
        return f"your code stopped with {type(error).__name__}: {said[:200] or 'no message'}.", True


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
    """Standard normal numbers in float64, the same at every call under one salt."""
    generator = torch.Generator().manual_seed(drawing_seed(seed))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def random_numbers(seed: int = 0) -> np.random.Generator:
    """numpy's generator for a check's inputs, the same at every call under one salt."""
    return np.random.default_rng(drawing_seed(seed))


def as_tensor(value: Any, what: str) -> Tensor:
    """`value` as a float64 tensor that keeps its graph.

    Raises:
        Missed: it is None or cannot be one.
    """
    if value is None:
        raise Missed(f"{what} is None: does your function end with a return?")
    try:
        return torch.as_tensor(value).double()
    except (TypeError, ValueError, RuntimeError):
        raise Missed(f"{what} is a {type(value).__name__}; return a tensor.") from None


def close(got: Tensor, expected: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two tensors have one shape and, to `tolerance` relative and absolute, one content.

    NaN is close to nothing.
    """
    expected = torch.as_tensor(expected).double()
    return got.shape == expected.shape and torch.allclose(got, expected, rtol=tolerance, atol=tolerance)


def explain(got: Tensor, expected: Any, mistakes: Sequence[Mistake], otherwise: str) -> str | None:
    """None if `got` is as expected, else the hint of the first mistake that gives the same."""
    if close(got, expected):
        return None
    for wrong, hint in mistakes:
        if close(got, wrong()):
            return hint
    if not bool(got.isfinite().all()):
        return f"{int((~got.isfinite()).sum())} of {got.numel()} values are not finite. {otherwise}"
    return otherwise


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
