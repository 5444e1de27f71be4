"""What a preparation has finished, so that a kill at any moment loses only what was in flight."""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Done:
    """A finished chunk: its number, the CRC-32 of its pixels as they must lie in the file, and what was left out.

    Attributes:
        chunk: number of the chunk, from 0.
        crc: of the bytes of the chunk's rows.
        dropped: name → why.
    """

    chunk: int
    crc: int
    dropped: dict[str, str]


class Journal:
    """A text file with one line per finished chunk, appended as they finish.

    The lines are trusted only as far as the pixels agree with them: after a power cut the line may have reached the
    disk and the pixels not. So nothing has to be forced to disk while the preparation runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, done: Done) -> None:
        """Append a line in one write."""
        line = json.dumps({"chunk": done.chunk, "crc": done.crc, "dropped": done.dropped}) + "\n"
        with open(self.path, "ab") as stream:
            stream.write(line.encode())

    def read(self, pixels_of: Callable[[int], bytes]) -> dict[int, Done]:
        """The chunks that are really there; a torn line, or one whose pixels differ, counts as not done.

        Args:
            pixels_of: chunk → the bytes of its rows in the file.
        """
        found: dict[int, Done] = {}
        if not self.path.exists():
            return found
        for line in self.path.read_bytes().splitlines():
            try:
                fields = json.loads(line)
                done = Done(int(fields["chunk"]), int(fields["crc"]), dict(fields["dropped"]))
            except (ValueError, KeyError, TypeError):
                continue
            if zlib.crc32(pixels_of(done.chunk)) == done.crc:
                found[done.chunk] = done
        # A torn last line would swallow the next one.
        with open(self.path, "ab") as stream:
            stream.write(b"\n")
        return found


def crc(block: np.ndarray) -> int:
    """CRC-32 of the bytes of a contiguous array."""
    return zlib.crc32(block.data)
