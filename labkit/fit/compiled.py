"""The updates of a run on one batch after another; on a GPU recorded once as a CUDA graph, and then replayed.

A step of a small model is hundreds of kernels of a few microseconds each, which Python starts one by one. A graph
starts them all at once. It holds addresses and numbers, not Python: what a step reads must stay where it is, and a
learning rate is the one of the recording. So a new graph is recorded when a rate has changed (a schedule, once an
epoch) or a state was loaded (a rollback), and smaller batches are performed as usual.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from labkit.fit.progress import say
from labkit.fit.step import GuardedStep, Noted

WARM_UP_STEPS = 3  # performed before the recording: they make the optimizers' moments and choose algorithms


class CudaRecorder:
    """Records CUDA graphs, all on one stream of its own, as torch asks for.

    Nothing but its stream and the default one may work on the device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    @contextmanager
    def lane(self) -> Iterator[None]:
        """A context in which everything that is to be recorded, or was, runs in order."""
        with torch.cuda.device(self._device):
            caller = torch.cuda.current_stream()
            self._stream.wait_stream(caller)
            with torch.cuda.stream(self._stream):
                yield
            caller.wait_stream(self._stream)

    def record(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """Record `work` without performing it: what performs it, and `work`'s result, which each time is overwritten.

        Raises RuntimeError: it waits for the device, or does what cannot be recorded.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            result = work()
        return graph.replay, result


def recorder_for(steps: Sequence[GuardedStep]) -> CudaRecorder | None:
    """What can record these steps together; None where nothing can, or one of them does not allow it."""
    device = steps[0].device
    if device.type != "cuda" or not all(step.recordable for step in steps):
        return None
    return CudaRecorder(device)


class Recorded:
    """Performs steps in order on a batch, and notes them in their books.

    Args:
        steps: of one run.
        recorder: None performs each step as usual.
        shown: say it if the steps cannot be recorded.
    """

    def __init__(self, steps: Sequence[GuardedStep], recorder: CudaRecorder | None, shown: bool = False) -> None:
        self._steps, self._recorder, self._shown = steps, recorder, shown
        self._done = 0
        # Of the batches that are replayed: the largest yet, for a resumed run may begin with a rest.
        self._size = 0
        self._inputs: list[Tensor] = []
        self._replay: Callable[[], None] | None = None
        self._found: list[Noted] = []
        self._recorded_for: tuple[Any, ...] = ()

    def __call__(self, batch: Any, items: int) -> None:
        """Perform the steps on a batch of `items` items."""
        if self._recorder is None:
            self._perform(batch, items)
            return
        self._size = max(self._size, items)
        with self._recorder.lane():
            if items == self._size and self._done >= WARM_UP_STEPS and self._has_recorded(batch):
                self._play(batch, items)
            else:
                self._perform(batch, items)
        self._done += 1

    def _perform(self, batch: Any, items: int) -> None:
        for step in self._steps:
            step(batch, items)

    def _play(self, batch: Any, items: int) -> None:
        for mine, new in zip(self._inputs, _tensors(batch)):
            mine.copy_(new)
        self._replay()
        for step, noted in zip(self._steps, self._found):
            step.note(noted, items)

    def _has_recorded(self, batch: Any) -> bool:
        state = (self._size, *(step.fixed_while_recorded() for step in self._steps))
        if state != self._recorded_for:
            self._replay, self._found, self._recorded_for = None, [], state  # lets go of the old one's memory
            self._record(batch)
        return self._replay is not None

    def _record(self, batch: Any) -> None:
        self._inputs = [tensor.clone() for tensor in _tensors(batch)]
        mine = self._inputs[0] if isinstance(batch, Tensor) else type(batch)(self._inputs)
        try:
            self._replay, self._found = self._recorder.record(
                lambda: [step.perform(mine, recording=True) for step in self._steps]
            )
        except RuntimeError as error:
            # Where the work itself fails, the end of the recording fails too, and says less.
            reason = str(error.__context__ or error).strip().partition("\n")[0]
            say(f"this step cannot be recorded as a CUDA graph ({reason}); it goes on without", self._shown)
            self._recorder = None


def _tensors(batch: Any) -> list[Tensor]:
    return [batch] if isinstance(batch, Tensor) else list(batch)
