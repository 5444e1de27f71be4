"""Processes that train one model together, each on its rows of every batch (started by `torchrun`).

A loss is the mean over a batch, so the mean over all rows is the sum of the processes' losses, each weighed by its
share of the rows: gradients, losses and logged terms are added up with these weights, and every process then makes
the same step. Batch normalisation takes its statistics from all rows (`shared_statistics`).
"""

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from labkit.errors import LabkitError

STEPS_BETWEEN_QUESTIONS = 10


class ProcessLost(Exception):  # noqa: N818 - what happened to another process, not a mistake in this one
    """Another process of the group no longer answers."""


class Group:
    """This process among those that train together; alone, it changes nothing.

    Attributes:
        rank: 0 for the one that writes and draws.
        size: how many there are.
        weight: this process's share of the rows of the current batch.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size, self.weight = rank, size, 1.0

    @property
    def leads(self) -> bool:
        """Whether this process writes and draws."""
        return self.rank == 0

    def rows_of(self, batch: Any) -> Any:
        """This process's rows of a batch that all processes have drawn alike; sets `weight`."""
        if self.size == 1:
            return batch
        if isinstance(batch, tuple | list):
            return type(batch)([self.rows_of(part) for part in batch])
        if len(batch) < self.size:
            raise LabkitError(
                f"a batch of {len(batch)} cannot be shared by {self.size} processes; leave it out (drop_last=True) "
                "or choose another batch size."
            )
        mine = batch[self.rank :: self.size]
        self.weight = len(mine) / len(batch)
        return mine

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one device by their sums over the processes."""
        if self.size == 1 or not tensors:
            return
        wide = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
        flat = torch.cat([tensor.detach().flatten().to(wide) for tensor in tensors])
        self.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(total.view_as(tensor))

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place.

        Raises:
            ProcessLost: one of them has gone.
        """
        try:
            dist.all_reduce(tensor)
        except RuntimeError as error:
            raise ProcessLost(str(error)) from error
        return tensor

    def from_leader(self, value: Any) -> Any:
        """What the leading process has as `value`, on each."""
        if self.size == 1:
            return value
        parcel = [value]
        try:
            dist.broadcast_object_list(parcel, src=0)
        except RuntimeError as error:
            raise ProcessLost(str(error)) from error
        return parcel[0]

    def led(self, work: Callable[[], None]) -> None:
        """Have the leading process alone do something; what it raises, each raises."""
        error = None
        if self.leads:
            try:
                work()
            except Exception as raised:
                if self.size == 1:
                    raise
                error = raised
        if (error := self.from_leader(error)) is not None:
            raise error

    def anyone(self, said: Any, step: int) -> bool:
        """Whether `said` is true of this process or, asked at every tenth step, of another."""
        if self.size == 1:
            return bool(said)
        if step % STEPS_BETWEEN_QUESTIONS:
            return False
        return bool(self.all_reduce(torch.tensor(float(bool(said)))).item())

    @contextmanager
    def survives(self, save: Callable[[], None], path: Path | None) -> Iterator[None]:
        """A block that ends with a checkpoint and a sentence if another process is lost in it."""
        try:
            yield
        except ProcessLost as error:
            save()
            kept = "" if path is None else f"; the checkpoint is {path}"
            raise LabkitError(
                f"process {self.rank} of {self.size}: another one was lost{kept}. Start again, with as many "
                "processes as you like, to go on."
            ) from error

    def agree(self, what: str, value: Any) -> None:
        """Make sure that all processes have the same `value`.

        Raises:
            LabkitError: they have not.
        """
        if self.size == 1:
            return
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        if any(other != values[0] for other in values):
            raise LabkitError(
                f"the processes differ in {what}: {' and '.join(sorted({str(each) for each in values}))}; start all "
                "with the same command, data and folder."
            )


def join() -> Group:
    """The group that `torchrun` has started this process in (its environment says so), else a group of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or not dist.is_available():
        return Group()
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(dist.destroy_process_group)
    return Group(dist.get_rank(), dist.get_world_size())


@contextmanager
def shared_statistics(model: nn.Module, group: Group) -> Iterator[None]:
    """Let every batch normalisation of `model` in training mode normalise by the mean and variance of all rows."""
    layers = [] if group.size == 1 else [m for m in model.modules() if isinstance(m, _BatchNorm)]
    for layer in layers:
        layer.forward = lambda x, layer=layer: _normalised(layer, x, group)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _normalised(layer: _BatchNorm, x: Tensor, group: Group) -> Tensor:
    if not layer.training:
        return type(layer).forward(layer, x)
    rows, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    count = group.all_reduce(torch.tensor(x.numel() / x.shape[1], device=x.device))
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = _SumOverProcesses.apply(wide.sum(rows), group) / count
    centred = wide - mean.view(shape)
    variance = _SumOverProcesses.apply(centred.square().sum(rows), group) / count
    if layer.track_running_stats:
        with torch.no_grad():
            layer.num_batches_tracked += 1
            part = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
            layer.running_mean.lerp_(mean, part)
            layer.running_var.lerp_(variance * count / (count - 1), part)
    normal = centred * (variance + layer.eps).rsqrt().view(shape)
    if layer.affine:
        normal = normal * layer.weight.view(shape) + layer.bias.view(shape)
    return normal.to(x.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over the processes; every process's loss depends on every process's tensor."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, group: Group) -> Tensor:
        context.group = group
        return group.all_reduce(tensor.clone())

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return context.group.all_reduce(gradient.clone()), None
