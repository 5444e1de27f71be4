"""Processes that an attack makes or leaves behind, and how to find them again."""

import time
from collections.abc import Callable
from contextlib import suppress

import psutil

# Python 3.12 and later warn of a fork beside threads, and a cell would print that.
QUIET = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
"""
# At most 150 children, which wait and are gone at the end; prints how many there were.
FORK_BOMB = f"""{QUIET}
import os, signal, time
children = []
try:
    while len(children) < 150:
        child = os.fork()
        if child == 0:
            try:
                time.sleep(20)
            finally:
                os._exit(0)
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(len(children))
"""


def daemon_code(token: str) -> str:
    """Code that leaves a process with `token` in its command line, in a session of its own and without a parent."""
    return f"""{QUIET}
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(60)", {token!r}])
    os._exit(0)
os.wait()
print("left")
"""


def with_token(token: str) -> list[psutil.Process]:
    """Processes with that token at the end of their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[-1:] == [token]:
                found.append(process)
        except psutil.Error:
            continue
    return found


def names_below(number: int) -> list[str]:
    """Names of the processes below one; whoever ends between two looks is left out."""
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(number).children(recursive=True):
            with suppress(psutil.Error):
                found.append(child.name())
    return found


def runs(process: psutil.Process) -> bool:
    """Whether it runs, and is no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def soon(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether the condition comes to hold in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
