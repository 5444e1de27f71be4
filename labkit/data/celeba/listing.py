"""What a folder or zip holds of CelebA, by names: images, tables of labels, zips; and why the rest is left out."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError
from labkit.files import shown
from labkit.safe_zip import SafeZip, UnreadableEntryError, entry_of, is_bomb, list_entries, parts, refusal

IMAGE_BYTES = 5_000_000
DEPTH = 3
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
IMAGE_FOLDER = "img_align_celeba"
ANNOTATIONS = {"attributes": "list_attr_celeba", "identity": "identity_celeba", "partition": "list_eval_partition"}
TABLE = re.compile(rf"({'|'.join(ANNOTATIONS.values())}).*\.(txt|csv|tsv)", re.IGNORECASE)  # also "… (1).txt"
LIKE_A_TABLE = re.compile(r"(attr|ident|part|label|anno|meta).*\.(txt|xlsx?|ods|jsonl?|parquet)", re.IGNORECASE)
UNUSED = ("list_bbox_celeba", "list_landmarks_align_celeba", "list_landmarks_celeba", "readme")
PREPARED = re.compile(r"(^|.*[/\\])\d+x\d+[/\\]labels\.csv")  # of a set that was prepared here
ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".001")


@dataclass(frozen=True)
class Folder:
    root: Path

    def read(self, relative: str, limit: int, name: str = "") -> bytes:
        path = os.path.join(self.root, relative)
        try:
            with open(path, "rb", buffering=0) as stream:
                size = os.fstat(stream.fileno()).st_size
                # One more than is said to be there: the file may have grown since.
                data = stream.read(min(size, limit) + 1)
        except OSError as error:
            raise UnreadableEntryError(path, f"cannot be read ({error.strerror})") from error
        if len(data) > limit:
            raise UnreadableEntryError(path, "too large")
        return data


@dataclass
class Listing:
    """What a folder or zip holds."""

    container: "SafeZip | Folder"
    images: dict[str, tuple[str, str, Any]] = field(default_factory=dict)  # base name → full name, stamp, key
    texts: dict[str, Any] = field(default_factory=dict)
    zips: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, key: Any, size: int, stamp: str, number: int, bomb: bool = False) -> None:
        """File one readable entry under what its name makes it."""
        base = parts(name)[-1]
        stem, suffix = os.path.splitext(base.lower())
        if table := table_of(base):
            # The outer file comes before an inner one.
            kind, rank = table[0], (*table[1], len(parts(name)))
            if kind not in self.texts or rank < self.texts[kind][0]:
                self.texts[kind] = (rank, key)
        elif stem.startswith(tuple(ANNOTATIONS.values())) and not base.startswith("."):
            self.dropped[name] = f"{base} has labels in a form that is not read: unpack it, or save it as csv"
        elif suffix == ".zip":
            self.zips.append(name)
        elif stem in UNUSED or PREPARED.fullmatch(name):
            pass
        elif not base.startswith(".") and (suffix in (".csv", ".tsv") or LIKE_A_TABLE.search(base)):
            table = next((table for kind, table in ANNOTATIONS.items() if kind[:4] in stem), "list_attr_celeba")
            self.dropped[name] = f"{base} has no known name: if it has the labels, call it {table}.csv"
        elif suffix in ARCHIVES:
            self.dropped[name] = "an archive that is not read: unpack it"
        elif base.startswith(".") or suffix not in IMAGE_SUFFIXES:
            self.dropped[name] = "not an image name"
        elif bomb or size > IMAGE_BYTES:
            self.dropped[name] = "too large"
        elif base in self.images and not (is_aligned(name) and not is_aligned(self.images[base][0])):
            self.dropped[f"{name} (entry {number})"] = "duplicate name"
        else:
            if base in self.images:  # thumbnails, or other pictures of the same name
                self.dropped[self.images[base][0]] = "duplicate name"
            self.images[base] = name, f"{base} {size} {stamp}", key

    def tables(self) -> dict[str, tuple["SafeZip | Folder", Any]]:
        """Kind of annotation → where it is read."""
        return {kind: (self.container, key) for kind, (_, key) in self.texts.items()}


def list_zip(path: Path) -> Listing:
    listing = Listing(SafeZip(path.absolute()))
    for number, info in enumerate(list_entries(path), start=1):
        if reason := refusal(info):
            listing.dropped[f"{info.filename} (entry {number})"] = reason
        else:
            listing.add(info.filename, entry_of(info), info.file_size, f"{info.CRC:08x}", number, is_bomb(info))
    return listing


def list_folder(folder: Path) -> Listing:
    root = Path(os.path.realpath(folder))
    listing = Listing(Folder(root))
    for number, (relative, entry) in enumerate(_walk(root, "", listing.dropped), start=1):
        if shown(relative) != relative:
            # No report could be written with such a name in it.
            listing.dropped[shown(relative)] = "not an image name"
        elif entry.is_symlink() and not lies_in(root, entry.path):
            needed = os.path.isdir(entry.path) or table_of(entry.name)
            way = f" at {entry.name} out of the folder: put there what it leads to" if needed else ""
            listing.dropped[relative] = f"symbolic link{way}"
        elif (status := _status(entry)) is None:
            listing.dropped[relative] = "not a plain file"
        else:
            listing.add(relative, relative, status.st_size, str(status.st_mtime_ns), number)
    return listing


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Of a plain file; None for anything else: a pipe, a link to nowhere, a file that is gone by now."""
    try:
        status = entry.stat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _walk(root: Path, below: str, dropped: dict[str, str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files under root/below by path, with their paths relative to `root`."""
    try:
        with os.scandir(root / below) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        if not below:
            raise LabkitError(f"{shown(root)}: cannot be read ({error.strerror}); change its permissions.") from error
        dropped[shown(below)] = "cannot be read"
        return
    for entry in entries:
        relative = os.path.join(below, entry.name)
        if not entry.is_dir(follow_symlinks=False):
            yield relative, entry
        elif not entry.name.startswith((".", "__MACOSX")):
            if relative.count(os.sep) < DEPTH:
                yield from _walk(root, relative, dropped)
            else:
                dropped[shown(relative)] = "a folder too deep in others, which was not looked into"


def table_of(base: str) -> tuple[str, tuple[bool, bool]] | None:
    """Of a table of labels by its name: its kind, and an order in which official names and texts come first."""
    if not (match := TABLE.fullmatch(base)):
        return None
    kind = next(kind for kind, known in ANNOTATIONS.items() if known == match[1].lower())
    return kind, (len(base) != len(f"{match[1]}.{match[2]}"), match[2].lower() != "txt")


def lies_in(folder: Path, path: str | Path) -> bool:
    """Whether `path` stays in `folder` once its links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def is_aligned(name: str) -> bool:
    """Whether a file lies below an img_align_celeba."""
    return any(part.lower().startswith(IMAGE_FOLDER) for part in parts(name)[:-1])
