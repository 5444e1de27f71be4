"""The person beside a training: one line that says how far it is, and the key that stops it."""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from tqdm import tqdm

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_BETWEEN = {"terminal": 0.2, "notebook": 1.0, "log": 30.0}


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
