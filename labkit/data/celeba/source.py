"""CelebA in any form it is passed around in: found, listed and read, never extracted.

Known forms: the official one (img_align_celeba/ or img_align_celeba.zip beside list_attr_celeba.txt,
identity_CelebA.txt and list_eval_partition.txt), Kaggle's (a doubled img_align_celeba/ and csv files, or
archive.zip with all of it), img_align_celeba.zip alone, a bare folder of images. Any annotation may be missing.
"""

import os
import stat
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labkit.data.safe_zip import (
    SafeZip,
    UnreadableEntryError,
    entry_of,
    is_bomb,
    is_html,
    list_entries,
    parts,
    refusal,
)
from labkit.errors import LabkitError

IMAGE_BYTES = 5_000_000
TEXT_BYTES = 100_000_000
DEPTH = 3
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
IMAGE_FOLDER = "img_align_celeba"
ZIP_NAMES = ("img_align_celeba.zip", "archive.zip", "celeba-dataset.zip", "celeba.zip")
ANNOTATIONS = {
    "attributes": "list_attr_celeba",
    "identity": "identity_celeba",
    "partition": "list_eval_partition",
}
UNUSED = ("list_bbox_celeba", "list_landmarks_align_celeba", "list_landmarks_celeba", "readme")


@dataclass(frozen=True)
class Source:
    """The images and annotations of one copy of CelebA, wherever they lie; picklable, read only.

    Attributes:
        path: what `open_source` was given.
        images: base names of the images, sorted; their formats are for the decoder to tell.
        dropped: entry → why it is left out ("unsafe path", "symbolic link", "encrypted", "too large",
            "duplicate name", "not an image name", "not a plain file", "unknown compression", "cannot be read").
    """

    path: Path
    images: tuple[str, ...] = field(repr=False)
    dropped: dict[str, str] = field(repr=False)
    _container: "SafeZip | _Folder" = field(repr=False)
    _keys: Sequence[Any] = field(repr=False, compare=False)
    _texts: dict[str, tuple["SafeZip | _Folder", Any]] = field(repr=False)

    def read(self, name: str) -> bytes:
        """The bytes of one image, 5 MB at most; any process or thread may ask.

        Raises:
            UnreadableEntryError: there is no such image, or it cannot be read; `reason` says why in a few words.
        """
        index = bisect_left(self.images, name)
        if index == len(self.images) or self.images[index] != name:
            raise UnreadableEntryError(f"{self.path}, {name}", "no such image")
        key = self._keys[index]
        return self._container.read(key if isinstance(key, str) else key.tolist(), IMAGE_BYTES, name)

    def annotation(self, kind: str) -> str | None:
        """The text of "attributes", "identity" or "partition"; None if this copy has none.

        Raises:
            LabkitError: the file is there but unreadable, over 100 MB, or an HTML page.
        """
        if kind not in self._texts:
            return None
        container, key = self._texts[kind]
        data = container.read(key, TEXT_BYTES, ANNOTATIONS[kind])
        if is_html(data[:1024]):
            raise LabkitError(
                f"{self.path}: its {ANNOTATIONS[kind]} is an HTML page, most likely of a download that was "
                "refused; delete it or download it again."
            )
        return data.decode("utf-8", "replace")

    @property
    def annotations(self) -> list[str]:
        """The kinds of annotation that this copy has."""
        return [kind for kind in ANNOTATIONS if kind in self._texts]

    def describe(self) -> str:
        """One sentence: how many images, which annotations, what was refused."""
        labels = f"with {' and '.join(self.annotations)}" if self.annotations else "without annotations"
        return f"{self.path}: {len(self.images):,} images {labels}{_refusals(self.dropped)}."


