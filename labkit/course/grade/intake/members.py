"""The files of what was handed in: a folder or a zip, with a file, a folder or a zip for each student.

Nothing is followed or extracted: plain files only, read up to a limit.
"""

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from zipfile import ZipInfo

from labkit.errors import LabkitError
from labkit.safe_zip import SafeZip, entries_of, entry_of, is_bomb, list_entries, parts, refusal

DEPTH = 20
MAX_FILES = 20_000
REMEDY = "hand in the .ipynb file itself, as Jupyter saves it"
MAX_ZIP_BYTES = 200_000_000  # of a student's zip within a zip, which is held in memory while it is looked at


class RefusedError(LabkitError):
    """A submission that cannot be taken; its message is the reason, for student and instructor."""


@dataclass(frozen=True)
class Member:
    """One file of what was handed in."""

    parts: tuple[str, ...]  # its path's components, the student's first
    modified: float  # seconds since 1970 by its own folder or zip; 0 if unknown
    read: Callable[[int], bytes]  # its bytes; raises RefusedError where it has more than the limit
    refused: str = ""  # why it may not be read, empty if it may
    written: float = 0.0  # the same as its maker's own zip has it: to choose between files, never to tell who is late


def members_of(source: Path) -> list[Member]:
    """All files of a folder or a zip, those in students' own zips included.

    Raises LabkitError: it is neither, or cannot be read.
    """
    if source.is_dir():
        return list(_in_folder(source, ()))
    if source.is_file():
        return list(_in_zip(source))
    raise LabkitError(f"{source}: is neither a folder nor a zip; give the one that holds what was handed in.")


def _in_folder(folder: Path, above: tuple[str, ...]) -> Iterator[Member]:
    try:
        entries = sorted(os.scandir(folder), key=lambda each: each.name)
        fault = f"it holds more than {MAX_FILES:,} files" if len(entries) > MAX_FILES else ""
    except OSError as error:
        fault = f"it cannot be opened ({error.strerror})"
    if fault and not above:
        raise LabkitError(f"{folder}: {fault}; give the folder that holds what was handed in.")
    if fault:
        yield Member((*above, folder.name), 0.0, _nothing, fault)
        return
    for entry in entries:
        if _hidden(entry.name):
            continue
        where, path = (*above, entry.name), Path(entry.path)
        about = entry.stat(follow_symlinks=False)
        modified = about.st_mtime if 0 < about.st_mtime < 2**33 else 0.0  # a file may be of the year 30,000
        refused = ""
        if stat.S_ISDIR(about.st_mode):
            inner = list(_in_folder(path, where)) if len(where) < DEPTH else []
            # Nobody may be missing from the list because nothing of theirs could be read.
            fault = "its folder is empty" if len(where) < DEPTH else "it lies too deep in folders"
            yield from inner or [Member((*where, entry.name), 0.0, _nothing, fault)]
            continue
        if stat.S_ISLNK(about.st_mode):
            refused = "it is a symbolic link, which is never followed"
        elif not stat.S_ISREG(about.st_mode):
            refused = "it is no plain file"
        elif path.suffix.lower() == ".zip":
            yield from _student_zip(path, where, modified)
            continue
        yield Member(where, modified, lambda limit, path=path: read_file(path, limit), refused)


def _student_zip(path: Path, where: tuple[str, ...], modified: float) -> Iterator[Member]:
    """The members of a student's own zip, dated as the zip is: the dates inside are the student's to choose."""
    above, found = (*where[:-1], path.stem), []
    with suppress(LabkitError):
        found = [replace(each, modified=modified, written=each.modified) for each in _in_zip(path, above, own=True)]
    yield from found or [Member((*above, path.name), modified, _nothing, "it is no zip that can be read, or empty")]


def _in_zip(path: Path, above: tuple[str, ...] = (), *, own: bool = False) -> Iterator[Member]:
    """The members of a zip; of one that holds everybody's, also those of the students' own zips within it."""
    archive, entries = SafeZip(path), list_entries(path, folders=True)
    if len(entries) > MAX_FILES:
        raise LabkitError(f"{path}: holds more than {MAX_FILES:,} files; that is no set of submissions.")
    files, empty = _files(entries)
    for info, inside in files:
        read = _reader(archive, info)
        refused = refusal(info) or ""
        if refused or not inside[-1].lower().endswith(".zip"):
            refused = refused or ("it swells as no notebook does" if is_bomb(info) else "")
            yield Member((*above, *inside), _time(info), read, refused)
        elif own:
            yield Member((*above, *inside), _time(info), _nothing, "it is a zip within a zip")
        else:
            yield from _in_nested(read, (*inside[:-1], Path(inside[-1]).stem), _time(info))
    for folder in empty:
        yield Member((*above, *folder, folder[-1]), 0.0, _nothing, "its folder is empty")


