"""Profiles: one small table of sizes per lab, chosen by name or by device."""

import os
from types import SimpleNamespace
from typing import Any

import torch

from labkit.errors import LabkitError, nearest
from labkit.record import PROFILES

ENVIRONMENT_VARIABLE = "LABKIT_PROFILE"
BUDGET_SECONDS = {"smoke": 45.0, "cpu": 600.0, "gpu": 3600.0}  # of a lab, unless its metadata say otherwise


def choose_profile(name: str | None = None) -> str:
    """The profile to use: `name`, else `LABKIT_PROFILE`, else by device ("gpu" with CUDA, "cpu" without).

    Raises:
        LabkitError: there is no such profile.
    """
    origin = "PROFILE"
    if name is None:
        name, origin = os.environ.get(ENVIRONMENT_VARIABLE) or None, ENVIRONMENT_VARIABLE
    if name is None:
        return "gpu" if torch.cuda.is_available() else "cpu"
    if name not in PROFILES:
        raise LabkitError(f"{origin}: there is no profile {name!r}{nearest(name, PROFILES)}")
    return name


def choose_device(profile: str) -> torch.device:
    """Where a profile computes: `gpu` on an accelerator where there is one, all else on the CPU.

    `smoke` and `cpu` stay on the CPU even beside a GPU, so that their numbers are the same on every machine.
    """
    if profile == "gpu" and torch.cuda.is_available():
        return torch.device("cuda")
    if profile == "gpu" and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_sizes(profile: str, tables: dict[str, dict[str, Any]]) -> SimpleNamespace:
    """The sizes of one profile, from a table for each.

    Raises:
        LabkitError: the tables do not name the same sizes, so that a lab would stop in one profile only.
    """
    names = {name for table in tables.values() for name in table}
    for owner, table in tables.items():
        if missing := sorted(names - set(table)):
            raise LabkitError(
                f"run.sizes: profile {owner!r} lacks {', '.join(missing)}; give every profile the same sizes."
            )
    return SimpleNamespace(**tables[profile])
