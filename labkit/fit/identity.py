"""What makes a run this run and no other, so that a checkpoint is never taken for another run's."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from labkit.fit.step import Update


def describe_run(
    model: nn.Module, updates: Sequence[Update], batches: Any, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Model, updates, data and settings as plain values; equal for two calls of `fit` that do the same.

    It cannot see the code of a loss. The data are told apart by the mean size of their numbers, which depends
    neither on their order nor on the device.
    """
    return {
        "model": describe_model(model),
        **{
            update.name: {**describe_optimizer(update.optimizer), **describe_schedule(update.schedule)}
            for update in updates
        },
        "data": describe_data(batches),
        **settings,
    }


def describe_data(batches: Any) -> str:
    """Number of items and of batches, and the mean |x| of an epoch to four digits."""
    total = sum(_first(batch).abs().mean(dtype=torch.float32) * len(_first(batch)) for batch in batches.epoch(0))
    return f"{batches.count} items in {len(batches)} batches, mean size {float(total) / batches.count:.4g}"


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a config as canonical JSON, hexadecimal."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any], most: int = 3) -> str:
    """The first few entries in which a checkpoint's config and this run's differ, for a person."""
    there, here = _flat(there), _flat(here)
    absent = "absent"
    names = [name for name in dict.fromkeys([*here, *there]) if there.get(name, absent) != here.get(name, absent)]
    said = [f"{name}: {there.get(name, absent)} there, {here.get(name, absent)} here" for name in names[:most]]
    return "; ".join(said) + (f"; and {len(names) - most} more" if len(names) > most else "")


def describe_model(model: nn.Module) -> str:
    """Class, size and layout of a model, e.g. "RealNVP of 122,304 numbers in 96 tensors (1f2e3d4c)"."""
    layout = [(name, list(value.shape)) for name, value in model.state_dict().items()]
    numbers = sum(value.numel() for value in model.state_dict().values())
    short = hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:8]
    return f"{type(model).__name__} of {numbers:,} numbers in {len(layout)} tensors ({short})"


def describe_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Class and settings of an optimizer, its initial rates included, its way of computing left out."""
    how = {"lr", "foreach", "fused", "capturable", "differentiable"}
    rates = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    settings = {name: value for name, value in optimizer.defaults.items() if name not in how}
    return {"optimizer": type(optimizer).__name__, "lr": rates[0] if len(rates) == 1 else rates, **settings}


def describe_schedule(schedule: Any) -> dict[str, Any]:
    """Class and settings of a scheduler, without what changes while it runs."""
    if schedule is None:
        return {}
    moving = {
        "last_epoch",
        "best",
        "num_bad_epochs",
        "cooldown_counter",
        "T_cur",
        "T_i",
        "base_lrs",
        "mode_worse",
    }
    simple = (int, float, str, list, tuple)
    settings = {
        name: value
        for name, value in schedule.state_dict().items()
        if isinstance(value, simple) and name not in moving and not name.startswith("_")
    }
    return {"schedule": type(schedule).__name__, **settings}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            entries |= _flat(value, f"{prefix}{name}.")
        else:
            entries[f"{prefix}{name}"] = value
    return entries


def _first(batch: Any) -> Tensor:
    return batch[0] if isinstance(batch, tuple | list) else batch
