"""What a training run would take if it did nothing but its matrix products and convolutions, at full tilt.

Protocol: the run is performed once, and every matrix product and convolution in it, forward and backward, is noted
with the shapes and layouts of its operands. Each different one is then timed alone, on random numbers that stay in
the cache, without autograd, by `torch.utils.benchmark`, and the fastest of the blocks it makes of 100 ms counts; a
convolution also with its operands in channels_last, of which the faster counts. The sum, each as often as the run
performed it, is the ceiling: activations, normalisation, the loss, the optimizer, reading data and Python cost
nothing in it.
"""

from collections import Counter
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten
HEAVY = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution, aten.convolution_backward}


class Noted(TorchDispatchMode):
    """Counts the heavy operations that are performed in its block: one entry an operation and shape of operands."""

    def __init__(self) -> None:
        super().__init__()
        self.counts, self.calls = Counter(), {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if operation.overloadpacket in HEAVY:
            about = tree_map_only(torch.Tensor, lambda x: (x.shape, x.stride()), (args, kwargs))
            self.counts[key := repr((operation, about))] += 1
            self.calls.setdefault(
                key, (operation, tree_map_only(torch.Tensor, torch.randn_like, (args, kwargs)))
            )
        return operation(*args, **kwargs)


def ceiling(run: Callable[[], object]) -> dict[str, float]:
    """Seconds of the heavy operations of `run` alone, with as many threads as torch has, and their FLOPs."""
    with FlopCounterMode(display=False) as counter, Noted() as noted:
        run()
    seconds = sum(count * _fastest(*noted.calls[key]) for key, count in noted.counts.items())
    return {"ceiling_seconds": seconds, "ceiling_gflops": counter.get_total_flops() / 1e9 / seconds}


def _fastest(operation, operands) -> float:
    layouts = [operands]
    if operation.overloadpacket in (aten.convolution, aten.convolution_backward):
        layouts.append(tree_map_only(torch.Tensor, _channels_last, operands))
    timers = [
        Timer("f(*a, **k)", globals={"f": operation, "a": a, "k": k}, num_threads=torch.get_num_threads())
        for a, k in layouts
    ]
    blocks = (timer.blocked_autorange(min_run_time=0.1) for timer in timers)
    return min(min(block.times) for block in blocks)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
