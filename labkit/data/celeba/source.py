"""CelebA in any form it is passed around in: found, listed and read, never extracted.

Known forms: the official one (img_align_celeba/ or img_align_celeba.zip beside list_attr_celeba.txt,
identity_CelebA.txt and list_eval_partition.txt), Kaggle's (a doubled img_align_celeba/ and csv files, or
archive.zip with all of it), img_align_celeba.zip alone, a bare folder of images. Any annotation may be missing.
"""

import codecs
import hashlib
import os
import re
import stat
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labkit.data.given import names_in
from labkit.errors import LabkitError
from labkit.files import shown, usable_path
from labkit.safe_zip import (
    SafeZip,
    UnreadableEntryError,
    entry_of,
    is_bomb,
    is_html,
    list_entries,
    parts,
    refusal,
)

IMAGE_BYTES = 5_000_000
TEXT_BYTES = 100_000_000
DEPTH = 3
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
IMAGE_FOLDER = "img_align_celeba"
ZIP_NAMES = ("img_align_celeba.zip", "archive.zip", "celeba-dataset.zip", "celeba.zip")
ANNOTATIONS = {"attributes": "list_attr_celeba", "identity": "identity_celeba", "partition": "list_eval_partition"}
TABLE = re.compile(rf"({'|'.join(ANNOTATIONS.values())}).*\.(txt|csv|tsv)", re.IGNORECASE)  # also "… (1).txt"
LOOKED_AT = 1024
LIKE_A_TABLE = re.compile(r"(attr|ident|part|label|anno|meta).*\.(txt|xlsx?|ods|jsonl?|parquet)", re.IGNORECASE)
UNUSED = ("list_bbox_celeba", "list_landmarks_align_celeba", "list_landmarks_celeba", "readme")
PREPARED = re.compile(r"(^|.*[/\\])\d+x\d+[/\\]labels\.csv")  # of a set that was prepared here
ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".001")


@dataclass(frozen=True)
class Source:
    """The images and annotations of one copy of CelebA, wherever they lie; read only.

    Attributes:
        path: what `open_source` was given.
        images: base names of the images, sorted; their formats are for the decoder to tell.
        dropped: entry → why it is left out ("unsafe path", "symbolic link", "encrypted", "too large",
            "duplicate name", "not an image name", "not a plain file", "unknown compression", "cannot be read").
    """

    path: Path
    images: tuple[str, ...] = field(repr=False)
    dropped: dict[str, str] = field(repr=False)
    _stamp: str = field(repr=False)
    _container: "SafeZip | _Folder" = field(repr=False)
    _keys: Sequence[Any] = field(repr=False, compare=False)
    _texts: dict[str, tuple["SafeZip | _Folder", Any]] = field(repr=False)

    def read(self, name: str) -> bytes:
        """The bytes of one image, 5 MB at most; any process or thread may ask.

        Raises UnreadableEntryError: there is no such image, or it cannot be read; `reason` says why in a few words.
        """
        index = bisect_left(self.images, name)
        if index == len(self.images) or self.images[index] != name:
            raise UnreadableEntryError(f"{self.path}, {name}", "no such image")
        key = self._keys[index]
        return self._container.read(key if isinstance(key, str) else key.tolist(), IMAGE_BYTES, name)

    def annotation(self, kind: str) -> str | None:
        """The text of "attributes", "identity" or "partition"; None if this copy has none.

        Raises LabkitError: the file is there but unreadable, over 100 MB, or an HTML page.
        """
        data = self._text(kind)
        if data is None:
            return None
        if is_html(data[:LOOKED_AT]):
            raise LabkitError(
                f"{shown(self.path)}: its {ANNOTATIONS[kind]} is an HTML page, most likely of a download that was "
                "refused; delete it or download it again."
            )
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as spreadsheets save "Unicode text"
        text = data.decode("utf-16" if wide else "utf-8", "replace")
        if text[:LOOKED_AT].count("\0") > len(text[:LOOKED_AT]) / 4:  # of each letter at least one byte is zero
            raise LabkitError(
                f"{shown(self.path)}: its {ANNOTATIONS[kind]} is not in UTF-8, nor in UTF-16 with its mark; save it "
                "as csv in UTF-8."
            )
        return text

    def fingerprint(self) -> dict[str, str]:
        """What tells whether this is the copy that something was made of: a digest for each part.

        The images count by name, size and either their checksum in the zip or their date: 1.4 GB are not read for it.
        """
        texts = {kind: data for kind in ANNOTATIONS if (data := self._text(kind)) is not None}
        digests = {kind: hashlib.sha256(data).hexdigest() for kind, data in texts.items()}
        return {"images": self._stamp, **dict.fromkeys(ANNOTATIONS, "none"), **digests}

    def _text(self, kind: str) -> bytes | None:
        if kind not in self._texts:
            return None
        container, key = self._texts[kind]
        return container.read(key, TEXT_BYTES, ANNOTATIONS[kind])

    @property
    def annotations(self) -> list[str]:
        """The kinds of annotation that this copy has."""
        return [kind for kind in ANNOTATIONS if kind in self._texts]

    def describe(self) -> str:
        """One sentence: how many images, which annotations, what was refused."""
        labels = f"with {' and '.join(self.annotations)}" if self.annotations else "without annotations"
        return f"{shown(self.path)}: {len(self.images):,} images {labels}{_refusals(self.dropped)}."


