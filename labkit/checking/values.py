"""What a student's function returned, as numbers and tensors that a check can compare."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.checking.hints import Function, Missed
from labkit.checking.stopped import WRITTEN


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


def untouched(given: Sequence[Any], call: Function, hint: str = WRITTEN) -> str | None:
    """`hint` if `call(*given)` writes into its tensors or arrays."""
    copies = copy.deepcopy(list(given))
    call(*copies)
    same = (np.array_equal(mine, one) for mine, one in zip(copies, given, strict=True))
    return None if all(same) else hint
