"""Small CelebA look-alikes on disk, in the layouts that CelebA comes in.

An annotation (`attributes`, `identity`, `partition`) is `...` (drawn by `labels`), an array, a text that is written
as it stands, or None (no such file).
"""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import EllipsisType

import numpy as np
from PIL import Image

from labkit.data.celeba.source import Source
from labkit.faces.words import ATTRIBUTES

Annotation = np.ndarray | str | None | EllipsisType


def jpegs(n: int, seed: int = 0, size: tuple[int, int] = (178, 218)) -> dict[str, bytes]:
    """`n` different smooth random JPEGs of `size` (width, height), named 000001.jpg and on."""
    random = np.random.default_rng(seed)
    images = {}
    for index in range(n):
        coarse = Image.fromarray(random.integers(0, 256, (7, 6, 3), np.uint8))
        stream = io.BytesIO()
        coarse.resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        images[f"{index + 1:06d}.jpg"] = stream.getvalue()
    return images


def labels(names: Iterable[str], seed: int = 0) -> dict[str, np.ndarray]:
    """Drawn attributes (N, 40) bool, identity (N,) from 1, partition (N,) in 0, 1, 2."""
    count = len(list(names))
    random = np.random.default_rng(seed)
    return {
        "attributes": random.random((count, len(ATTRIBUTES))) < 0.3,
        "identity": random.integers(1, max(2, count // 3), count),
        "partition": random.integers(0, 3, count),
    }


def write_official(
    folder: Path,
    images: dict[str, bytes],
    *,
    attributes: Annotation = ...,
    identity: Annotation = ...,
    partition: Annotation = ...,
    zipped: bool = False,
) -> Path:
    """img_align_celeba/ (or img_align_celeba.zip) beside the three txt files; returns `folder`."""
    drawn = labels(images)
    texts = {
        "list_attr_celeba.txt": _official_attributes(images, _chosen(attributes, drawn["attributes"])),
        "identity_CelebA.txt": _pairs(images, _chosen(identity, drawn["identity"])),
        "list_eval_partition.txt": _pairs(images, _chosen(partition, drawn["partition"])),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_texts(folder, texts)
    members = {f"img_align_celeba/{name}": data for name, data in images.items()}
    if zipped:
        write_zip(folder / "img_align_celeba.zip", members)
    else:
        _write_files(folder, members)
    return folder


def write_kaggle(
    folder: Path,
    images: dict[str, bytes],
    *,
    attributes: Annotation = ...,
    partition: Annotation = ...,
    identity: Annotation = None,
    zipped: bool = False,
) -> Path:
    """The doubled folder beside the csv files, or with `zipped` all of it in archive.zip; returns `folder`."""
    drawn = labels(images)
    texts = {
        "list_attr_celeba.csv": _csv(images, ATTRIBUTES, _chosen(attributes, drawn["attributes"])),
        "list_eval_partition.csv": _csv(images, ("partition",), _chosen(partition, drawn["partition"])),
        "identity_CelebA.csv": _csv(images, ("identity",), _chosen(identity, drawn["identity"])),
    }
    folder.mkdir(parents=True, exist_ok=True)
    members = {f"img_align_celeba/img_align_celeba/{name}": data for name, data in images.items()}
    if zipped:
        written = {name: text.encode() for name, text in texts.items() if text is not None}
        write_zip(folder / "archive.zip", members | written)
    else:
        _write_texts(folder, texts)
        _write_files(folder, members)
    return folder


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip with these members; returns `path`."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _chosen(given: Annotation, drawn: np.ndarray) -> np.ndarray | str | None:
    return drawn if given is ... else given


def _official_attributes(names: Iterable[str], values: np.ndarray | str | None) -> str | None:
    if values is None or isinstance(values, str):
        return values
    lines = [f"{len(values)}", " ".join(ATTRIBUTES) + " "]
    for name, row in zip(names, values):
        lines.append(name + "".join(" " + f"{1 if value else -1:2d}" for value in row))
    return "\n".join(lines) + "\n"


def _pairs(names: Iterable[str], values: np.ndarray | str | None) -> str | None:
    if values is None or isinstance(values, str):
        return values
    return "".join(f"{name} {value}\n" for name, value in zip(names, values))


def _csv(names: Iterable[str], header: Iterable[str], values: np.ndarray | str | None) -> str | None:
    if values is None or isinstance(values, str):
        return values
    numbers = np.where(values, 1, -1) if values.dtype == bool else values.reshape(-1, 1)
    lines = [",".join(["image_id", *header])]
    lines += [",".join([name, *map(str, row)]) for name, row in zip(names, numbers)]
    return "\n".join(lines) + "\n"


def _write_texts(folder: Path, texts: dict[str, str | None]) -> None:
    for name, text in texts.items():
        if text is not None:
            (folder / name).write_bytes(text.encode())


def _write_files(folder: Path, members: dict[str, bytes]) -> None:
    for name, data in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


IMAGES = jpegs(6, size=(24, 30))
ONE = IMAGES["000001.jpg"]


def official_zip(folder: Path) -> Path:
    """The published zip with `IMAGES`, its annotations beside it."""
    return write_official(folder, IMAGES, zipped=True) / "img_align_celeba.zip"


def tree(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What lies below a folder, such that any change of it shows."""
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size, path.lstat().st_ino) for path in folder.rglob("*")}


def read_all(source: Source) -> dict[str, bytes]:
    """Every image of a source, by name."""
    return {name: source.read(name) for name in source.images}
