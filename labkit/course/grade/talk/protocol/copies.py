"""Copies of tensors and arrays that two processes keep in step: what one is, when it changed, how it follows.

Nothing here knows of graphs; see `labkit.course.grade.talk.protocol.crossing` for how gradients cross.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from labkit.course.grade.talk.protocol.wire import (
    WireError,
    array_data,
    array_from,
    tensor_bytes,
    tensor_data,
    tensor_from,
)

Shared = Tensor | np.ndarray


@dataclass
class Entry:
    """A tensor or array that both sides know by its handle."""

    value: Shared  # this side's copy
    edge: GradientEdge | None = None  # where it stands in this side's graph; None without gradients
    seen: Any = None  # fingerprint of its content when the sides last agreed
    inner: bool = False  # whether it was computed from something that wants a gradient
    # Handles of what it was computed from: the other side's tensors, and leaves of this side.
    sources: list[str] = field(default_factory=list)
    hidden: bool = False  # the other side knows of it, but was not given its content, nor may it change that


def kind_of(value: Tensor) -> str:
    """How a tensor is handed over: plain, leaf, parameter, or inner, which was computed from leaves."""
    if not value.requires_grad:
        return "plain"
    if value.grad_fn is not None:
        return "inner"
    return "parameter" if isinstance(value, nn.Parameter) else "leaf"


def gradient_of(value: Tensor) -> Tensor | None:
    """The gradient of a leaf."""
    return value.grad if value.is_leaf and value.requires_grad else None


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _overwrite_array(value: np.ndarray, new: np.ndarray) -> None:
    if value.shape != new.shape or value.dtype != new.dtype:
        raise WireError("an array changed its shape or type")
    value[...] = new


def _overwrite(value: Tensor, new: Tensor | None, gradient: Tensor | None) -> None:
    new = value.detach().clone() if new is None else new
    if new.dtype != value.dtype or (gradient is not None and gradient.shape != new.shape):
        raise WireError("a tensor changed its type, or has a gradient of another shape")
    with torch.no_grad():
        if new.shape != value.shape:
            value.data = new
        elif tensor_bytes(value) != tensor_bytes(new):
            value.copy_(new)
    if not (value.is_leaf and value.requires_grad):
        return
    if gradient is None or value.grad is None or value.grad.requires_grad:
        value.grad = gradient
    else:
        value.grad.copy_(gradient)


def fingerprint(value: Shared, *, by_content: bool) -> Any:
    """Something that differs once the value, or its gradient, has changed.

    Args:
        value: a tensor or an array.
        by_content: look at every byte, so that changes behind torch's back are seen too; else at torch's counters.
    """
    if isinstance(value, np.ndarray):
        return _digest(value.tobytes())
    gradient = gradient_of(value)
    if by_content:
        return _digest(tensor_bytes(value)), None if gradient is None else _digest(tensor_bytes(gradient))
    return value._version, None if gradient is None else (id(gradient), gradient._version)


def change_of(entry: Entry) -> list[Any]:
    """The JSON of a copy's content and gradient, which `follow` takes on the other side."""
    if isinstance(entry.value, np.ndarray):
        return [array_data(entry.value), None]
    gradient = gradient_of(entry.value)
    content = None if entry.hidden else tensor_data(entry.value)
    return [content, None if gradient is None else tensor_data(gradient)]


def follow(entry: Entry, data: Any, gradient: Any) -> None:
    """Give this side's copy the content and gradient that the other side's has now.

    Raises WireError: malformed, or another shape or type than before.
    """
    if isinstance(entry.value, np.ndarray):
        _overwrite_array(entry.value, array_from(data))
    else:
        new = None if data is None or entry.hidden else tensor_from(data)
        _overwrite(entry.value, new, None if gradient is None else tensor_from(gradient))
