"""Faster ways to perform the same updates: on a GPU recorded as a CUDA graph, on the CPU compiled where that pays.

A step of a small model is hundreds of kernels of a few microseconds each, which Python starts one by one. A graph
starts them all at once. It holds addresses and numbers, not Python: what a step reads must stay where it is, and a
learning rate is the one of the recording. So a new graph is recorded when a rate has changed (a schedule, once an
epoch) or a state was loaded (a rollback), and smaller batches are performed as usual.

On the CPU torch.compile fuses what stands between the products of a net, its norms and activations. Whether that pays
depends on the net and on the processor, and it takes most of a minute first. So a run that has long to go times both
ways once. The two differ in the last digits: its checkpoint remembers which was taken, and a resumed run goes on so.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import torch
from torch import Tensor

from labkit.fit.progress import say
from labkit.fit.state import TrainingState, preserved_rng
from labkit.fit.step import GuardedStep, Loss, Noted, items_of

WARM_UP_STEPS = 3  # performed before the recording: they make the optimizers' moments and choose algorithms
STEPS = 20  # that a run makes before it chooses whether to compile
LONG = 900.0  # seconds to go: in a shorter run compiling may take more than it saves
SHARE = 0.9  # of the plain step's time that the compiled one may take, since clocks err
PAIRS = 5


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


def compile_where_it_pays(run: TrainingState, batches: Any, epochs: int, shown: bool) -> None:
    """Before a run goes on: compile its loss if it has chosen that, or choose once it has made `STEPS`.

    Choosing is timing a step both ways and setting `run.compiled`; nothing else of the run changes. Left as they are:
    runs of several updates (a GAN's nets gain nothing), on other devices, of losses that change from step to step,
    and those with less than `LONG` seconds to go.
    """
    step = run.steps[0]
    chooses = not run.step and run.epoch == ceil(STEPS / len(batches)) and _may_pay(run, epochs)
    if step.compiled or step.device.type != "cpu" or not (run.compiled or chooses):
        return
    batch = next(batches.epoch(run.epoch))
    compiled = compile_loss(step.update.loss), items_of(batch)
    began = time.perf_counter()
    say("compiling the step, which takes a minute or two, to see whether it pays", shown and not run.compiled)
    try:
        with warnings.catch_warnings(), preserved_rng(), step.trial(batch) as seconds:
            warnings.simplefilter("ignore")
            seconds(compiled)
            first = time.perf_counter() - began
            if not run.compiled:
                share = statistics.median(seconds(compiled) / seconds(None) for _ in range(PAIRS))
                run.compiled = compiled[1] if share <= SHARE else 0
                verdict = f"a step takes {share:.0%} of its time: {'taken' if run.compiled else 'left'}"
                say(f"compiled, in {first:.0f} s, {verdict}", shown)
    except Exception as error:  # there is no compiler, or it meets what it does not know
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        say(f"this step goes on without being compiled ({reason})", shown)
        run.compiled = 0
    if run.compiled:
        step.compiled = compiled


def _may_pay(run: TrainingState, epochs: int) -> bool:
    (step, *others) = run.steps
    able = not others and step.update.capturable
    return able and run.rows[-1]["seconds"] * (epochs - run.epoch) >= LONG


def compile_loss(loss: Loss) -> Loss:
    """A loss that torch compiles when it is first called; it draws the random numbers that the plain one draws."""
    torch.compiler.reset()  # torch compiles the same lines eight times and then, in silence, no more
    # One thread compiles: torch would leave a pool of processes behind.
    return torch.compile(loss, dynamic=False, options={"fallback_random": True, "compile_threads": 1})
