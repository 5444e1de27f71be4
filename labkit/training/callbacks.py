"""Looks at a model while it trains."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from torch import nn

Look = Callable[[nn.Module, int], Any]


@dataclass(frozen=True)
class Callback:
    """A function called after certain epochs; made by `every` and `at`.

    Attributes:
        name: under which its results are kept.
        function: (model, epoch) → tensors, numbers, or lists or dicts of them; or None.
        is_due: epoch (from 1) → whether to call it.
    """

    name: str
    function: Look
    is_due: Callable[[int], bool]


def every(epochs: int, function: Look, name: str | None = None) -> Callback:
    """Call `function(model, epoch)` after every so many epochs; `name` defaults to the function's."""
    return Callback(name or function.__name__, function, lambda epoch: epoch % epochs == 0)


def at(epochs: Collection[int], function: Look, name: str | None = None) -> Callback:
    """Call `function(model, epoch)` after these epochs, counted from 1; `name` defaults to the function's."""
    return Callback(name or function.__name__, function, frozenset(epochs).__contains__)
