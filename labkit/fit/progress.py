"""The person beside a training: what it will cost, one line that says how far it is, and the key that stops it."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import psutil
import torch
from tqdm import tqdm

from labkit.record import BUDGET_VARIABLE

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_BETWEEN = {"terminal": 0.2, "notebook": 1.0, "log": 30.0}
WARM_UP_STEPS = 3  # the first ones allocate memory and choose algorithms
MEASURED_SECONDS = 3.0
SHORTEST = 30.0  # seconds to go: of a shorter run nobody needs a forecast

_budget: tuple[float, str] | None = None


class Progress:
    """Items done, items per second, time left and the last loss.

    In a notebook the line replaces itself, so that an executed notebook keeps one line and no widget.
    """

    def __init__(self, epochs: int, items: int, done: int, shown: bool) -> None:
        self.epochs = epochs
        self.where = _where()
        file = {"terminal": None, "notebook": _Lines(_cell_line()), "log": _Lines(_print_line)}[self.where]
        self._bar = tqdm(
            total=epochs * items,
            initial=done,
            desc="starting",
            unit=" items",
            unit_scale=True,
            mininterval=SECONDS_BETWEEN[self.where],
            delay=SECONDS_BETWEEN[self.where],
            file=file,
            disable=not shown,
            dynamic_ncols=self.where == "terminal",
            ncols=None if self.where == "terminal" else 110,
            ascii=self.where == "log",
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, items: int) -> None:
        """Count the items of one batch."""
        self._bar.update(items)

    def epoch(self, number: int, name: str, loss: float) -> None:
        """Show the number of finished epochs and the mean loss of the last one."""
        if not self._bar.disable:
            self._bar.set_description(f"epoch {number}/{self.epochs}", refresh=False)
            self._bar.set_postfix_str(f"{name} {loss:.4g}", refresh=False)


def say(text: str, shown: bool = True) -> None:
    """Print one line for a person: into a notebook's cell, else beside the progress bar on standard error."""
    if shown:
        print(text, file=sys.stdout if _where() == "notebook" else sys.stderr, flush=True)


class _Lines:
    """A file for tqdm: what it would write over the current line is handed to `show` as a line."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._text = ""

    def write(self, text: str) -> None:
        self._text += text

    def flush(self) -> None:
        line = self._text.rsplit("\r", 1)[-1].strip()
        self._text = ""
        if line:
            self._show(line)


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _cell_line() -> Callable[[str], None]:
    handle: Any = None

    def show(line: str) -> None:
        nonlocal handle
        from IPython.display import display

        if handle is None:
            handle = display({"text/plain": line}, raw=True, display_id=True)
        else:
            handle.update({"text/plain": line}, raw=True)

    return show


def _where() -> str:
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive else None
    if getattr(shell, "kernel", None) is not None:
        return "notebook"
    return "terminal" if sys.stderr is not None and sys.stderr.isatty() else "log"


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside; the message says where, and how to go on."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a trace."""
        return [f"Interrupted: {self}"]


class Interruptible:
    """A block in which the first signal only sets `requested`; a second one stops at once.

    Outside the main thread, where Python delivers no signals, it does nothing; an ignored signal stays so.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interruptible":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # A shell ignores Ctrl-C for the jobs that it runs in the background.
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def stop(self, message: str) -> None:
        """Answer the request: SIGTERM ends the process as its sender expects, Ctrl-C raises `Interrupted`."""
        number, self.requested = self.requested, None
        self._restore()
        if number == signal.SIGTERM:
            print(message, file=sys.stderr, flush=True)
            sys.stdout.flush()
            signal.raise_signal(number)
        raise Interrupted(message)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.requested is None:
            self.requested = number
            return
        self._restore()
        signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            # None means that the previous handler was not installed from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}


def allow_time(seconds: float | None, whose: str = "") -> None:
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
