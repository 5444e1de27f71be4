"""What happened in the steps of an epoch, noted without waiting for the device and read once at its end."""

import math
from typing import Any

import torch
from torch import Tensor


class Books:
    """Losses and logged terms of one update, one entry per step, left on the device until `close`.

    Attributes:
        skipped: skipped steps of all closed epochs.
        in_a_row: skipped steps at the end of the last closed epoch, and of those before it that had only such.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.in_a_row = 0
        self._items: list[int] = []
        self._checks: list[Tensor] = []
        self._values: dict[str, list[Tensor]] = {}

    def note(self, check: Tensor, values: dict[str, Tensor], items: int) -> None:
        """Note one step.

        Args:
            check: scalar, not finite if the step was skipped.
            values: name → scalar, a mean over the batch; the same names in every step.
            items: size of the batch.
        """
        self._items.append(items)
        self._checks.append(check.clone())
        for name, value in values.items():
            # The clone lets go of whatever larger tensor the value is a part of, or that is written to again.
            value = torch.as_tensor(value, device=check.device)
            self._values.setdefault(name, []).append(value.detach().clone())

    def close(self) -> tuple[dict[str, float], int]:
        """Means over the items of the steps that were not skipped, and how many were. Waits for the device."""
        good = torch.stack(self._checks).isfinite().cpu()
        weights = torch.tensor(self._items, dtype=torch.float64, device=good.device) * good
        means = {}
        for name, column in self._values.items():
            values = torch.stack(column).cpu().double()
            total = torch.where(good, values, 0.0) @ weights
            means[name] = (total / weights.sum()).item() if good.any() else math.nan
        at_the_end = good.flip(0).long().argmax().item() if good.any() else self.in_a_row + len(good)
        skipped = len(good) - int(good.sum())
        self.in_a_row = at_the_end
        self.skipped += skipped
        self._items, self._checks, self._values = [], [], {}
        return means, skipped

    def state_dict(self) -> dict[str, Any]:
        """The open entries and the counts."""
        return {
            "skipped": self.skipped,
            "in_a_row": self.in_a_row,
            "items": self._items,
            "checks": torch.stack(self._checks) if self._checks else None,
            "values": {name: torch.stack(column) for name, column in self._values.items()},
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Put back what `state_dict` returned."""
        self.skipped, self.in_a_row, self._items = state["skipped"], state["in_a_row"], list(state["items"])
        self._checks = [] if state["checks"] is None else list(state["checks"].to(device))
        self._values = {name: list(column.to(device)) for name, column in state["values"].items()}
