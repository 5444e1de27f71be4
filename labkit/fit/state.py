"""Everything about a run that changes while it trains, random generators included: what a checkpoint holds."""

import math
import random
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.fit.step import GuardedStep

FORMAT = "labkit checkpoint 1"
DISCRIMINATOR = "discriminator."  # how the names of its weights begin


class TrainingState:
    """The model, its updates, and the position in the run.

    Attributes:
        epoch: finished epochs.
        step: batches done in the epoch that has begun.
        rows: the history, one dict of plain numbers per finished epoch.
        kept: callback name → {epoch: what it returned}.
        seconds: spent on training in finished epochs; validation, callbacks and checkpoints left out.
        best_value, best_epoch, best_weights: of the watched value; None before the first.
        stopped_early: patience ran out, or the monitor stopped the run.
        compiled: items of the batches whose loss is compiled (`labkit.fit.compiled`); 0 for none.
        monitored: what the monitor keeps from epoch to epoch, tensors and plain values.
    """

    def __init__(self, model: nn.Module, steps: list[GuardedStep]) -> None:
        self.model, self.steps = model, steps
        self.epoch = 0
        self.step = 0
        self.rows: list[dict[str, float]] = []
        self.kept: dict[str, dict[int, Any]] = {}
        self.seconds = 0.0
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Tensor] | None = None
        self.stopped_early = False
        self.compiled = 0
        self.monitored: dict[str, Any] = {}
        self._epoch_seconds = 0.0
        self._resumed_at = time.perf_counter()

    def is_over(self, epochs: int) -> bool:
        """True when `epochs` are done or the run was stopped early."""
        return self.stopped_early or self.epoch >= epochs

    def pause_clock(self) -> None:
        """Stop counting training time, once a GPU has done what it was given."""
        device = self.steps[0].device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self._epoch_seconds += time.perf_counter() - self._resumed_at

    def run_clock(self) -> None:
        """Count training time from here."""
        self._resumed_at = time.perf_counter()

    def finish_epoch(self, items: int) -> dict[str, float]:
        """Close the books, append a row to the history and step the schedules. Waits for the device."""
        books = {step.update.name: step.books.close() for step in self.steps}
        self.epoch += 1
        self.step = 0
        seconds, self._epoch_seconds = self._epoch_seconds, 0.0
        self.seconds += seconds
        rates = {step.update.name: float(step.update.optimizer.param_groups[0]["lr"]) for step in self.steps}
        own = {"lr" if len(rates) == 1 else f"lr_{name}": rate for name, rate in rates.items()}
        own["skipped"] = sum(skipped for _, skipped in books.values())
        own |= {"seconds": seconds, "items_per_second": items / max(seconds, 1e-9)}
        row = {"epoch": self.epoch}
        for name, (means, _) in books.items():
            add_columns(row, means, f"update {name!r}")
        add_columns(row, own, "fit")
        self.rows.append(row)
        for step in self.steps:
            if step.update.schedule is not None:
                step.update.schedule.step()
        return row

    def keep_if_best(self, value: float) -> None:
        """Remember the weights if `value` is the lowest yet; a value that is not finite never is."""
        if math.isfinite(value) and (self.best_value is None or value < self.best_value):
            self.best_value, self.best_epoch = value, self.epoch
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """All of it and every random generator, as tensors and plain values."""
        names = ("epoch", "step", "rows", "kept", "seconds", "best_value", "best_epoch", "best_weights", "compiled")
        return {
            "model": self.model.state_dict(),
            "steps": [step.state_dict() for step in self.steps],
            "rng": rng_state(),
            **{name: getattr(self, name) for name in (*names, "stopped_early", "monitored", "_epoch_seconds")},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        state = dict(state)
        weights = state.pop("model")
        if not state["steps"]:  # the reference's end of a GAN has no discriminator
            weights = {k: v for k, v in self.model.state_dict().items() if k.startswith(DISCRIMINATOR)} | weights
        self.model.load_state_dict(weights)
        for step, saved in zip(self.steps, state.pop("steps")):
            step.load_state_dict(saved)
        if rng := state.pop("rng", None):  # the reference's ends are not gone on from
            set_rng_state(rng)
        for name, value in state.items():
            setattr(self, name, value)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint's file holds: its "format", its "config" and the "state", on the CPU.

    Raises LabkitError: it is damaged, or something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch itself would load a flipped byte as a weight
                raise ValueError(damaged)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or content["format"] != FORMAT or not {"config", "state"} <= content.keys():
            raise ValueError("is something else")
    except (PermissionError, MemoryError) as error:  # the file may be whole: nothing is to be deleted
        raise LabkitError(f"{path}: cannot be read ({error or 'memory is full'}); mend that and go on.") from error
    except Exception as error:  # whatever torch meets in another's file
        raise LabkitError(
            f"{path}: is not a whole labkit checkpoint (cut short, or made by something else); "
            "delete it to train anew, or choose another run_dir."
        ) from error
    return content


def add_columns(row: dict[str, float], columns: dict[str, float], of: str) -> None:
    """Add `columns` to a row of the history.

    Raises LabkitError: one of them is there already; `of` names who would overwrite it.
    """
    twice = sorted(row.keys() & columns.keys())
    if twice:
        raise LabkitError(
            f"{of}: wants a column {twice[0]!r} that the history has already; rename what a loss or validate logs."
        )
    row |= columns


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """The state of every generator, as tensors and plain values."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "mps": [torch.mps.get_rng_state()] if torch.backends.mps.is_available() else [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back what `rng_state` returned; states of devices that this machine lacks are left out."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, words, *rest = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        for device, cuda in zip(range(torch.cuda.device_count()), state["cuda"]):
            torch.cuda.set_rng_state(cuda, device)
    if torch.backends.mps.is_available():
        for mps in state["mps"]:
            torch.mps.set_rng_state(mps)


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Run a block that may draw random numbers, and leave every generator as if it had not."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
