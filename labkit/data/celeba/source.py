"""CelebA in any form it is passed around in: found and read, never extracted.

Known forms: the official one (img_align_celeba/ or img_align_celeba.zip beside list_attr_celeba.txt,
identity_CelebA.txt and list_eval_partition.txt), Kaggle's (a doubled img_align_celeba/ and csv files, or
archive.zip with all of it), img_align_celeba.zip alone, a bare folder of images. Any annotation may be missing.
"""

import codecs
import hashlib
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labkit.data.celeba.listing import (
    ANNOTATIONS,
    IMAGE_BYTES,
    IMAGE_FOLDER,
    IMAGE_SUFFIXES,
    Folder,
    Listing,
    is_aligned,
    lies_in,
    list_folder,
    list_zip,
    table_of,
)
from labkit.data.given import names_in
from labkit.errors import LabkitError
from labkit.files import shown, usable_path
from labkit.safe_zip import SafeZip, UnreadableEntryError, is_html, parts

TEXT_BYTES = 100_000_000
ZIP_NAMES = ("img_align_celeba.zip", "archive.zip", "celeba-dataset.zip", "celeba.zip")
LOOKED_AT = 1024


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
    _container: "SafeZip | Folder" = field(repr=False)
    _keys: Sequence[Any] = field(repr=False, compare=False)
    _texts: dict[str, tuple["SafeZip | Folder", Any]] = field(repr=False)

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
    if path.is_file() and (path.suffix.lower() in IMAGE_SUFFIXES or table_of(path.name)):
        raise LabkitError(f"{shown(path)}: is one file of CelebA; give the folder that holds it.")
    if path.is_file():
        return _source(path, list_zip(path), _texts_beside(path))
    raise LabkitError(f"{shown(path)}: no such folder or zip; give the one that holds {IMAGE_FOLDER}.")


def _open_folder(path: Path) -> Source:
    listing = list_folder(path)
    zips = sorted(listing.zips, key=lambda name: (_rank(name), name.count(os.sep), name))
    loose = listing.images and (
        not zips
        or _rank(zips[0]) == len(ZIP_NAMES)
        or _is_home(path)
        or any(is_aligned(name) for name, _, _ in listing.images.values())
    )
    taken, found = (listing if loose else None), listing.tables()
    if _is_home(path) or any(os.sep not in name for name, _, _ in listing.images.values()):
        found = _texts_beside(path) | found
    if loose and len(found) == len(ANNOTATIONS):
        zips = []
    listing.zips = []
    for name in zips:
        try:
            inner = list_zip(listing.container.root / name)
        except LabkitError:
            if not taken and name == zips[-1]:
                raise
            listing.dropped[name] = "a zip that cannot be read"
            continue
        found = inner.tables() | found
        listing.zips += inner.zips
        if inner.images and not taken:
            taken = inner
        elif inner.images and not loose:
            listing.dropped[name] = "a further zip of images: unpack all of them into one folder"
    if taken and not loose:
        taken.dropped |= listing.dropped
    return _source(path, taken or listing, found)


def _is_home(path: Path) -> bool:
    """Whether a folder, by its name, has its tables beside it."""
    name = os.path.basename(os.path.abspath(path)).lower()
    return name == "img" or name.startswith(IMAGE_FOLDER)


def _source(path: Path, listing: Listing, around: dict[str, tuple[Any, Any]]) -> Source:
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
        around | listing.tables(),
    )


def _texts_beside(path: Path) -> dict[str, tuple[Folder, str]]:
    """Annotations in the folder around `path`, in the official Anno and Eval there, or one level further out."""
    found: dict[str, tuple[Folder, str]] = {}
    homes = []
    for way in (os.path.abspath(path), os.path.realpath(path)):  # beside a link, or beside what it leads to
        homes.append(Path(way).parent)
        if _is_home(homes[-1]):
            homes.append(homes[-1].parent)
    for place in (home / sub for home in homes for sub in ("", "Anno", "Eval")):
        tables = [(name, table) for name in names_in(place) if (table := table_of(name))]
        for name, (kind, _) in sorted(tables, key=lambda each: (each[1][1], each[0])):
            file = place / name
            if kind not in found and file.is_file() and lies_in(place, file):
                found[kind] = (Folder(place), name)
    return found


def _rank(name: str) -> int:
    base = parts(name)[-1].lower()
    return ZIP_NAMES.index(base) if base in ZIP_NAMES else len(ZIP_NAMES)


def _refusals(dropped: dict[str, str]) -> str:
    counts = Counter(dropped.values()).most_common()
    return f" ({', '.join(f'{count:,} × {reason}' for reason, count in counts)})" if counts else ""
