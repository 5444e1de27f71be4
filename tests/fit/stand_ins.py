"""Stand-ins for a GPU: what shows on the CPU alone whether training would wait for the device, and replay right.

A CUDA graph cannot be tried without a GPU. Two of its demands can: a step on the device `meta`, whose numbers nobody
can read, shows every place that would wait for them; and the operations of a step, noted one by one and performed
again on the same memory, do what a replayed graph does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
WAITS = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero}

MOVED = ("running_mean", "running_var")  # batch normalisation writes to them and does not say so


class Waited(RuntimeError):  # noqa: N818
    """An operation that a GPU would be waited for, or that cannot be in a CUDA graph."""


def tensors(*values: Any) -> list[Tensor]:
    """The tensors in nested containers."""
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class _OneDevice(TorchDispatchMode):
    """Raises Waited where an operation has arrays of two devices; a copy from one to the other waits."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        kinds = {x.device.type for x in tensors(args, kwargs, result) if x.ndim or x.device.type == "meta"}
        if len(kinds) > 1 or operation.overloadpacket in WAITS:
            raise Waited(f"{operation} with arrays on {' and '.join(sorted(kinds))}")
        return result


class _NoNumbersFromPython(TorchFunctionMode):
    """Raises Waited where numbers of Python are made into an array on the device: a copy, too."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        fresh = function in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
        if fresh and result.device.type == "meta" and not any(isinstance(x, Tensor) for x in args[-1:]):
            raise Waited(f"{function.__name__} of numbers of Python")
        return result


@contextmanager
def nothing_waits() -> Iterator[None]:
    """A block in which work on `meta` raises Waited, or torch's own error, where a GPU would be waited for."""
    with _NoNumbersFromPython(), _OneDevice():
        yield


class _Tape(TorchDispatchMode):
    """Notes every operation with the memory of its operands and results, and what it would overwrite."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[Any, Any, Any, Any]] = []  # operation, operands, results to be overwritten
        self.before: list[tuple[Tensor, Tensor]] = []
        self._own: dict[int, Any] = {}  # memory that was made while recording, by address

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if operation.overloadpacket in WAITS:
            raise Waited(f"{operation} cannot be recorded")
        schema = operation._schema.arguments
        named = dict(zip((a.name for a in schema), args)) | kwargs
        written = [named.get(a.name) for a in schema if (a.alias_info and a.alias_info.is_write) or a.name in MOVED]
        for each in tensors(written):
            if _memory(each) not in self._own:
                self.before.append((each, each.clone()))
        result = operation(*args, **kwargs)
        given = {_memory(each) for each in tensors(args, kwargs)}
        made = [each for each in tensors(result) if _memory(each) not in given]
        self._own |= {_memory(each): each for each in made}
        self.entries.append((operation, args, kwargs, made))
        return result

    def play(self) -> None:
        for operation, args, kwargs, results in self.entries:
            found = operation(*args, **kwargs)
            for mine, new in zip(results, tensors(found)):
                mine.copy_(new)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class TapeRecorder:
    """A `Recorder` on the CPU. What it records it must perform, and puts back: nothing has happened afterwards.

    Attributes:
        asked, recorded: how many recordings were begun, and made.
        played: how many times one was played.
    """

    def __init__(self) -> None:
        self.asked = self.recorded = self.played = 0

    def lane(self) -> Any:
        return nullcontext()

    def record(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        self.asked += 1
        noise = torch.get_rng_state()
        tape = _Tape()
        try:
            with tape:
                result = work()
        finally:
            with torch.no_grad():
                for mine, old in reversed(tape.before):
                    mine.copy_(old)
            torch.set_rng_state(noise)
        self.recorded += 1

        def play() -> None:
            self.played += 1
            with torch.no_grad():
                tape.play()

        return play, result
