"""The one file of a run: written whole, read without trust, and never mistaken for another run's."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.files import atomic_path
from labkit.fit import reference
from labkit.fit.state import FORMAT, read_checkpoint
from labkit.fit.step import Update

NAME = "checkpoint.pt"
# Writing may take at most this share of the time of a run.
WRITING_SHARE = 0.05
_SIMPLE = (int, float, str)


class Checkpoints:
    """Reads and writes `run_dir/checkpoint.pt`; with `run_dir` None it does neither.

    Args:
        run_dir: folder of one run.
        config: what identifies the run, as plain values; a file with another config is refused.
        seconds: time between two checkpoints; longer where writing one takes more than 5 % of it.
    """

    def __init__(self, run_dir: str | Path | None, config: Mapping[str, Any], seconds: float) -> None:
        self.path = None if run_dir is None else Path(run_dir) / NAME
        self._config = json.loads(json.dumps(config, default=str))
        self._seconds = seconds
        self._due = float("inf")

    def load(self) -> dict[str, Any] | None:
        """What `save` was last given, on the CPU; None if there is no file.

        Where there is none, and the kit's reference has this run at its end, it is taken from there.

        Raises LabkitError: the file is damaged, or no checkpoint of this kit, or of another run.
        """
        if self.path is None:
            return None
        for stale in self.path.parent.glob(f".{self.path.stem}-*{self.path.suffix}"):
            stale.unlink(missing_ok=True)  # left by a run that was killed while it wrote
        offered = reference.offer(self.path)
        if not self.path.exists():
            return None if offered is None else self._from_reference(offered)
        content = read_checkpoint(self.path)
        if content["config"] != self._config:
            raise LabkitError(
                f"{self.path}: is the checkpoint of another run ({_differences(content['config'], self._config)}); "
                "choose another run_dir, or delete the file to train anew."
            )
        return content["state"]

    def save(self, state: dict[str, Any]) -> None:
        """Write `state`: tensors and plain values.

        Raises LabkitError: the folder cannot be written, or the disk is full.
        """
        if self.path is None:
            return
        started = time.monotonic()
        content = {"format": FORMAT, "config": self._config, "state": state}
        with atomic_path(self.path) as temporary, open(temporary, "wb") as stream:
            try:
                torch.save(content, stream)
            except RuntimeError as error:  # torch reports a failed write as one
                raise OSError(None, "torch could not write all of it") from error
        now = time.monotonic()
        self._due = now + max(self._seconds, (now - started) / WRITING_SHARE)

    def due(self) -> bool:
        """True when it is time for the next checkpoint."""
        return time.monotonic() >= self._due

    def _from_reference(self, path: Path) -> dict[str, Any] | None:
        """The end of this run in the reference; None, with a sentence, where that is damaged or of something else."""
        try:
            content = read_checkpoint(path)
        except LabkitError:
            print(f"{path}: is damaged: this model is trained instead.")
            return None
        there, here = ({**config, "precision": ""} for config in (content["config"], self._config))
        if there != here:  # what computed it decides neither what it is nor what it may be used for
            print(f"The reference is stale here ({_differences(there, here)}): this model is trained instead.")
            return None
        return content["state"]


def trained_epochs(run_dir: str | Path) -> int:
    """Epochs that the run in this folder, or else the kit's reference of it, has begun; 0 where there is none."""
    path = Path(run_dir) / NAME
    found = path if path.exists() else reference.offer(path)
    try:
        state = torch.load(found, map_location="cpu", weights_only=True)["state"] if found else None
    except Exception:  # whatever torch meets in another's file: `fit` will say what is wrong with it
        state = None
    return 0 if state is None else state["epoch"] + (state["step"] > 0)


def plain(value: Any, of: str) -> Any:
    """`value` as a checkpoint can hold it: tensors on the CPU, arrays as tensors, scalars as python's.

    Raises LabkitError: it holds something else; `of` names who made it.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {plain(key, of): plain(item, of) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, of) for item in value]
    raise LabkitError(f"{of}: returned {type(value).__name__}; return tensors, arrays, numbers, or lists of them.")


def describe_run(
    model: nn.Module, updates: Sequence[Update], batches: Any, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Model, updates, data and settings as plain values; equal for two calls of `fit` that do the same.

    It cannot see the code of a loss. The data are told apart by the mean |x| of an epoch to four digits, which
    depends neither on their order nor on the device; a model by its class and the shapes in it.
    """
    layout = [(name, list(value.shape)) for name, value in model.state_dict().items()]
    numbers = sum(value.numel() for value in model.state_dict().values())
    short = hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:8]
    firsts = (batch[0] if isinstance(batch, tuple | list) else batch for batch in batches.epoch(0))
    total = sum(first.abs().mean(dtype=torch.float32) * len(first) for first in firsts)
    return {
        "model": f"{type(model).__name__} of {numbers:,} numbers in {len(layout)} tensors ({short})",
        **{update.name: _describe_update(update) for update in updates},
        "data": f"{batches.count} items in {len(batches)} batches, mean size {float(total) / batches.count:.4g}",
        "batches": {name.strip("_"): value for name, value in vars(batches).items() if isinstance(value, _SIMPLE)},
        **settings,
    }


def _describe_update(update: Update) -> dict[str, Any]:
    """Settings of the loss, of the optimizer without its way of computing, and of the schedule without what moves."""
    how = {"lr", "foreach", "fused", "capturable", "differentiable"}
    moving = {"last_epoch", "best", "num_bad_epochs", "cooldown_counter", "T_cur", "T_i", "base_lrs", "mode_worse"}
    rates = [float(group.get("initial_lr", group["lr"])) for group in update.optimizer.param_groups]
    about = {"optimizer": type(update.optimizer).__name__, "lr": rates[0] if len(rates) == 1 else rates}
    about |= {name: value for name, value in update.optimizer.defaults.items() if name not in how}
    if update.schedule is not None:
        about["schedule"] = type(update.schedule).__name__
        for name, value in update.schedule.state_dict().items():
            if isinstance(value, (*_SIMPLE, list, tuple)) and name not in moving and not name.startswith("_"):
                about[name] = value
    return about | {"clip": update.clip, **update.settings}


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], most: int = 3) -> str:
    """The first few entries in which a checkpoint's config and this run's differ, for a person."""
    there, here = _flat(there), _flat(here)
    absent = "absent"
    names = [name for name in dict.fromkeys([*here, *there]) if there.get(name, absent) != here.get(name, absent)]
    said = [f"{name}: {there.get(name, absent)} there, {here.get(name, absent)} here" for name in names[:most]]
    return "; ".join(said) + (f"; and {len(names) - most} more" if len(names) > most else "")


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name, value in config.items():
        entries |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return entries
