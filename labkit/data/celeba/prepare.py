"""CelebA once and for all: from a heap of JPEGs to one memory-mapped array and one table of labels per size.

A prepared size is a folder, e.g. 64x64/, with `faces.npy` (uint8 (N, 3, 64, 64)), `labels.csv` (a row per image, in
the same order) and `report.json` (where it came from, every file left out and why, checksums). It is made under
another name and renamed when it is whole: all of CelebA takes under a minute, so a kill costs that minute.
"""

import os
import shutil
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from labkit.data.celeba.decode import HEIGHT, WIDTH, UnusableError, decode
from labkit.data.celeba.labels import Labels, read_labels
from labkit.data.celeba.source import Source
from labkit.errors import LabkitError
from labkit.faces.words import ATTRIBUTES
from labkit.files import read_json, sha256, shown, write_json
from labkit.safe_zip import UnreadableEntryError

RECIPE = 3  # goes up when the same source would give other pixels or labels: older work is then made anew
CHUNK = 64  # images decoded as one piece of work
REPORTED = {"source": str, "images": int, "sha256": str, "labels sha256": str, "dropped": dict, "made of": dict}
REPORT = "report.json"
LABEL_BYTES = 150  # of an image's row in labels.csv, at most


def prepare(
    source: Source, height: int, width: int, folder: Path, *, patience: float = 0, progress: bool = True
) -> dict[str, Any]:
    """Prepare one size into folder/<height>x<width>, unless it is there and made of the same images and tables.

    Args:
        patience: seconds to wait while another process prepares the same folder.
        progress: show images/s and the time left.

    Returns:
        The report; with "decoded" and "seconds" where it was made now.

    Raises LabkitError: no usable image; a table that cannot be read; the folder cannot be written or its disk is
        full; another process is at it.
    """
    size = f"{height}x{width}"
    made_of = {"recipe": RECIPE, **source.fingerprint()}
    report = prepared_report(folder, size)
    if report is not None and report["made of"] == made_of:  # perhaps in a cache that only somebody else may write
        return report
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=patience):
            report = prepared_report(folder, size)
            if report is not None and report["made of"] == made_of:
                return report
            if report is not None:
                changed = [part for part in made_of if made_of[part] != report["made of"].get(part)]
                print(f"CelebA {size} is prepared anew: other {' and '.join(changed)} than it was made of.")
            for left in folder.glob(f".{size}-*"):  # by a kill
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(prefix=f".{size}-", dir=folder, ignore_cleanup_errors=True) as place:
                work = Path(place) / size  # a folder of its own: a temporary one is closed to all others, a class too
                work.mkdir()
                report = _make(source, height, width, work, progress) | {"made of": made_of}
                seconds = {name: report.pop(name) for name in ("decoded", "seconds")}
                write_json(work / REPORT, report)
                if (folder / size).exists():
                    os.rename(folder / size, Path(place) / "old")
                os.rename(work, folder / size)
            return report | seconds
    except Timeout:
        raise LabkitError(
            f"{folder}: another process is preparing images there; wait until it is done, then try again."
        ) from None
    except OSError as error:
        raise LabkitError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space, or set LABKIT_CACHE to "
            "another folder."
        ) from error


def prepared_report(folder: Path, size: str) -> dict[str, Any] | None:
    """The report of a prepared size, None if it is not (wholly) there."""
    place = folder / size
    try:
        report = read_json(place / REPORT)
        whole = (place / "faces.npy").stat().st_size == report["bytes"] and (place / "labels.csv").is_file()
        return report if whole and all(isinstance(report[name], kind) for name, kind in REPORTED.items()) else None
    except (OSError, KeyError, TypeError):
        return None


def read_table(place: Path) -> pd.DataFrame:
    """The table of labels of a prepared size: image, identity, split, and 0, 1 or −1 (unknown) per attribute."""
    kinds = {"image": str, "identity": np.int64, "split": np.int8}
    return pd.read_csv(place / "labels.csv", dtype=kinds, keep_default_na=False)


