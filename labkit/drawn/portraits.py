"""A stand-in for CelebA: drawn faces with attributes, ten shots a person, split by person, cached on disk."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from labkit.drawn.attributes import SYNTHETIC_ATTRIBUTES, attributes_of
from labkit.drawn.factors import FACTOR_NAMES
from labkit.drawn.people import celeba_factors
from labkit.drawn.recipe import SHOTS, recipe
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError
from labkit.faces.faceset import TEST, TRAIN, VALIDATION, FaceSet, Provenance
from labkit.faces.words import parse_size
from labkit.files import atomic_path, data_root

CHUNK = 1024  # faces drawn and written at a time
LICENCE = "MIT, as the kit"
NAMED = re.compile(r"celeba-(\d+)-\d+x\d+-\d+-\w+-[\w.]+\.npy")  # other files may lie beside


def synthetic_celeba(
    n: int,
    *,
    size: str = "64",
    seed: int = 0,
    skin_tone: str = "celeba",
    cache: bool = True,
    device: torch.device | str = "cpu",
) -> FaceSet:
    """Draw a stand-in for CelebA; face i is the same for every n, with the same labels and in the same part.

    Args:
        n: how many pictures; ten of each person, one after the other.
        size: "64", "64x48" (height × width), "128" or "218x178"; where not square, cut from the middle of a square.
        seed: names the population.
        skin_tone: "celeba" (80 % light, 10 % between, 10 % dark, about the shares reported for CelebA) or
            "balanced" (uniform from very light to very dark).
        cache: keep the pixels under data_root()/synthetic and map them into memory: of several processes that want
            them one draws, the others wait. Where that folder cannot be written they are drawn in memory.
        device: where to draw (the result is in main memory). Rounding differs between kinds of device, so each
            has files of its own; factors, labels and parts are the same.

    Returns:
        FaceSet with uint8 images (n, 3, height, width), identity, a split by person (about 80/10/10), the
        attributes of `synthetic_attributes.RULES` in CelebA's order, and the factors.

    Raises LabkitError: n below 1, or an unknown size or skin tone.
    """
    if n < 1:
        raise LabkitError(f"synthetic_celeba: n = {n} must be 1 or more.")
    height, width = parse_size(size)
    index = torch.arange(n)
    factors = celeba_factors(seed, index // SHOTS, index % SHOTS, skin_tone)
    device = torch.device(device)
    drawn_by = recipe() if device.type == "cpu" else f"{recipe()}.{device.type}"
    path = _folder() / f"celeba-{n}-{height}x{width}-{seed}-{skin_tone}-{drawn_by}.npy"
    pictures = _Pictures(factors, height, width, device)
    images = _cached(path, pictures) if cache else pictures.in_memory()
    factors = factors.numpy()
    source = f"labkit.drawn.synthetic_celeba({n}, size={str(size)!r}, seed={seed}, skin_tone={skin_tone!r})"
    identity = (index // SHOTS).numpy()
    return FaceSet(
        images,
        Provenance("synthetic CelebA", False, source, f"drawn by {drawn_by}", LICENCE, stand_in_for="CelebA"),
        identity=identity,
        split=_parts(seed, identity),
        attributes=attributes_of(factors),
        attribute_names=SYNTHETIC_ATTRIBUTES,
        factors=factors,
        factor_names=FACTOR_NAMES,
    )


def cached_files() -> list[tuple[Path, int]]:
    """The files of pixels that earlier calls have left, and how many faces each holds."""
    try:
        names = sorted(os.listdir(_folder()))
    except OSError:  # nothing there, or a cache that somebody else has closed
        return []
    return [(_folder() / name, int(match[1])) for name in names if (match := NAMED.fullmatch(name))]


def _folder() -> Path:
    return data_root() / "synthetic"


def _parts(seed: int, person: np.ndarray) -> np.ndarray:
    """The part int8 (N,) of each picture: a hash of (seed, person) in tenths."""
    people, where = np.unique(person, return_inverse=True)
    parts = np.full(len(people), TRAIN, np.int8)
    for k, one in enumerate(people):
        digest = hashlib.sha256(f"{seed}/{one}".encode()).digest()
        tenth = int.from_bytes(digest[:8], "big") % 10
        parts[k] = {8: VALIDATION, 9: TEST}.get(tenth, TRAIN)
    return parts[where]


@dataclass(frozen=True)
class _Pictures:
    """Pictures (N, 3, height, width) that are not drawn yet."""

    factors: Tensor
    height: int
    width: int
    device: torch.device

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.factors), 3, self.height, self.width

    def chunks(self) -> Iterator[np.ndarray]:
        side = max(self.height, self.width)
        top, left = (side - self.height) // 2, (side - self.width) // 2
        for factors in self.factors.split(CHUNK):
            drawn = render(factors, side, self.device).cpu().numpy()
            yield np.ascontiguousarray(drawn[:, :, top : top + self.height, left : left + self.width])

    def in_memory(self) -> np.ndarray:
        images, start = np.empty(self.shape, np.uint8), 0
        for chunk in self.chunks():
            images[start : start + len(chunk)] = chunk
            start += len(chunk)
        return images

    def write(self, path: Path) -> None:
        with atomic_path(path) as temporary, open(temporary, "wb") as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for chunk in self.chunks():
                stream.write(chunk.data)


def _cached(path: Path, pictures: _Pictures) -> np.ndarray:
    """Pixels at `path`, drawn first where they are missing or cut short; in memory where they cannot be written."""
    if (images := mapped(path, pictures.shape)) is not None:
        return images
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.stem}.lock")):
            if (images := mapped(path, pictures.shape)) is None:
                for killed in path.parent.glob(f".{path.stem}-*{path.suffix}"):  # what such a drawing left
                    killed.unlink()
                pictures.write(path)
                images = mapped(path, pictures.shape)
    except (OSError, NotImplementedError, LabkitError):  # the second: a file system without locks
        pass
    return pictures.in_memory() if images is None else images


def mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The uint8 array in a file, mapped into memory; None where it is missing, cut short or another."""
    try:
        images = np.lib.format.open_memmap(path, "r")
    except (OSError, ValueError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None