def open_source(path: str | Path) -> Source:
    """Find the images and annotations of CelebA in a folder or zip of any known form.

    Annotations are looked for with the images, then beside them. In a folder with both, loose images in a folder
    img_align_celeba come before a zip. Subfolders are searched three levels deep; symbolic links that lead out of
    the folder are not followed. Of two images with the same base name the one below an img_align_celeba is kept,
    else the first (in a zip: in its order, in a folder: by path).

    Raises LabkitError: nothing there, not readable, no zip, an HTML page under the name of a zip, or no images.
    """
    path = usable_path(path)
    if path.is_dir():
        return _open_folder(path)
    if path.is_file() and (path.suffix.lower() in IMAGE_SUFFIXES or _table(path.name)):
        raise LabkitError(f"{shown(path)}: is one file of CelebA; give the folder that holds it.")
    if path.is_file():
        return _source(path, _list_zip(path), _texts_beside(path))
    raise LabkitError(f"{shown(path)}: no such folder or zip; give the one that holds {IMAGE_FOLDER}.")


@dataclass(frozen=True)
class _Folder:
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
class _Listing:
    """What a folder or zip holds."""

    container: "SafeZip | _Folder"
    images: dict[str, tuple[str, str, Any]] = field(default_factory=dict)  # base name → full name, stamp, key
    texts: dict[str, Any] = field(default_factory=dict)
    zips: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, key: Any, size: int, stamp: str, number: int, bomb: bool = False) -> None:
        """File one readable entry under what its name makes it."""
        base = parts(name)[-1]
        stem, suffix = os.path.splitext(base.lower())
        if table := _table(base):
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
        elif base in self.images and not (_is_aligned(name) and not _is_aligned(self.images[base][0])):
            self.dropped[f"{name} (entry {number})"] = "duplicate name"
        else:
            if base in self.images:  # thumbnails, or other pictures of the same name
                self.dropped[self.images[base][0]] = "duplicate name"
            self.images[base] = name, f"{base} {size} {stamp}", key


def _list_zip(path: Path) -> _Listing:
    listing = _Listing(SafeZip(path.absolute()))
    for number, info in enumerate(list_entries(path), start=1):
        if reason := refusal(info):
            listing.dropped[f"{info.filename} (entry {number})"] = reason
        else:
            listing.add(info.filename, entry_of(info), info.file_size, f"{info.CRC:08x}", number, is_bomb(info))
    return listing


def _list_folder(folder: Path) -> _Listing:
    root = Path(os.path.realpath(folder))
    listing = _Listing(_Folder(root))
    for number, (relative, entry) in enumerate(_walk(root, "", listing.dropped), start=1):
        if shown(relative) != relative:
            # No report could be written with such a name in it.
            listing.dropped[shown(relative)] = "not an image name"
        elif entry.is_symlink() and not _lies_in(root, entry.path):
            needed = os.path.isdir(entry.path) or _table(entry.name)
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