def open_source(path: str | Path) -> Source:
    """Find the images and annotations of CelebA in a folder or zip of any known form.

    Annotations are looked for with the images, then beside them. In a folder with both, loose images in a folder
    img_align_celeba come before a zip. Subfolders are searched three levels deep; symbolic links that lead out of
    the folder are not followed. Of two images with the same base name the first (in a zip: in its order, in a
    folder: by path) is kept.

    Args:
        path: the folder or the zip.

    Raises:
        LabkitError: nothing there, not readable, no zip, an HTML page under the name of a zip, or no images.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _source(path, _list_zip(path), _texts_beside(path))
    raise LabkitError(f"{path}: no such folder or zip; give the one that holds {IMAGE_FOLDER}.")


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
    """What a folder or zip holds: image base name → key, annotation kind → key."""

    container: "SafeZip | _Folder"
    images: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, Any] = field(default_factory=dict)
    zips: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, key: Any, too_large: bool, number: int) -> None:
        """File one readable entry under what its name makes it."""
        base = parts(name)[-1]
        stem, suffix = os.path.splitext(base.lower())
        if suffix in (".txt", ".csv") and stem in ANNOTATIONS.values():
            kind = next(kind for kind, known in ANNOTATIONS.items() if known == stem)
            # The official text comes before a csv, the outer file before an inner one.
            rank = (suffix == ".csv", len(parts(name)))
            if kind not in self.texts or rank < self.texts[kind][0]:
                self.texts[kind] = (rank, key)
        elif suffix == ".zip":
            self.zips.append(name)
        elif stem in UNUSED:
            pass
        elif base.startswith(".") or suffix not in IMAGE_SUFFIXES:
            self.dropped[name] = "not an image name"
        elif too_large:
            self.dropped[name] = "too large"
        elif base in self.images:
            self.dropped[f"{name} (entry {number})"] = "duplicate name"
        else:
            self.images[base] = key


def _list_zip(path: Path) -> _Listing:
    listing = _Listing(SafeZip(path.absolute()))
    for number, info in enumerate(list_entries(path), start=1):
        if reason := refusal(info):
            listing.dropped[f"{info.filename} (entry {number})"] = reason
        else:
            too_large = info.file_size > IMAGE_BYTES or is_bomb(info)
            listing.add(info.filename, entry_of(info), too_large, number)
    return listing


def _list_folder(folder: Path) -> _Listing:
    root = Path(os.path.realpath(folder))
    listing = _Listing(_Folder(root))
    for number, (relative, entry) in enumerate(_walk(root, "", listing.dropped), start=1):
        shown = os.fsencode(relative).decode("utf-8", "backslashreplace")
        if shown != relative:
            # No report could be written with such a name in it.
            listing.dropped[shown] = "not an image name"
        elif entry.is_symlink() and not _lies_in(root, entry.path):
            listing.dropped[relative] = "symbolic link"
        elif (size := _size(entry)) is None:
            listing.dropped[relative] = "not a plain file"
        else:
            listing.add(relative, relative, size > IMAGE_BYTES, number)
    return listing


def _size(entry: os.DirEntry[str]) -> int | None:
    """Bytes of a plain file; None for anything else: a pipe, a link to nowhere, a file that is gone by now."""
    try:
        status = entry.stat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _walk(root: Path, below: str, dropped: dict[str, str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files under root/below by path, with their paths relative to `root`."""
    try:
        with os.scandir(root / below) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        if not below:
            raise LabkitError(f"{root}: cannot be read ({error.strerror}); change its permissions.") from error
        dropped[below] = "cannot be read"
        return
    for entry in entries:
        relative = os.path.join(below, entry.name)
        if not entry.is_dir(follow_symlinks=False):
            yield relative, entry
        elif not entry.name.startswith((".", "__MACOSX")) and relative.count(os.sep) < DEPTH:
            yield from _walk(root, relative, dropped)


def _open_folder(path: Path) -> Source:
    listing = _list_folder(path)
    zips = sorted(listing.zips, key=lambda name: (_rank(name), name.count(os.sep), name))
    loose = listing.images and (
        not zips
        or _rank(zips[0]) == len(ZIP_NAMES)
        or path.absolute().name == IMAGE_FOLDER
        or any(IMAGE_FOLDER in parts(key)[:-1] for key in listing.images.values())
    )
    around = {kind: (listing.container, key) for kind, (_, key) in listing.texts.items()}
    if zips and not loose:
        inner = _list_zip(listing.container.root / zips[0])
        inner.dropped |= listing.dropped
        return _source(path, inner, around)
    bare = path.absolute().name == IMAGE_FOLDER or any(os.sep not in key for key in listing.images.values())
    return _source(path, listing, _texts_beside(path) if bare else {})


def _source(path: Path, listing: _Listing, around: dict[str, tuple[Any, Any]]) -> Source:
    """Order the listing; annotations of the container itself come before those around it."""
    if not listing.images:
        nested = f"; it holds {listing.zips[0]}, so unpack that" if listing.zips else ""
        raise LabkitError(
            f"{path}: no images found{_refusals(listing.dropped)}{nested}; give the folder or zip that holds "
            f"{IMAGE_FOLDER} with its jpg files."
        )
    names = tuple(sorted(listing.images))
    keys: Any = [listing.images[name] for name in names]
    own = {kind: (listing.container, key) for kind, (_, key) in listing.texts.items()}
    return Source(
        path,
        names,
        listing.dropped,
        listing.container,
        tuple(keys) if isinstance(keys[0], str) else np.array(keys, np.int64),
        around | own,
    )


def _texts_beside(path: Path) -> dict[str, tuple[_Folder, str]]:
    """Annotations in the folder around `path`, in the official Anno and Eval there, or one level further out."""
    found: dict[str, tuple[_Folder, str]] = {}
    homes = [path.absolute().parent]
    if homes[0].name in ("Img", IMAGE_FOLDER):
        homes.append(homes[0].parent)
    for place in (home / sub for home in homes for sub in ("", "Anno", "Eval")):
        for kind, stem in ANNOTATIONS.items():
            for name in (stem, stem.replace("celeba", "CelebA")):
                for suffix in (".txt", ".csv"):
                    file = place / (name + suffix)
                    if kind not in found and file.is_file() and _lies_in(place, file):
                        found[kind] = (_Folder(place), file.name)
    return found


def _lies_in(folder: Path, path: str | Path) -> bool:
    """Whether `path` stays in `folder` once its links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _rank(name: str) -> int:
    base = parts(name)[-1].lower()
    return ZIP_NAMES.index(base) if base in ZIP_NAMES else len(ZIP_NAMES)


def _refusals(dropped: dict[str, str]) -> str:
    counts = Counter(dropped.values()).most_common()
    return f" ({', '.join(f'{count:,} × {reason}' for reason, count in counts)})" if counts else ""
