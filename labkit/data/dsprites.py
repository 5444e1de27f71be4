"""dSprites: every combination of 3 shapes, 6 scales, 40 orientations and 32 × 32 positions, white on black, 64×64.

Matthey, Higgins, Hassabis and Lerchner, "dSprites: Disentanglement testing Sprites dataset", 2017, Apache 2.0,
github.com/google-deepmind/dsprites-dataset. As published, the 40 orientations run from 0 to 2π with both ends, so
that the first and the last are the same picture; a square looks alike every quarter turn, an ellipse every half.
"""

import hashlib
import math
import os
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from labkit.data.fetch import fetch, unasked
from labkit.data.given import DSPRITES_FILE as FILE
from labkit.data.given import file_in, first_of, path_for
from labkit.drawn.grid import FactorGrid
from labkit.drawn.portraits import mapped
from labkit.drawn.sprites import SIDE, draw_sprites
from labkit.errors import LabkitError
from labkit.faces.faceset import Provenance
from labkit.files import atomic_path, data_root, shown

NAME = "dSprites"
ADDRESS = f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{FILE}"
# The authors give no SHA-256; this is the name that the file has in their git repository, a SHA-1 of its content.
GIT_BLOB = "d98996d3f8ee1550e06b9d4ed78d0beb478910d5"
FACTOR_NAMES = ("shape", "scale", "orientation", "posX", "posY")
LEVELS = (
    np.array([1.0, 2.0, 3.0]),
    np.linspace(0.5, 1, 6),
    np.linspace(0, 2 * math.pi, 40),
    np.linspace(0, 1, 32),
    np.linspace(0, 1, 32),
)
COUNT = math.prod(map(len, LEVELS))
ROW_BYTES = SIDE * SIDE // 8
ROWS_AT_ONCE = 4096
DOWNLOAD_SECONDS = 90.0


def dsprites(data: str | Path | None = None, *, device: torch.device | str | None = None) -> FactorGrid:
    """dSprites, or the same sprites drawn anew, which says so.

    Sources, in this order: `data` or else `LABKIT_DATA`; the cache (see `data_root`); the authors' file (90 s at
    most; not asked when `LABKIT_OFFLINE` is set, or within an hour of a slow failure); drawn from the published
    factors. The file would be 3 GB in memory: its pictures are packed once, a bit a pixel, into 377 MB in the cache,
    which are mapped. Drawn ones are not kept at all.

    Args:
        data: the file, a folder that holds it, or a folder whose subfolder `dsprites` does.
        device: where pictures are made; None means the CPU.

    Returns:
        A grid with pictures uint8 (n, 1, 64, 64) of 0 and 255, sizes (3, 6, 40, 32, 32), in the published order.

    Raises LabkitError: `data` or `LABKIT_DATA` is not dSprites.
    """
    cache = data_root() / "dsprites"
    if given := path_for("dsprites", data):
        return _real(file_in(given, "dsprites", (FILE,)), cache, device)
    get = partial(fetch, ADDRESS, GIT_BLOB, cache / FILE, timeout=DOWNLOAD_SECONDS, digest=git_blob)
    sources = (partial(_in_cache, cache), partial(unasked, cache, get))
    grid, why = first_of(lambda source=source: _real(source(), cache, device) for source in sources)
    if grid is not None:
        return grid
    print(f"These sprites are DRAWN by labkit from the published factors of {NAME}: {why}.")
    return _grid(
        partial(_draw, device),
        Provenance(
            name="dSprites, drawn anew",
            real=False,
            source="labkit.data.dsprites(), from the published factors",
            licence="MIT, as the kit",
            stand_in_for=NAME,
        ),
    )