def _open_folder(path: Path) -> Source:
    listing = _list_folder(path)
    zips = sorted(listing.zips, key=lambda name: (_rank(name), name.count(os.sep), name))
    loose = listing.images and (
        not zips
        or _rank(zips[0]) == len(ZIP_NAMES)
        or _is_home(path)
        or any(_is_aligned(name) for name, _, _ in listing.images.values())
    )
    taken, found = (listing if loose else None), _own(listing)
    if _is_home(path) or any(os.sep not in name for name, _, _ in listing.images.values()):
        found = _texts_beside(path) | found
    if loose and len(found) == len(ANNOTATIONS):
        zips = []
    listing.zips = []
    for name in zips:
        try:
            inner = _list_zip(listing.container.root / name)
        except LabkitError:
            if not taken and name == zips[-1]:
                raise
            listing.dropped[name] = "a zip that cannot be read"
            continue
        found = _own(inner) | found
        listing.zips += inner.zips
        if inner.images and not taken:
            taken = inner
        elif inner.images and not loose:
            listing.dropped[name] = "a further zip of images: unpack all of them into one folder"
    if taken and not loose:
        taken.dropped |= listing.dropped
    return _source(path, taken or listing, found)


def _own(listing: _Listing) -> dict[str, tuple[Any, Any]]:
    return {kind: (listing.container, key) for kind, (_, key) in listing.texts.items()}


def _is_home(path: Path) -> bool:
    """Whether a folder, by its name, has its tables beside it."""
    name = os.path.basename(os.path.abspath(path)).lower()
    return name == "img" or name.startswith(IMAGE_FOLDER)


def _source(path: Path, listing: _Listing, around: dict[str, tuple[Any, Any]]) -> Source:
    """Order the listing; annotations of the container itself come before those around it."""
    if not listing.images:
        nested = f"; it holds {listing.zips[0]}, so unpack that" if listing.zips else ""
        raise LabkitError(
            f"{shown(path)}: no images found{_refusals(listing.dropped)}{nested}; give the folder or zip that holds "
            f"{IMAGE_FOLDER} with its jpg files."
        )
    names = tuple(sorted(listing.images))
    keys: Any = [listing.images[name][2] for name in names]
    stamps = "\n".join(listing.images[name][1] for name in names)
    return Source(
        path,
        names,
        listing.dropped,
        hashlib.sha256(stamps.encode()).hexdigest(),
        listing.container,
        tuple(keys) if isinstance(keys[0], str) else np.array(keys, np.int64),
        around | _own(listing),
    )


def _texts_beside(path: Path) -> dict[str, tuple[_Folder, str]]:
    """Annotations in the folder around `path`, in the official Anno and Eval there, or one level further out."""
    found: dict[str, tuple[_Folder, str]] = {}
    homes = []
    for way in (os.path.abspath(path), os.path.realpath(path)):  # beside a link, or beside what it leads to
        homes.append(Path(way).parent)
        if _is_home(homes[-1]):
            homes.append(homes[-1].parent)
    for place in (home / sub for home in homes for sub in ("", "Anno", "Eval")):
        tables = [(name, table) for name in names_in(place) if (table := _table(name))]
        for name, (kind, _) in sorted(tables, key=lambda each: (each[1][1], each[0])):
            file = place / name
            if kind not in found and file.is_file() and _lies_in(place, file):
                found[kind] = (_Folder(place), name)
    return found


def _table(base: str) -> tuple[str, tuple[bool, bool]] | None:
    """Of a table of labels by its name: its kind, and an order in which official names and texts come first."""
    if not (match := TABLE.fullmatch(base)):
        return None
    kind = next(kind for kind, known in ANNOTATIONS.items() if known == match[1].lower())
    return kind, (len(base) != len(f"{match[1]}.{match[2]}"), match[2].lower() != "txt")


def _lies_in(folder: Path, path: str | Path) -> bool:
    """Whether `path` stays in `folder` once its links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_aligned(name: str) -> bool:
    """Whether a file lies below an img_align_celeba."""
    return any(part.lower().startswith(IMAGE_FOLDER) for part in parts(name)[:-1])


def _rank(name: str) -> int:
    base = parts(name)[-1].lower()
    return ZIP_NAMES.index(base) if base in ZIP_NAMES else len(ZIP_NAMES)


def _refusals(dropped: dict[str, str]) -> str:
    counts = Counter(dropped.values()).most_common()
    return f" ({', '.join(f'{count:,} × {reason}' for reason, count in counts)})" if counts else ""
