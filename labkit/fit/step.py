"""One optimisation step, which a loss or gradient that is not finite cannot spoil, and the books of an epoch."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_

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
        settings: what else makes this loss, as plain values: a checkpoint made under others is refused.
        clip: largest norm of the gradient, None for any.
        full_precision: compute in float32 whatever precision `fit` is given, as a log-density needs.
        log_gradient: also log the norm of the gradient, before any clipping, as `<name>_gradient`.
        capturable: torch's word for what a CUDA graph can hold: the loss does the same with every batch of a size,
            whatever the numbers, and its Python reads nothing that changes from step to step. On a GPU such steps
            are recorded and replayed (`labkit.fit.compiled`).
    """

    name: str
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    clip: float | None = None
    full_precision: bool = False
    log_gradient: bool = False
    capturable: bool = False


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


class Noted(NamedTuple):
    """What the books say of a step: a scalar that is not finite if it was skipped, and name → scalar to log."""

    check: Tensor
    values: dict[str, Tensor]


class GuardedStep:
    """Performs one `Update` and keeps its books.

    A step with a non-finite loss or gradient changes nothing: not the weights, not the optimizer's moments
    and step count, not the model's buffers. It is counted and left out of the epoch's means.
    """

    def __init__(self, update: Update, model: nn.Module, precision: str = "float32") -> None:
        self.update, self.model = update, model
        self.precision = "float32" if update.full_precision else precision
        self.parameters = trained_parameters(update)
        self.device = self.parameters[0].device
        self.books = Books()
        trains_all = {id(p) for p in model.parameters() if p.requires_grad} <= {id(p) for p in self.parameters}
        self._inputs = None if trains_all else self.parameters  # naming the inputs costs a walk over the graph
        self._buffers = list(model.buffers())
        self._skips_on_device = can_skip_on_device(update.optimizer, self.device)
        self._loads = 0
        self.compiled: tuple[Loss, int] | None = None  # in place of the loss, for batches of so many items

    @property
    def recordable(self) -> bool:
        """Whether a CUDA graph may hold this step."""
        return self.update.capturable and self._skips_on_device

    def fixed_while_recorded(self) -> tuple[Any, ...]:
        """What a recording of this step holds as plain numbers or addresses; another value makes it useless."""
        return self._loads, *(group["lr"] for group in self.update.optimizer.param_groups)

    def perform(self, batch: Any, recording: bool = False) -> Noted:
        """Update on a batch, and say what came of it."""
        before = [buffer.clone() for buffer in self._buffers]
        loss, terms = self._differentiate(batch)
        norm = self._gradient_norm()
        check = loss.detach() + norm  # finite if both are
        if self.update.clip is not None:
            clip_grads_with_norm_(self.parameters, self.update.clip, norm)
        with _capturable(self.update.optimizer) if recording else nullcontext():
            self._step(check, before)
        if self.update.log_gradient:
            terms = {**terms, f"{self.update.name}_gradient": norm}
        return Noted(check, {self.update.name: loss.detach(), **terms})

    def __call__(self, batch: Any, items: int) -> None:
        """Update on a batch of `items` items, and note it."""
        self.note(self.perform(batch), items)

    def note(self, noted: Noted, items: int) -> None:
        """Enter a step on a batch of `items` items into the books."""
        self.books.note(noted.check, noted.values, items)

    @contextmanager
    def trial(self, batch: Any) -> Iterator[Callable[[tuple[Loss, int] | None], float]]:
        """A function that says how many seconds a loss and its gradient take on `batch`, given a value of `compiled`.

        At the end weights, buffers and `compiled` are what they were; the random generators have moved.
        """

        def seconds(compiled: tuple[Loss, int] | None) -> float:
            self.compiled = compiled
            began = time.perf_counter()
            self._differentiate(batch)
            return time.perf_counter() - began

        before, compiled = [buffer.clone() for buffer in self._buffers], self.compiled
        self.model.train()
        try:
            yield seconds
        finally:
            self.compiled = compiled
            self.update.optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, old in zip(self._buffers, before):
                    buffer.copy_(old)

    def state_dict(self) -> dict[str, Any]:
        """Optimizer, schedule and books."""
        schedule = self.update.schedule
        return {
            "optimizer": self.update.optimizer.state_dict(),
            "schedule": None if schedule is None else schedule.state_dict(),
            "books": self.books.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._loads += 1
        self.update.optimizer.load_state_dict(state["optimizer"])
        _lay_out_alike(self.update.optimizer)
        if self.update.schedule is not None:
            self.update.schedule.load_state_dict(state["schedule"])
        self.books.load_state_dict(state["books"], self.device)

    def _differentiate(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        loss, terms = self._loss(batch)
        self.update.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=self._inputs)
        return loss, terms

    def _loss(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        bf16 = self.precision == "bf16"
        compiled, size = self.compiled or (None, 0)
        loss = compiled if compiled and items_of(batch) == size else self.update.loss
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext():
            result = loss(self.model, batch)
        loss, terms = result if isinstance(result, tuple) else (result, {})
        if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad:
            what = f"one of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise LabkitError(
                f"update {self.update.name!r}: its loss must be a tensor of shape () with a gradient, not {what}; "
                "return the mean over the batch, without detach() or item()."
            )
        return loss, terms

    def _gradient_norm(self) -> Tensor:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            raise LabkitError(
                f"update {self.update.name!r}: its loss depends on none of the parameters of its optimizer; "
                "make the optimizer from the parameters that the loss uses."
            )
        # torch.nn.utils.get_total_norm, without the sorting by device that costs it half its time
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))

    def _step(self, check: Tensor, before: list[Tensor]) -> None:
        optimizer = self.update.optimizer
        if self._skips_on_device:
            # The fused optimizers of torch leave weights, moments and step count alone where this flag is 1.
            bad = check.isfinite().logical_not_()
            optimizer.found_inf = bad.float()
            optimizer.step()
            del optimizer.found_inf
            for buffer, old in zip(self._buffers, before):
                buffer.copy_(torch.where(bad, old, buffer))
        elif check.isfinite():  # waits for the device: free on the CPU; on a GPU, fused=True avoids it
            optimizer.step()
        else:
            for buffer, old in zip(self._buffers, before):
                buffer.copy_(old)


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Tell torch that this step may be recorded: a fused optimizer has no number that is not on the device."""
    before = [group.get("capturable") for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group, value in zip(optimizer.param_groups, before):
            group["capturable"] = value


def resolve_precision(asked: str, device: torch.device) -> str:
    """What is meant by "auto": "bf16" where a device computes it fast (CUDA, AVX512-BF16, AMX), else "float32"."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)  # older versions of torch do not say
    processor = capabilities() if device.type == "cpu" else {}
    return "bf16" if processor.get("avx512_bf16") or processor.get("amx_bf16") else "float32"


def _lay_out_alike(optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory layout of their parameters: a checkpoint's may differ, and torch's fused optimizers
    walk through both in the order of memory.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            like = isinstance(value, Tensor) and value.shape == parameter.shape
            if like and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def can_skip_on_device(optimizer: torch.optim.Optimizer, device: torch.device) -> bool:
    """Whether `optimizer` obeys a flag on the device, so that nobody has to wait for it; of no use on the CPU."""
    return device.type != "cpu" and getattr(optimizer, "_step_supports_amp_scaling", False)


def items_of(batch: Any) -> int:
    """How many items a batch has: tensors (N, …), or tuples that begin with one."""
    return len(batch[0] if isinstance(batch, tuple | list) else batch)


def trained_parameters(update: Update) -> list[nn.Parameter]:
    """The parameters that an update changes."""
    return [p for group in update.optimizer.param_groups for p in group["params"] if p.requires_grad]
