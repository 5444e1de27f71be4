"""Arrays and weights that a submission exported: read without running anything of it, for metrics computed anew.

A number that a kernel reports can be forged; the arrays it was computed from can be measured here.
"""

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import LabkitError

LIMIT_BYTES = 256 * 2**20  # of a file, and of what unpacks from it
LIMIT_ARRAYS = 10_000
READABLE = (".npz", ".safetensors")
KINDS = "biufc"  # no objects, which only pickle can read, and no texts


def read_arrays(path: Path, *, limit_bytes: int = LIMIT_BYTES, finite: bool = True) -> dict[str, np.ndarray]:
    """Name → array of an .npz or .safetensors file.

    Args:
        path: a plain file, no link.
        limit_bytes: more than this is refused, packed or unpacked, before it is read.
        finite: refuse NaN and infinities.

    Raises:
        LabkitError: it is missing, a link, too large, of another kind, broken, holds objects, or is not finite.
    """
    path = Path(path)
    if path.is_symlink() or not path.is_file():
        raise LabkitError(f"{path.name}: is not there as a plain file; export it again.")
    if path.stat().st_size > limit_bytes:
        raise LabkitError(f"{path.name}: is larger than {limit_bytes / 2**20:.0f} MB; export less.")
    if path.suffix not in READABLE:
        raise LabkitError(f"{path.name}: is neither .npz nor .safetensors; export it as one of them.")
    try:
        arrays = (_read_npz if path.suffix == ".npz" else _read_safetensors)(path, limit_bytes)
    except LabkitError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError) as error:
        raise _broken(path, error) from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, MemoryError) as error:
        raise _broken(path, error) from None
    if finite:
        _require_finite(path, arrays)
    return arrays


def _broken(path: Path, error: BaseException) -> LabkitError:
    return LabkitError(f"{path.name}: cannot be read ({type(error).__name__}); export it again.")


def _read_npz(path: Path, limit_bytes: int) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > LIMIT_ARRAYS or sum(member.file_size for member in members) > limit_bytes:
            raise LabkitError(f"{path.name}: unpacks to more than {limit_bytes / 2**20:.0f} MB; export less.")
        for member in members:
            with archive.open(member) as stream:
                arrays[member.filename.removesuffix(".npy")] = _read_npy(path, stream, member.file_size)
    return arrays


def _read_npy(path: Path, stream: Any, size: int) -> np.ndarray:
    """One array of an archive, its header looked at before anything is allocated for it."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError("unknown version")
    shape, by_columns, kind = readers[version](stream)
    if kind.hasobject or kind.kind not in KINDS:
        raise LabkitError(f"{path.name}: holds {kind}, where numbers are wanted; objects are not unpickled here.")
    if any(each < 0 for each in shape) or math.prod(shape) * kind.itemsize > size:
        raise LabkitError(f"{path.name}: says that it holds more than it does; export it again.")
    data = stream.read(math.prod(shape) * kind.itemsize)
    return np.frombuffer(bytearray(data), dtype=kind).reshape(shape, order="F" if by_columns else "C")


def _read_safetensors(path: Path, limit_bytes: int) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            names = list(file.keys())
            if len(names) > LIMIT_ARRAYS:
                raise LabkitError(f"{path.name}: holds more than {LIMIT_ARRAYS:,} arrays; export less.")
            return {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise _broken(path, error) from None


def _require_finite(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        wrong = 0 if array.dtype.kind not in "fc" else int((~np.isfinite(array)).sum())
        if wrong:
            raise LabkitError(
                f"{path.name}: {wrong} of {array.size} values of {name[:60]!r} are not finite; mend what made them."
            )
