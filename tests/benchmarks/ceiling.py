"""What a training run would take if it did nothing but its matrix products and convolutions, at full tilt.

Protocol: the run is performed once, and every matrix product and convolution in it, forward and backward, is noted
with the shapes, layouts and types of its operands. Each different one is then timed alone, on random numbers that
stay in the cache, without autograd, by `torch.utils.benchmark`, for 100 ms (on a GPU 20 ms), and the fastest of the
blocks it makes counts; a convolution also with its operands in channels_last, of which the faster counts. On a GPU it
is replayed from a CUDA graph, so that starting it costs nothing, with the algorithm that cuDNN finds fastest. The
sum, each as often as the run performed it, is the ceiling: activations, normalisation, the loss, the optimizer,
reading data and Python cost nothing in it.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from unittest import mock

import torch
from bench_device import cudnn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten
HEAVY = re.compile("mm(_|$)|convolution")  # mm, addmm_, baddbmm, convolution_backward …
REPEATS = 20  # of an operation in a CUDA graph
PEAK_SIDE = 8192  # of the square matrices whose product is the fastest arithmetic


class Noted(TorchDispatchMode):
    """Counts the heavy operations that are performed in its block: one entry an operation and shape of operands.

    A product whose FLOPs torch cannot count raises KeyError.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts, self.calls, self.flops = Counter(), {}, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        name = operation.overloadpacket.__name__
        if HEAVY.search(name):
            self.counts[key := f"{operation} {_about((args, kwargs))}"] += 1
            if key not in self.calls:
                self.calls[key] = operation, tree_map_only(torch.Tensor, torch.randn_like, (args, kwargs))
            out_of_place = getattr(aten, name.removesuffix("_"))
            self.flops += flop_registry[out_of_place](*args, **kwargs, out_val=result)
        return result


def ceiling(run: Callable[[], object]) -> dict[str, float]:
    """Seconds of the heavy operations of `run` alone, with as many threads as torch has; their GFLOPs a second."""
    # What a CUDA graph replays does not pass through torch: each step must be performed to be noted.
    performed = mock.patch("labkit.fit.loop.recorder_for", lambda steps: None)
    with performed, Noted() as noted:
        run()
    with cudnn(benchmark=True):
        seconds = sum(count * _fastest(*noted.calls[key]) for key, count in noted.counts.items())
    return {"ceiling_seconds": seconds, "ceiling_gflops": noted.flops / 1e9 / seconds}


@cache
def peak_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """GFLOPs a second of the product of two large square matrices."""
    a, b = torch.randn(2, PEAK_SIDE, PEAK_SIDE, device=device, dtype=dtype)
    return 2 * PEAK_SIDE**3 / 1e9 / _fastest(aten.mm.default, ((a, b), {}))


def _fastest(operation, operands) -> float:
    layouts = {_about(operands): operands}
    if operation.overloadpacket in (aten.convolution, aten.convolution_backward):
        other = tree_map_only(torch.Tensor, _channels_last, operands)
        layouts[_about(other)] = other
    return min(_seconds(partial(operation, *args, **kwargs)) for args, kwargs in layouts.values())


def _seconds(call: Callable[[], object]) -> float:
    repeats, run_time, on_gpu = 1, 0.1, call.args[0].device.type == "cuda"
    if on_gpu:
        call, repeats, run_time = _in_a_graph(call), REPEATS, 0.02
    timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())  # waits for a GPU
    return min(timer.blocked_autorange(min_run_time=run_time).times) / repeats


def _in_a_graph(call: Callable[[], object]) -> Callable[[], None]:
    """What performs `call` so many times without starting each operation by itself."""
    stream = _stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # once as usual, which sets up libraries and chooses algorithms
        call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(REPEATS):
            call()
    return graph.replay


@cache
def _stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()


def _about(operands) -> str:
    return repr(tree_map_only(torch.Tensor, lambda x: (x.shape, x.stride(), x.dtype), operands))


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