def _in_nested(read: Callable[[int], bytes], above: tuple[str, ...], modified: float) -> Iterator[Member]:
    """The members of a student's zip within a zip, dated as the outer one dates it."""
    files: list[tuple[ZipInfo, tuple[str, ...]]] = []
    faults = (RefusedError, zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError)
    with suppress(*faults), zipfile.ZipFile(io.BytesIO(read(MAX_ZIP_BYTES))) as archive:
        files, _ = _files(entries_of(archive))
    if not 0 < len(files) <= MAX_FILES:
        said = "it holds too many files" if files else "it is no zip that can be read, or empty"
        yield Member((*above, f"{above[-1]}.zip"), modified, _nothing, said)
        return
    for info, inside in files:
        refused = refusal(info) or ("it swells as no notebook does" if is_bomb(info) else "")
        if inside[-1].lower().endswith(".zip"):
            refused = "it is a zip within a zip"
        yield Member((*above, *inside), modified, _nested_reader(read, info), refused, _time(info))


def _files(entries: list[ZipInfo]) -> tuple[list[tuple[ZipInfo, tuple[str, ...]]], list[tuple[str, ...]]]:
    """Entries with their paths, and the folders with none: nobody may be missing whose folder held nothing.

    What file managers and Jupyter leave behind is no entry.
    """
    files, folders, filled = [], set(), set()
    for info in entries:
        inside = tuple(parts(info.filename))
        seen = tuple(takewhile(lambda part: not _hidden(part), inside))
        if not inside[-1] or len(seen) < len(inside):
            folders.add(seen[: len(inside) - 1])
            continue
        inside = tuple(info.orig_filename.split("/")) if refusal(info) == "unsafe path" else inside
        filled.update(inside[:depth] for depth in range(len(inside)))
        files.append((info, inside))
    return files, sorted(folders - filled - {()})


def _hidden(part: str) -> bool:
    """What systems and editors leave beside files; a notebook is none, but for macOS's "._" and Jupyter's ".~"."""
    notebook = part.lower().endswith(".ipynb") and not part.startswith(("._", ".~"))
    return part == "__MACOSX" or (part.startswith(".") and bool(part.strip(".")) and not notebook)


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a plain file; no link is followed, no pipe waited for.

    Raises RefusedError: it is something else, cannot be read, or has more than `limit` bytes.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise RefusedError(f"it cannot be read ({error.strerror}).") from error
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise RefusedError("it is no plain file.")
    with os.fdopen(handle, "rb") as stream:
        if about.st_size > limit:
            raise RefusedError(_too_large(about.st_size, limit))
        return stream.read(limit + 1)[:limit]


def _reader(archive: SafeZip, info: ZipInfo) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        if info.file_size > limit:
            raise RefusedError(_too_large(info.file_size, limit))
        try:
            return archive.read(entry_of(info), limit)
        except LabkitError as error:
            raise RefusedError(f"it cannot be read from its zip ({getattr(error, 'reason', error)}).") from error

    return read


def _nested_reader(outer: Callable[[int], bytes], info: ZipInfo) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(outer(MAX_ZIP_BYTES))) as archive, archive.open(info) as stream:
                data = stream.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, OSError, EOFError, RuntimeError) as error:
            raise RefusedError(f"it cannot be read from its zip ({type(error).__name__}).") from error
        if len(data) > limit:
            raise RefusedError(_too_large(len(data), limit))
        return data

    return read


def _nothing(limit: int) -> bytes:
    raise RefusedError("it cannot be read.")


def _too_large(size: int, limit: int) -> str:
    return f"it has {size / 1e6:,.0f} MB, more than the {limit / 1e6:,.0f} MB that are taken."


def _time(info: ZipInfo) -> float:
    try:
        return datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
