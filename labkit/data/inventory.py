"""Which data sets this machine has, and whether they are still what they were."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.data.celeba.prepare import REPORT, prepared_report
from labkit.data.given import names_in, path_for
from labkit.data.olivetti import olivetti_here
from labkit.drawn.portraits import cached_files, synthetic_celeba
from labkit.drawn.recipe import recipe
from labkit.errors import LabkitError
from labkit.files import data_root, sha256

REDRAWN = 64  # faces of a cached stand-in that are drawn again to verify it
DIFFERENT_SHARE = 0.001  # of the numbers of a stand-in drawn off the CPU, a bound not measured on a GPU


@dataclass(frozen=True)
class Entry:
    """One data set on this machine."""

    name: str  # with its size where there are several
    kind: str  # "real", "stand-in", "given" (by a path, not read), "damaged" or "absent"
    images: int  # how many, 0 where it is none of the first two
    checksum: str  # SHA-256, empty where there are no images
    where: str  # file or folder
    advice: str = ""  # what to know of it where there are no images


def inventory() -> list[Entry]:
    """All data sets; nothing is downloaded, drawn or prepared for this."""
    return [_olivetti(), *_celeba(), *_stand_ins()]


def verify() -> Iterator[tuple[str, str]]:
    """Read every file again: (file, what is wrong), the latter empty where its SHA-256 is the recorded one."""
    entry = _olivetti()
    if entry.images:
        yield entry.where, ""  # the loader has compared the pixels
    elif entry.kind == "damaged":
        yield entry.where, entry.advice
    for path, _ in cached_files():
        yield str(path), _verify_stand_in(path)
    for place in _prepared():
        report = prepared_report(place.parent, place.name)
        if report is None:
            yield str(place), "incomplete: run labkit data celeba again"
            continue
        for name, checksum in (("faces.npy", report["sha256"]), ("labels.csv", report["labels sha256"])):
            file = place / name
            same = sha256(file) == checksum
            yield str(file), "" if same else f"SHA-256 differs: delete {place} and run labkit data celeba again"


def _olivetti() -> Entry:
    try:
        faces = olivetti_here()
    except LabkitError as error:
        return Entry("Olivetti faces", "damaged", 0, "", os.environ.get("LABKIT_DATA", ""), str(error))
    cache = data_root() / "olivetti"
    if faces is None and (aside := sorted(name for name in names_in(cache) if name.endswith(".damaged"))):
        where = str(cache / aside[0])
        return Entry("Olivetti faces", "damaged", 0, "", where, f"{where}: was put aside; delete it, or get it anew")
    if faces is None:
        advice = "lab 01 tries to download them; or set LABKIT_DATA to a folder that has them"
        return Entry("Olivetti faces", "absent", 0, "", "", advice)
    return Entry("Olivetti faces", "real", len(faces), faces.provenance.checksum, faces.provenance.source)


def _celeba() -> Iterator[Entry]:
    found = False
    try:
        given = path_for("celeba", None)
    except LabkitError as error:
        yield Entry("CelebA", "damaged", 0, "", os.environ.get("LABKIT_DATA", ""), str(error))
        return
    if given:
        found = True
        yield Entry("CelebA", "given", 0, "", str(given), f"labs take it from {given}, which LABKIT_DATA names")
    for place in _prepared():
        if (report := prepared_report(place.parent, place.name)) is not None:
            found = True
            yield Entry(f"CelebA {place.name}", "real", report["images"], report["sha256"], str(place))
    if not found:
        advice = "labkit data celeba --from PATH prepares what you have; see data/README.md"
        yield Entry("CelebA", "absent", 0, "", "", advice)


def _stand_ins() -> Iterator[Entry]:
    for path, count in cached_files():
        kind = "stand-in" if recipe() in path.name else "stand-in of an older renderer, not read any more"
        yield Entry("synthetic CelebA", kind, count, sha256(path), str(path))


def _verify_stand_in(path: Path) -> str:
    """What is wrong with cached pixels, told by drawing the first faces once more; empty if nothing is."""
    _, n, size, seed, skin_tone, drawn_by = path.stem.split("-")
    drawn_by, _, device = drawn_by.partition(".")
    if drawn_by != recipe():
        return "drawn by an older renderer and not read any more: delete it"
    size = "64" if size == "64x64" else "128" if size == "128x128" else size
    count = min(int(n), REDRAWN)
    again = synthetic_celeba(count, size=size, seed=int(seed), skin_tone=skin_tone, cache=False).images
    try:
        off = np.abs(np.lib.format.open_memmap(path, "r")[:count].astype(int) - again)
    except (OSError, ValueError):
        off = np.full(1, 255)
    # Drawn off the CPU: rounding moves a grey level, and now and then the side of an edge.
    same = (off > 2).mean() < DIFFERENT_SHARE if device else not off.any()
    return "" if same else "other pixels than the renderer draws: delete it"


def _prepared() -> list[Path]:
    """The folders of prepared sizes, whole or not."""
    folder = data_root() / "celeba"
    return [folder / name for name in sorted(names_in(folder)) if os.path.isfile(folder / name / REPORT)]