def git_blob(path: Path) -> str:
    """The name that git gives to the content of a file: the SHA-1 of its length and its bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _grid(make: partial, provenance: Provenance) -> FactorGrid:
    return FactorGrid(FACTOR_NAMES, LEVELS, ("shape",), (1, SIDE, SIDE), make, provenance)


def _draw(device: torch.device | str | None, indices: np.ndarray) -> Tensor:
    where = torch.device(device or "cpu")
    values = [torch.tensor(level[k], dtype=torch.float32) for level, k in zip(LEVELS, indices.T, strict=True)]
    scale, orientation, x, y = (column.to(where) for column in values[1:])
    return draw_sprites(torch.from_numpy(indices[:, 0]).to(where), scale, orientation, x, y)


def _read(packed: np.ndarray, device: torch.device | str | None, indices: np.ndarray) -> Tensor:
    rows = packed[np.ravel_multi_index(tuple(indices.T), [len(level) for level in LEVELS])]
    rows = torch.from_numpy(rows).to(device or "cpu")
    bits = rows[:, :, None] >> torch.arange(7, -1, -1, device=rows.device, dtype=torch.uint8) & 1
    return bits.view(-1, 1, SIDE, SIDE) * 255


def _real(path: Path, cache: Path, device: torch.device | str | None) -> FactorGrid:
    """The grid of a file that is already packed, or of the authors' file, packed first."""
    packed = _packed(cache)
    if path != packed:
        if (found := git_blob(path)) != GIT_BLOB:
            raise LabkitError(
                f"{path}: damaged, or not the official {FILE} (git names it {found[:12]}, not {GIT_BLOB[:12]}); "
                "remove it or download it anew."
            )
        if mapped(packed, (COUNT, ROW_BYTES)) is None:
            _pack(path, packed)
    pictures = mapped(packed, (COUNT, ROW_BYTES))
    if pictures is None:
        raise LabkitError(f"{packed}: cannot be read; delete it, it is made anew.")
    origin = Provenance(
        name=NAME,
        real=True,
        source=shown(f"{path.name} in {path.parent}"),
        checksum=GIT_BLOB,
        licence="Apache 2.0",
        pictures="pictures as published",
    )
    return _grid(partial(_read, pictures, device), origin)


def _packed(cache: Path) -> Path:
    return cache / f"{NAME}-{GIT_BLOB[:12]}.npy"


def _pack(path: Path, packed: Path) -> None:
    """Write the pictures of the authors' file a bit a pixel, some at a time; of its members only two are opened.

    The third, `metadata`, is a pickle, which could run any program: it is left alone.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open("latents_classes.npy") as stream:
                _check_order(stream)
            with archive.open("imgs.npy") as stream, atomic_path(packed) as temporary:
                _check_header(stream, (COUNT, SIDE, SIDE), np.uint8)
                target = np.lib.format.open_memmap(temporary, "w+", np.uint8, (COUNT, ROW_BYTES))
                for start in range(0, COUNT, ROWS_AT_ONCE):
                    rows = _rows(stream, min(ROWS_AT_ONCE, COUNT - start), SIDE * SIDE, np.uint8)
                    if rows.max() > 1:
                        raise ValueError("pixels other than 0 and 1")
                    target[start : start + len(rows)] = np.packbits(rows, 1)
                target.flush()
                del target
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError) as error:
        raise LabkitError(f"{path}: not the official {FILE} ({error}); download it anew.") from error


def _check_order(stream: IO[bytes]) -> None:
    """The last factor must run fastest, the one colour be first: the grid counts on it."""
    sizes = [len(level) for level in LEVELS]
    _check_header(stream, (COUNT, len(sizes) + 1), np.int64)
    for start in range(0, COUNT, ROWS_AT_ONCE):
        flat = np.arange(start, min(start + ROWS_AT_ONCE, COUNT))
        rows = _rows(stream, len(flat), len(sizes) + 1, np.int64)
        if not np.array_equal(rows[:, 1:], np.stack(np.unravel_index(flat, sizes), 1)):
            raise ValueError("its factors come in another order")


def _check_header(stream: IO[bytes], shape: tuple[int, ...], dtype: type) -> None:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found, by_column, kind = read(stream)
    if found != shape or by_column or kind != np.dtype(dtype):
        raise ValueError(f"an array {kind} {found} in place of {np.dtype(dtype)} {shape}")


def _rows(stream: IO[bytes], count: int, width: int, dtype: type) -> np.ndarray:
    content = stream.read(count * width * np.dtype(dtype).itemsize)
    return np.frombuffer(content, dtype).reshape(count, width)


def _in_cache(cache: Path) -> Path:
    if mapped(_packed(cache), (COUNT, ROW_BYTES)) is not None:
        return _packed(cache)
    if not os.path.isfile(cache / FILE):
        raise LabkitError(f"nothing whole in {cache}")
    return cache / FILE
