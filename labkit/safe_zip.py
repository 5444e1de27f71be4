"""Zip files from anywhere: listed and read in memory, entry by entry; nothing is extracted, no header is believed."""

import io
import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError

BOMB_RATIO = 100
BOMB_BYTES = 100_000
LOCAL_HEADER = struct.Struct("<4s5H3L2H")


class UnreadableEntryError(LabkitError):
    """One file of a data set cannot be had, for `reason`; the others may be fine."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.reason}; leave it out or get the file anew."


# Offset of the local header, bytes in the zip, bytes unpacked, method, CRC-32.
Entry = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class SafeZip:
    """A zip file; picklable, opened once per process and thread at the first `read`."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "_streams", threading.local())

    def __reduce__(self) -> tuple[Any, ...]:
        return SafeZip, (self.path,)

    def read(self, entry: Entry, limit: int, name: str = "entry") -> bytes:
        """The bytes of one entry.

        Raises UnreadableEntryError: it unpacks to more than `limit` bytes, whatever its header says, or is damaged.
        """
        offset, packed_size, size, method, crc = entry
        where = f"{self.path}, {name}"
        if max(packed_size - limit // 1000 - 1000, size) > limit:
            raise UnreadableEntryError(where, "too large")
        try:
            stream = self._stream()
            stream.seek(offset)
            header = stream.read(LOCAL_HEADER.size)
            if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
                raise UnreadableEntryError(where, "damaged entry")
            skip = sum(LOCAL_HEADER.unpack(header)[-2:])
            packed = stream.read(skip + packed_size)[skip:]
            data = packed
            if method == zipfile.ZIP_DEFLATED:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, limit + 1)
        except OSError as error:
            raise UnreadableEntryError(where, f"cannot be read ({error.strerror})") from error
        except (ValueError, zlib.error) as error:
            raise UnreadableEntryError(where, "damaged entry") from error
        if len(data) > limit:
            raise UnreadableEntryError(where, "too large")
        if len(packed) < packed_size or len(data) != size or zlib.crc32(data) != crc:
            raise UnreadableEntryError(where, "damaged entry")
        return data

    def _stream(self) -> io.FileIO:
        """A stream of this thread of this process: threads and forks must not share a position in the file."""
        local = self._streams
        if getattr(local, "owner", None) != os.getpid():
            local.stream, local.owner = _ClosingFile(self.path), os.getpid()
        return local.stream


class _ClosingFile(io.FileIO):
    """Closed with its owner, without a warning: nobody calls the end of a source."""

    def __del__(self) -> None:
        self.close()


def list_entries(path: Path, *, folders: bool = False) -> list[zipfile.ZipInfo]:
    """The entries of a zip as its directory states them, folders left out unless they are asked for.

    Raises LabkitError: an HTML page, another kind of archive, a zip cut short, entries that overlap, or a file that
        cannot be read.
    """
    length = 0
    try:
        with open(path, "rb") as stream:
            start = stream.read(1024)
            length = stream.seek(0, os.SEEK_END)
        _check_kind(path, start, length)
        with zipfile.ZipFile(path) as archive:
            entries = [info for info in entries_of(archive) if folders or not info.filename.endswith(("/", "\\"))]
    except PermissionError as error:
        raise LabkitError(f"{path}: cannot be read ({error.strerror}); change its permissions.") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error, EOFError) as error:
        raise LabkitError(
            f"{path}: a zip that is cut short or damaged ({length:,} bytes); download it again."
        ) from error
    # A bomb of overlapping entries unpacks the same bytes over and over.
    if sum(info.compress_size for info in entries) > length:
        raise LabkitError(f"{path}: not a zip to trust, its entries claim more bytes than it has; download it again.")
    return entries


def entries_of(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """All entries, named as their maker meant: macOS writes UTF-8 and does not say so, as the format wants."""
    for info in archive.infolist():
        if not info.flag_bits & 0x800:
            with suppress(UnicodeError):
                info.filename = info.filename.encode("cp437").decode("utf-8")
    return archive.infolist()


def refusal(info: zipfile.ZipInfo) -> str | None:
    """Why an entry is not to be read, wherever it leads; None if it may be."""
    # What zipfile cut off behind a NUL, or turned around, still counts.
    names = (info.filename, info.orig_filename)
    if any(is_unsafe(name) for name in names) or "\0" in info.orig_filename:
        return "unsafe path"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "symbolic link"
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "unknown compression"
    return None


def is_bomb(info: zipfile.ZipInfo) -> bool:
    """Whether an entry promises to swell as no picture does."""
    return info.file_size > max(BOMB_BYTES, BOMB_RATIO * info.compress_size)


def is_unsafe(name: str) -> bool:
    """Whether a member's name leads, or could be read as leading, out of a folder."""
    return name.startswith(("/", "\\")) or bool(re.match(r"[A-Za-z]:", name)) or ".." in parts(name)


def parts(name: str) -> list[str]:
    """The components of a member's name, whichever slash its maker used."""
    return re.split(r"[/\\]", name)


def entry_of(info: zipfile.ZipInfo) -> Entry:
    """Where and how an entry lies in its zip."""
    return info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC


def is_html(start: bytes) -> bool:
    """Whether a file that begins so is a web page, as quota and log-in pages are under any name."""
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _check_kind(path: Path, start: bytes, length: int) -> None:
    if is_html(start):
        raise LabkitError(
            f"{path}: an HTML page under the name of a zip ({length:,} bytes), most likely the quota page of a "
            "download that was refused; delete it and download again, by hand or a day later."
        )
    if start.startswith(b"7z\xbc\xaf\x27\x1c"):
        raise LabkitError(f"{path}: a 7z archive; unpack it and give the folder.")
    if not start.startswith(b"PK"):
        raise LabkitError(
            f"{path}: neither a folder nor a zip; unpack it with the program that made it, and give the folder."
        )
