"""Looks at a model while it trains: validation, early stopping, callbacks."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.fit.checkpoint import plain
from labkit.fit.rng import preserved_rng
from labkit.fit.state import TrainingState, add_columns

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


@dataclass(frozen=True)
class Looks:
    """All that happens between two epochs; the arguments are those of `fit`.

    Raises:
        LabkitError: the arguments do not fit together.
    """

    validate: Callable[[nn.Module], Mapping[str, float]] | None
    validate_every: int
    watch: str | None
    patience: int | None
    callbacks: Sequence[Callback]

    def __post_init__(self) -> None:
        if (self.watch and not self.validate) or (self.patience is not None and not self.watch):
            raise LabkitError("fit: patience needs watch, and watch needs validate; give all that are needed.")
        names = [callback.name for callback in self.callbacks]
        if len(set(names)) < len(names):
            raise LabkitError(f"fit: two callbacks share a name in {names}; give each its own.")
        if self.validate_every < 1:
            raise LabkitError(f"fit: validate_every must be at least 1, not {self.validate_every}.")

    def __call__(self, run: TrainingState, row: dict[str, float]) -> None:
        """Look at a model that has just finished an epoch, whose row of the history is `row`."""
        run.model.eval()
        with torch.no_grad(), preserved_rng():
            if self.validate is not None and run.epoch % self.validate_every == 0:
                self._validate(run, row)
            for callback in self.callbacks:
                if callback.is_due(run.epoch):
                    result = plain(callback.function(run.model, run.epoch), f"callback {callback.name!r}")
                    if result is not None:
                        run.kept.setdefault(callback.name, {})[run.epoch] = result
        run.stopped_early = self.patience is not None and run.epoch - (run.best_epoch or 0) >= self.patience

    def _validate(self, run: TrainingState, row: dict[str, float]) -> None:
        found = {name: float(value) for name, value in self.validate(run.model).items()}
        add_columns(row, found, "validate")
        if self.watch is not None:
            if self.watch not in found:
                raise LabkitError(f"watch={self.watch!r}: validate returns {', '.join(found)}; watch one of these.")
            run.keep_if_best(found[self.watch])
