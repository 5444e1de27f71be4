"""CelebA once and for all: from a heap of JPEGs to one memory-mapped array per size and one table of labels.

A prepared folder holds `faces-64x64.npy` (uint8 (N, 3, 64, 64), one such file per size), `labels.csv` (a row per
image, in the same order) and `report-64x64.json` (where it came from, every file left out and why, the SHA-256 of
the other two). The report is written last: a size is prepared if and only if its report is there.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labkit.data.celeba.labels import Labels, read_labels
from labkit.data.celeba.source import Source
from labkit.errors import LabkitError
from labkit.files import atomic_path, sha256, write_json

RECIPE = 1  # goes up when the same images would give other pixels: older work is then not gone on with
LABELS = "labels.csv"
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Job:
    """What is prepared, and where.

    Attributes:
        source: the images.
        height, width: of the result.
        folder: the prepared folder.
    """

    source: Source
    height: int
    width: int
    folder: Path

    @property
    def size(self) -> str:
        """Height × width, as file names have it."""
        return f"{self.height}x{self.width}"

    @property
    def faces(self) -> Path:
        return self.folder / f"faces-{self.size}.npy"

    @property
    def report(self) -> Path:
        return self.folder / f"report-{self.size}.json"

    @property
    def workshop(self) -> Path:
        """Where unfinished work lies."""
        return self.folder / f".preparing-{self.size}"

    def plan(self) -> dict[str, Any]:
        """What must be the same for work to be gone on with."""
        names = hashlib.sha256("\n".join(self.source.images).encode()).hexdigest()
        return {"recipe": RECIPE, "size": self.size, "images": len(self.source.images), "names": names}


def prepared_report(folder: Path, size: str) -> dict[str, Any] | None:
    """The report of a prepared size, None if it is not (wholly) there."""
    path = folder / f"report-{size}.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        whole = (folder / f"faces-{size}.npy").stat().st_size == report["bytes"]
        return report if whole and (folder / "labels.csv").exists() else None
    except (OSError, ValueError, KeyError):
        return None


def finish(job: Job, plan: dict[str, Any], dropped: dict[str, str]) -> None:
    """In the workshop: leave out what was dropped, make the table of labels, and write the report last.

    Args:
        job: whose images are all decoded.
        plan: of the job.
        dropped: name → why, of the images that could not be used.

    Raises:
        LabkitError: no image is left, or another size of this folder has other images.
    """
    kept = [name for name in job.source.images if name not in dropped]
    dropped = dropped | job.source.dropped
    if not kept:
        faults = ", ".join(f"{count} × {why}" for why, count in Counter(dropped.values()).items())
        shutil.rmtree(job.workshop)
        raise LabkitError(f"{job.source.path}: none of its images can be used ({faults}); is this CelebA?")
    pixels = job.workshop / "pixels.npy"
    if len(kept) < len(job.source.images):
        _compact(pixels, job.workshop / "kept.npy", np.isin(job.source.images, kept))
        pixels = job.workshop / "kept.npy"
    labels = read_labels(job.source, kept)
    table = _table(kept, labels)
    _agree_with_other_sizes(job, table)
    with atomic_path(job.workshop / LABELS) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    report = {
        "plan": plan,
        "source": job.source.describe(),
        "annotations": job.source.annotations,
        "images": len(kept),
        "with attributes": int(labels.attributes_known.sum()),
        "dropped": dict(Counter(dropped.values())),
        "dropped files": dropped,
        "labels": labels.problems,
        "bytes": pixels.stat().st_size,
        "sha256": sha256(pixels),
        "labels sha256": sha256(job.workshop / LABELS),
    }
    write_json(job.workshop / "report.json", report)


def publish(job: Job) -> None:
    """Move what is finished to its place, the report last; may be called again after a kill."""
    report = json.loads((job.workshop / "report.json").read_text(encoding="utf-8"))
    for finished in (job.workshop / "kept.npy", job.workshop / "pixels.npy"):
        if finished.exists() and finished.stat().st_size == report["bytes"]:
            os.replace(finished, job.faces)
    if (job.workshop / LABELS).exists():
        os.replace(job.workshop / LABELS, job.folder / LABELS)
    os.replace(job.workshop / "report.json", job.report)
    shutil.rmtree(job.workshop)


def discard(folder: Path) -> None:
    """Remove all that preparations made in a folder, reports first: what a kill leaves does not look whole."""
    for path in [*folder.glob("report-*.json"), *folder.glob("faces-*.npy"), folder / LABELS]:
        path.unlink(missing_ok=True)
    for workshop in folder.glob(".preparing-*"):
        shutil.rmtree(workshop)


def read_table(folder: Path) -> pd.DataFrame:
    """The table of labels of a prepared folder: image, identity, split, and 0, 1 or −1 (unknown) per attribute."""
    kinds = {"image": str, "identity": np.int64, "split": np.int8}
    return pd.read_csv(folder / LABELS, dtype=kinds, keep_default_na=False)


def _table(names: list[str], labels: Labels) -> pd.DataFrame:
    values = np.where(labels.attributes_known[:, None], labels.attributes, -1).astype(np.int8)
    columns = {"image": names, "identity": labels.identity, "split": labels.split}
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(values, columns=labels.attribute_names)], axis=1)


def _agree_with_other_sizes(job: Job, table: pd.DataFrame) -> None:
    """All sizes of a folder share one table, so they must be of the same images and labels."""
    if not (job.folder / LABELS).exists():
        return
    others = [path for path in job.folder.glob("report-*.json") if path != job.report]
    if others and not read_table(job.folder).astype(object).equals(table.astype(object)):
        raise LabkitError(
            f"{job.folder}: holds another size made of other images or labels; prepare anew with --replace."
        )


def _compact(old_path: Path, new_path: Path, kept: np.ndarray) -> None:
    """Write an array again without some of its rows."""
    old = np.load(old_path, mmap_mode="r")
    rows = np.flatnonzero(kept)
    with atomic_path(new_path) as temporary, open(temporary, "wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *old.shape[1:])}
        np.lib.format.write_array_header_1_0(stream, header)
        for place in range(0, len(rows), ROWS_AT_ONCE):
            stream.write(np.ascontiguousarray(old[rows[place : place + ROWS_AT_ONCE]]).data)
