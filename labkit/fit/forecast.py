"""What a run will cost, measured over its first steps and said while it can still be stopped."""

import math
import os
import time

import psutil
import torch

from labkit.fit.progress import say
from labkit.record import BUDGET_VARIABLE

WARM_UP_STEPS = 3  # the first ones allocate memory and choose algorithms
MEASURED_SECONDS = 3.0
SHORTEST = 30.0  # seconds to go: of a shorter run nobody needs a forecast

_budget: tuple[float, str] | None = None


def allow(seconds: float | None, whose: str = "") -> None:
    """Let `fit` warn of every run that would take longer than `seconds`, the time of `whose`; None: of none.

    Where the whole lab has a limit (`LABKIT_BUDGET_SECONDS` from the moment of this call), that counts instead.
    """
    global _budget
    try:
        _budget = time.monotonic() + float(os.environ.get(BUDGET_VARIABLE, "")), "what is left of this lab's time"
    except ValueError:  # not set, or not by the runner
        _budget = None if seconds is None else (-seconds, f"the {in_words(seconds)} of {whose}")


def _allowed(now: float) -> tuple[float, str]:
    """Seconds that a run which begins now may take, and what sets this limit."""
    if _budget is None:
        return math.inf, ""
    limit, what = _budget
    return (limit - now if limit > 0 else -limit), what


class Forecast:
    """Counts the first steps of a run, and once says items per second, time to go and memory.

    Args:
        device: where the model is trained; for a CPU it is said if a GPU lies idle.
        items: how many the run has still to train on.
        shown: whether anything is said.
    """

    def __init__(self, device: torch.device, items: int, shown: bool) -> None:
        self.device, self.left, self.shown = device, items, shown
        self._steps = self._seen = 0
        self._began = self._since = time.monotonic()
        if device.type == "cpu" and torch.cuda.is_available():
            say('a GPU is there and not used: PROFILE = "gpu", or a model moved to it, trains there', shown)

    def step(self, items: int) -> None:
        """Count one batch."""
        if not self.shown:
            return
        self._steps, self.left = self._steps + 1, self.left - items
        if self._steps <= WARM_UP_STEPS:
            self._since = time.monotonic()
            return
        self._seen += items
        if time.monotonic() - self._since < MEASURED_SECONDS:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # once in a run: its steps are queued, not done
        now = time.monotonic()
        seconds = self.left * (now - self._since) / self._seen
        self.shown = False
        if seconds >= SHORTEST:
            say(f"{self._seen / (now - self._since):,.0f} items/s: {in_words(seconds)} to go; {memory(self.device)}")
        allowed, what = _allowed(self._began)
        if (takes := now - self._began + seconds) > allowed:
            say(
                f"this run takes about {in_words(takes)}, longer than {what}: take fewer epochs or faces "
                "or a smaller profile; labkit run has --budget-factor"
            )


def in_words(seconds: float) -> str:
    """A time as a person says it: "40 s", "7 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def memory(device: torch.device) -> str:
    """Memory in use: the device's, as torch counts it, or this process's."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return f"{torch.cuda.max_memory_allocated(device) / 1e9:.1f} of {total / 1e9:.0f} GB on the GPU"
    mine, all_of_it = psutil.Process().memory_info().rss, psutil.virtual_memory().total
    return f"{mine / 1e9:.1f} of {all_of_it / 1e9:.0f} GB of memory"
