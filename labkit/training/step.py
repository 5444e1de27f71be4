"""One guarded optimisation step, and the books of an epoch, without a look at the device."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from labkit.errors import LabkitError

Loss = Callable[[nn.Module, Any], Tensor | tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Update:
    """One optimisation step made on every batch: one for a flow or a VAE, two for a GAN.

    Attributes:
        name: names the loss in the history, e.g. "nll".
        loss: (model, batch) → scalar, the mean over the batch; or (scalar, {name: scalar}), more to log.
        optimizer: its parameters, and only they, receive gradients from this loss. With `fused=True` a step on
            a GPU is skipped without waiting for the device.
        schedule: a torch scheduler of that optimizer, stepped once an epoch.
    """

    name: str
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None


class GuardedStep:
    """Performs one `Update` and keeps its books.

    A step with a non-finite loss or gradient changes nothing: not the weights, not the optimizer's moments
    and step count, not the model's running statistics. It is counted and left out of the epoch's means.
    """

    def __init__(self, update: Update, model: nn.Module, clip: float | None, precision: str) -> None:
        self.update, self.model, self.clip, self.precision = update, model, clip, precision
        self.parameters = [
            p for group in update.optimizer.param_groups for p in group["params"] if p.requires_grad
        ]
        self.device = self.parameters[0].device
        self.skips_on_device = getattr(update.optimizer, "_step_supports_amp_scaling", False)
        self.skipped = 0
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=self.device)
        self.open_books()

    def __call__(self, batch: Any, items: int) -> None:
        """Update on one batch of `items` items."""
        buffers = list(self.model.buffers())
        before = [buffer.clone() for buffer in buffers]
        loss, terms = self._loss(batch)
        self.update.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=self.parameters)
        grads = [p.grad for p in self.parameters if p.grad is not None]
        if not grads:
            raise LabkitError(
                f"update {self.update.name!r}: its loss depends on none of the parameters of its optimizer; "
                "make the optimizer from the parameters that the loss uses."
            )
        norm = get_total_norm(grads)
        bad = (loss.detach() + norm).isfinite().logical_not_()
        if self.clip is not None:
            clip_grads_with_norm_(self.parameters, self.clip, norm)
        self._apply(bad, buffers, before)
        self._record(bad, {self.update.name: loss, **terms}, items)

    def _loss(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext():
            result = self.update.loss(self.model, batch)
        loss, terms = result if isinstance(result, tuple) else (result, {})
        if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad:
            what = (
                f"shape {tuple(loss.shape)}"
                if isinstance(loss, Tensor) and loss.ndim
                else type(loss).__name__
            )
            raise LabkitError(
                f"update {self.update.name!r}: its loss must be one number with a gradient, not {what}; "
                "return the mean over the batch, computed from the model's output without detach() or item()."
            )
        return loss, terms

    def _apply(self, bad: Tensor, buffers: list[Tensor], before: list[Tensor]) -> None:
        optimizer = self.update.optimizer
        if self.skips_on_device:
            # The fused optimizers of torch leave weights, moments and step count alone where this flag is 1.
            optimizer.found_inf = bad.float()
            optimizer.step()
            del optimizer.found_inf
            for buffer, old in zip(buffers, before):
                buffer.copy_(torch.where(bad, old, buffer))
        elif not bad:  # a synchronisation: free on the CPU; on a GPU, fused=True avoids it
            optimizer.step()
        else:
            for buffer, old in zip(buffers, before):
                buffer.copy_(old)

    def _record(self, bad: Tensor, values: dict[str, Tensor], items: int) -> None:
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        row = torch.stack(
            [torch.as_tensor(v, dtype=dtype, device=self.device).detach() for v in values.values()]
        )
        if self.sums is None:
            self.names, self.sums = list(values), torch.zeros_like(row)
        self.sums.add_(row.masked_fill_(bad, 0.0), alpha=items)
        self.steps += 1
        good = bad.logical_not()
        self.good_steps.add_(good)
        self.good_items.add_(good, alpha=items)
        self.in_a_row.add_(1).mul_(bad)

    def open_books(self) -> None:
        """Begin an epoch."""
        self.names: list[str] = []
        self.sums: Tensor | None = None
        self.steps = 0
        self.good_steps = torch.zeros((), dtype=torch.int64, device=self.device)
        self.good_items = torch.zeros((), dtype=torch.int64, device=self.device)

    def close_books(self) -> tuple[dict[str, float], int]:
        """Means over the items of the epoch's good steps, and how many were skipped. Waits for the device."""
        items = self.good_items.item()
        means = [total / items if items else math.nan for total in self.sums.tolist()]
        skipped = self.steps - self.good_steps.item()
        self.skipped += skipped
        row = dict(zip(self.names, means))
        self.open_books()
        return row, skipped

    def state_dict(self) -> dict[str, Any]:
        """Optimizer, schedule and open books."""
        schedule = self.update.schedule
        return {
            "optimizer": self.update.optimizer.state_dict(),
            "schedule": None if schedule is None else schedule.state_dict(),
            "names": self.names,
            "sums": self.sums,
            "steps": self.steps,
            "good_steps": self.good_steps,
            "good_items": self.good_items,
            "in_a_row": self.in_a_row,
            "skipped": self.skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.update.optimizer.load_state_dict(state["optimizer"])
        if self.update.schedule is not None:
            self.update.schedule.load_state_dict(state["schedule"])
        self.names, self.steps, self.skipped = list(state["names"]), state["steps"], state["skipped"]
        self.sums = None if state["sums"] is None else state["sums"].to(self.device)
        for name in ("good_steps", "good_items", "in_a_row"):
            setattr(self, name, state[name].to(self.device))
