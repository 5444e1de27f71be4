"""Copies a submission into a sandbox's reach, without ever following a link."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_FILES = 1000
MAX_ENTRIES = 10_000
MAX_DEPTH = 8
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def copy_plain(source: Path, target: Path, limit_bytes: int) -> list[str]:
    """Copy the plain files below `source` into the new folder `target`, readable for everyone.

    Links, devices, pipes and sockets are left out, and so is whatever goes over `limit_bytes` in all, `MAX_FILES`
    or `MAX_DEPTH`; after `MAX_ENTRIES` names no further one is looked at. Every step is taken from an open folder
    and none follows a link, so a process that changes `source` meanwhile cannot lead the copy elsewhere. Returns the
    relative paths left out.
    """
    target.mkdir(mode=0o755)
    left_out: list[str] = []
    room = limit_bytes
    copied = 0
    root = os.open(source, _FOLDER)
    for relative, handle in _walk(root, "", left_out, iter(range(MAX_ENTRIES)), 0):
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size > room or copied >= MAX_FILES:
                left_out.append(relative)
                continue
            destination = target / relative
            destination.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            room -= _copy(handle, destination, found.st_size)
            copied += 1
        finally:
            os.close(handle)
    return sorted(left_out)


def _walk(
    folder: int, prefix: str, left_out: list[str], budget: Iterator[int], depth: int
) -> Iterator[tuple[str, int]]:
    """Relative path and open handle of each file; closes `folder`, not the handles."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for _, entry in zip(budget, entries))
        for name in names:
            relative = prefix + name
            try:
                kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                if stat.S_ISDIR(kind) and depth < MAX_DEPTH:
                    inner = os.open(name, _FOLDER, dir_fd=folder)
                    yield from _walk(inner, relative + "/", left_out, budget, depth + 1)
                elif stat.S_ISREG(kind):
                    yield relative, os.open(name, _FILE, dir_fd=folder)
                else:
                    left_out.append(relative)
            except OSError:
                left_out.append(relative)
    finally:
        os.close(folder)


def _copy(handle: int, destination: Path, size: int) -> int:
    """Copy at most `size` bytes, the size when it was opened: a file that grows meanwhile gains nothing."""
    done = 0
    new = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(new, "wb") as stream:
        while done < size and (chunk := os.read(handle, min(1 << 20, size - done))):
            stream.write(chunk)
            done += len(chunk)
    return done
