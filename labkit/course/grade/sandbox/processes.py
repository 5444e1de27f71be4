"""Looks after the processes of a sandbox from outside."""

import os
import platform
import re
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from labkit.course.grade.sandbox.sandbox import SOCKETS

SOCKET_BYTES = 2 * 212_992  # that wait in a socket at most, by Linux' own limit
FILE_BYTES = 1024  # of an empty file in memory
# The calls in which a parent waits for a child that shares its memory. In the eyes of Linux it waits for a disk.
VFORK = {"x86_64": ("56", "58", "435"), "aarch64": ("220", "435")}


def taken(root: int, seen: dict[psutil.Process, float]) -> tuple[float, int, bool] | None:
    """Processor seconds, memory and sleep of a process and of everything below it; None if it is not to be seen.

    Memory is what no file holds, in bytes; what processes share counts for each of them, and every socket as full.
    All sleep if no thread runs, waits for a core or for a disk: on a machine under load, too.

    Args:
        seen: the seconds of each that was there at a look, which this one adds to; what ends stays in it: a parent
            that does not wait for its children inherits none of their time.
    """
    try:
        top = psutil.Process(root)
        below = top.children(recursive=True)
    except psutil.Error:
        return None
    total, held, states = 0.0, 0, ""
    for each in (top, *below):
        with suppress(psutil.Error, OSError):  # one that has just ended; its parent counts it from now on
            used = each.cpu_times()
            seen[each] = used.user + used.system
            total += seen[each] + used.children_user + used.children_system
            status = Path(f"/proc/{each.pid}/status").read_text()
            held += sum(1024 * int(kilobytes) for kilobytes in re.findall(r"Rss(?:Anon|Shmem):\s*(\d+)", status))
            held += SOCKET_BYTES * _sockets(each.pid)
            for thread in Path(f"/proc/{each.pid}/task").iterdir():
                states += _state(thread)
    return max(total, sum(seen.values())), held, bool(states) and not {"R", "D"} & set(states)


def _sockets(number: int) -> int:
    """How many sockets a process has open; 0 where that may not be seen."""
    count = 0
    with suppress(OSError):
        for name in os.listdir(f"/proc/{number}/fd"):
            with suppress(OSError):  # one that has just been closed
                count += os.readlink(f"/proc/{number}/fd/{name}").startswith("socket:")
    return count


def _state(thread: Path) -> str:
    """R, D, S, …: a thread's state; that of one that waits for its child is sleep."""
    state = (thread / "stat").read_text().rpartition(") ")[2][:1]
    if state == "D":
        with suppress(OSError):  # where it may not be seen
            call = (thread / "syscall").read_text().split()[0]
            return "S" if call in VFORK.get(platform.machine(), ()) else state
    return state


def files_held(places: Sequence[Path]) -> int:
    """Bytes that the files in these places in memory take beside their content: no limit on its size counts them."""
    count = 0
    for place in places:
        with suppress(OSError):
            about = os.statvfs(place)
            count += about.f_files - about.f_ffree
    return FILE_BYTES * count


class LastWords:
    """Keeps the end of a stream, so that whoever writes to it is never held up and never fills anything."""

    KEPT = 4096

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._tail = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            while chunk := self._stream.read1(self.KEPT):
                self._tail = (self._tail + chunk)[-self.KEPT :]

    def finish(self) -> None:
        """Wait until the stream ends."""
        self._thread.join(timeout=2.0)

    def text(self) -> str:
        return self._tail.decode(errors="replace").strip()


def second_process(root: int) -> int | None:
    """The process below `root` that is number 2 of its own process namespace, once it has a folder for sockets.

    Number 1 is bubblewrap's, number 2 the command in the sandbox; with it everything in there ends.
    """
    with suppress(psutil.Error):
        for child in psutil.Process(root).children(recursive=True):
            inside = Path(f"/proc/{child.pid}")
            with suppress(OSError):
                numbers = re.search(r"^NSpid:.*\s(\d+)$", (inside / "status").read_text(), re.MULTILINE)
                if numbers and numbers[1] == "2" and (inside / f"root{SOCKETS}").is_dir():
                    return child.pid
    return None


def open_sockets(folder: Path, names: Sequence[str]) -> dict[str, int]:
    """Handles of the sockets of these names, once all are there; none of them is reached through a link.

    A path is looked up anew at every connection, and whoever owns the folder may have put a link into it meanwhile,
    which leads elsewhere on this side. An open handle stays what it was.
    """
    found: dict[str, int] = {}
    with suppress(OSError):
        for name in names:
            handle = os.open(folder / name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            found[name] = handle
            if not stat.S_ISSOCK(os.fstat(handle).st_mode):
                break
        else:
            return found
    for handle in found.values():
        os.close(handle)
    return {}
