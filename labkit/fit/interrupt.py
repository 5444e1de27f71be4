"""Ctrl-C, a kernel's stop button and SIGTERM as a request that training answers between two steps."""

import signal
import sys
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
