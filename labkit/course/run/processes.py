"""Child processes that are ended together with all that they started."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

# A user's own, which decide how code ends or looks: with them one notebook would give two results.
NOT_TAKEN_OVER = ("MPLBACKEND", "MATPLOTLIBRC", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT")


def start(
    arguments: Sequence[str], *, log: Path, threads: int | None, variables: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start `python ARGUMENTS`; standard output is a pipe of text lines, standard error is added to `log`.

    It gets a session of its own, so that Ctrl-C in the terminal reaches only the parent, which then decides. Several
    processes may share a log.

    Args:
        arguments: what follows `python` on the command line.
        log: a file, made where there is none.
        threads: of its arithmetic; None leaves them as they are here.
        variables: added to its environment.
    """
    own = {name: value for name, value in os.environ.items() if name not in NOT_TAKEN_OVER}
    environment = own | {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"} | dict(variables or {})
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with open(log, "a", encoding="utf-8") as errors:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
            encoding="utf-8",
            errors="replace",  # a library below may write other bytes there
            start_new_session=True,
        )


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    """Everything that a process started, and what that started."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def interrupt_kernels(process: subprocess.Popen) -> None:
    """Ask the kernels below a process to stop what they are doing; where signals allow it."""
    if sys.platform == "win32":
        return
    for child in descendants(process):
        with contextlib.suppress(psutil.Error):
            child.send_signal(signal.SIGINT)


def end_with_parent() -> None:
    """From now on, end this process and all that it starts when whoever started it is gone.

    Another may by then have begun the same work anew.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def kill_tree(process: subprocess.Popen) -> None:
    """End a process and everything below it at once."""
    family = descendants(process)
    with contextlib.suppress(psutil.Error):
        family.append(psutil.Process(process.pid))
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    psutil.wait_procs(family, timeout=5)
