"""Fetches the files of a container's submission through its relay."""

import os
import socket
import time
from pathlib import Path, PurePosixPath

from labkit.course.grade.sandbox.relay import CHUNK, FILE, FILES
from labkit.course.grade.sandbox.staging import MAX_DEPTH, MAX_FILES

PATIENCE = 20.0


def fetch_files(sockets: Path, target: Path, limit_bytes: int, seconds: float = PATIENCE) -> None:
    """Write the files that a relay gives (`relay.plain_files`) into the new folder `target`.

    Args:
        sockets: the folder of the relay's sockets.
        target: only what comes first of `limit_bytes` in all and of `staging.MAX_FILES` gets there.
        limit_bytes: see `target`.
        seconds: for all of it.

    Raises:
        OSError: it took longer, or what came is no file with a place below `target`.
    """
    target.mkdir()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(sockets / FILES))
        coming = _Coming(line, time.monotonic() + seconds)
        for _ in range(MAX_FILES):
            if not (head := coming.read(FILE.size, may_be_over=True)):
                return
            length, size = FILE.unpack(head)
            name = PurePosixPath(os.fsdecode(coming.read(length)))
            limit_bytes -= size
            if limit_bytes < 0:
                return
            if (
                name.is_absolute()
                or {"..", "\0"} & {*name.parts, *str(name)}
                or not 0 < len(name.parts) <= MAX_DEPTH + 1
            ):
                raise OSError(f"{name}: has no place below a folder")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            with open(target / name, "xb") as stream:
                while size > 0:
                    size -= stream.write(coming.read(min(size, CHUNK)))


class _Coming:
    """What comes through a socket until a moment."""

    def __init__(self, line: socket.socket, deadline: float) -> None:
        self._line, self._deadline = line, deadline

    def read(self, size: int, may_be_over: bool = False) -> bytes:
        """`size` bytes; or none, if there is nothing more and that may be.

        Raises:
            OSError: it ends or the time is over before.
        """
        data = b""
        while len(data) < size:
            self._line.settimeout(max(self._deadline - time.monotonic(), 0.001))
            more = self._line.recv(size - len(data))
            if not more and not data and may_be_over:
                return b""
            if not more:
                raise OSError("the files ended in the middle of one")
            data += more
        return data