def _make(source: Source, height: int, width: int, work: Path, progress: bool) -> dict[str, Any]:
    """Fill the folder `work` but for the report, which it returns."""
    count = len(source.images)
    needed = count * (3 * height * width + LABEL_BYTES)
    if (free := shutil.disk_usage(work).free) < 1.02 * needed:
        raise LabkitError(
            f"{work.parents[1]}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free; "
            "free some space or set LABKIT_CACHE to another folder."
        )
    labels = read_labels(source, source.images)  # first: a table that cannot be read is said before the work
    started, dropped, kept = time.perf_counter(), {}, np.ones(count, bool)
    bar = tqdm(total=count, unit=" images", desc=f"CelebA {height}x{width}", disable=not progress)
    with open(work / "faces.npy", "wb") as stream, bar:
        # numpy leaves room in the header, so that the final count can be written over the first.
        _write_header(stream, (count, 3, height, width))
        for start, (block, faults) in zip(range(0, count, CHUNK), _decoded(source, height, width), strict=True):
            for row, why in faults.items():
                dropped[source.images[start + row]] = why
                kept[start + row] = False
            stream.write(np.delete(block, list(faults), axis=0).data if faults else block.data)
            bar.update(len(block))
        stream.seek(0)
        _write_header(stream, (int(kept.sum()), 3, height, width))
        stream.flush()
        os.fsync(stream.fileno())
    dropped |= source.dropped
    if not kept.any():
        faults = ", ".join(f"{number} × {why}" for why, number in Counter(dropped.values()).items())
        raise LabkitError(
            f"{shown(source.path)}: none of its images can be used ({faults}); give img_align_celeba as it was "
            f"published, colour JPEGs of {WIDTH}×{HEIGHT} pixels."
        )
    table = _table(source.images, labels).loc[kept]
    table.to_csv(work / "labels.csv", index=False, lineterminator="\n")
    return {
        "source": source.describe(),
        "images": int(kept.sum()),
        "with attributes": int(labels.attributes_known[kept].sum()),
        "people": int(table["identity"][table["identity"] >= 0].nunique()),
        "dropped": dict(Counter(dropped.values())),
        "dropped files": dropped,
        "labels": labels.problems,
        "columns": labels.columns,
        "bytes": (work / "faces.npy").stat().st_size,
        "sha256": sha256(work / "faces.npy"),
        "labels sha256": sha256(work / "labels.csv"),
        "decoded": count,
        "seconds": time.perf_counter() - started,
    }


def _write_header(stream: Any, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _decoded(source: Source, height: int, width: int) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
    """Chunks in order, decoded on all cores; few are submitted at a time: an error or Ctrl-C then stops the rest."""
    cores = _cores()
    with ThreadPoolExecutor(cores) as pool:
        running: deque[Future[tuple[np.ndarray, dict[int, str]]]] = deque()
        for start in range(0, len(source.images), CHUNK):
            running.append(pool.submit(_decode_chunk, source, start, height, width))
            if len(running) > 2 * cores:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decode_chunk(source: Source, start: int, height: int, width: int) -> tuple[np.ndarray, dict[int, str]]:
    """The pixels of a chunk, zero where an image is left out, and row → why."""
    names = source.images[start : start + CHUNK]
    block = np.zeros((len(names), 3, height, width), np.uint8)
    faults = {}
    for row, name in enumerate(names):
        try:
            block[row] = decode(source.read(name), height, width)
        except UnusableError as fault:
            faults[row] = str(fault)
        except UnreadableEntryError as fault:
            faults[row] = fault.reason
    return block, faults


def _table(names: tuple[str, ...], labels: Labels) -> pd.DataFrame:
    values = np.where(labels.attributes_known[:, None], labels.attributes, -1).astype(np.int8)
    columns = {"image": names, "identity": labels.identity, "split": labels.split}
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(values, columns=ATTRIBUTES)], axis=1)
