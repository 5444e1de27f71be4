"""The Olivetti faces: 400 grey photographs of 64×64 pixels, 40 people × 10 shots.

Taken at AT&T Laboratories Cambridge between 1992 and 1994 (Samaria and Harter, "Parameterisation of a
stochastic model for human face identification", 1994). The file is the one that
`sklearn.datasets.fetch_olivetti_faces` gets: `olivettifaces.mat` as downloaded, `olivetti_py3.pkz` as cached, or
`olivetti_faces.npy` as Kaggle has it, also in its archive.zip.
"""

import contextlib
import hashlib
import os
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from labkit.data.fetch import fetch, unasked
from labkit.data.given import OLIVETTI_FILES, file_in, first_of, path_for
from labkit.errors import LabkitError
from labkit.faces.faceset import FaceSet, Provenance
from labkit.faces.words import OLIVETTI_ATTRIBUTES, olivetti_attributes
from labkit.files import data_root, sha256, shown, usable_path

NAME = "Olivetti faces"
PEOPLE, SHOTS, SIDE = 40, 10, 64
BRIGHTEST = 242  # the level that scikit-learn's floats have as 1
ADDRESSES = ("https://ndownloader.figshare.com/files/5976027", "https://cs.nyu.edu/~roweis/data/olivettifaces.mat")
MAT_SHA256 = "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794"
PIXELS_SHA256 = "b119468c2f13775df12d3950e7c96644811647a6e10d30617777f245bf9b2f8b"
DOWNLOAD_SECONDS = 15.0


def olivetti(data: str | Path | None = None) -> FaceSet:
    """The Olivetti faces, or a drawn stand-in that says so.

    Sources, in this order: `data` or else `LABKIT_DATA`; the cache (see `data_root`); scikit-learn's own
    cache; the official file and its mirror (15 s at most; not asked when `LABKIT_OFFLINE` is set, or within
    an hour of a slow failure); `synthetic_olivetti()`.

    The images are the file's own bytes, 0 to 242: scikit-learn's floats are exactly `images / 242`.

    Args:
        data: one of the files, a folder that holds one, or a folder whose subfolder `olivetti` does.

    Returns:
        400 grey images (400, 1, 64, 64), identity 0 to 39, ten shots of each person in a row.

    Raises LabkitError: `data` or `LABKIT_DATA` is not the Olivetti faces.
    """
    if given := path_for("olivetti", data):
        return _load(file_in(given, "olivetti", OLIVETTI_FILES))
    cache = data_root() / "olivetti"
    get = partial(fetch, ADDRESSES, MAT_SHA256, cache / "olivettifaces.mat", timeout=DOWNLOAD_SECONDS)
    faces, why = first_of((partial(_from_cache, cache), _from_scikit_learn, lambda: _load(unasked(cache, get))))
    if faces is None:
        from labkit.drawn.shots import synthetic_olivetti

        print(f"These faces are SYNTHETIC, drawn in place of the {NAME}: {why}.")
        return synthetic_olivetti()
    return faces


def olivetti_here() -> FaceSet | None:
    """The photographs, where this machine has them; nothing is downloaded or drawn.

    Raises LabkitError: `LABKIT_DATA` is not the Olivetti faces.
    """
    if given := path_for("olivetti", None):
        return _load(file_in(given, "olivetti", OLIVETTI_FILES))
    return first_of((partial(_from_cache, data_root() / "olivetti"), _from_scikit_learn))[0]


def _from_cache(cache: Path) -> FaceSet:
    path = _find(cache)
    if path is None:
        raise LabkitError(f"nothing in {cache}")
    try:
        return _load(path)
    except LabkitError as error:
        if isinstance(error.__cause__, OSError):  # it may be whole, and others may be able to read it
            raise
        aside = path.with_name(path.name + ".damaged")
        with contextlib.suppress(OSError):
            os.replace(path, aside)
            print(f"{error} It now lies aside as {aside.name}.")
        raise LabkitError(f"{path} was damaged") from error


def _from_scikit_learn() -> FaceSet:
    folder = usable_path(os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data")
    path = _find(folder)
    if path is None:
        raise LabkitError(f"nothing in {folder}")
    return _load(path)


def _find(folder: Path) -> Path | None:
    return next((folder / name for name in OLIVETTI_FILES if os.path.isfile(folder / name)), None)


def _load(path: Path) -> FaceSet:
    """The faces in one of the files, told apart by its ending; LabkitError if it is anything else."""
    readers = {".mat": _read_mat, ".npy": _read_npy, ".zip": _read_npy}
    try:
        pixels = readers.get(path.suffix.lower(), _read_pkz)(path)
    except OSError as error:
        raise LabkitError(f"{shown(path)}: cannot be read ({error.strerror}); check its permissions.") from error
    # The file holds each image column by column.
    images = np.ascontiguousarray(pixels.reshape(-1, 1, SIDE, SIDE).swapaxes(2, 3))
    provenance = Provenance(
        name=NAME,
        real=True,
        source=shown(f"{path.name} in {path.parent}"),
        checksum=hashlib.sha256(images).hexdigest(),
        licence="research; credit AT&T Laboratories Cambridge",
    )
    return FaceSet(
        images,
        provenance,
        identity=np.repeat(np.arange(PEOPLE), SHOTS),
        attributes=olivetti_attributes(),
        attribute_names=OLIVETTI_ATTRIBUTES,
    )


def _read_mat(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    if sha256(path) != MAT_SHA256:
        raise LabkitError(
            f"{shown(path)}: damaged, or not the official olivettifaces.mat (SHA-256 differs); "
            "remove it or download it anew."
        )
    return loadmat(path, variable_names=["faces"])["faces"].T


def _read_pkz(path: Path) -> np.ndarray:
    """The pixels in scikit-learn's cache: a zlib stream of a pickle that ends with them and a stop mark.

    A pickle from a stranger can run any program, so it is never unpickled: the pixels are cut out and known
    by their SHA-256.
    """
    count = PEOPLE * SHOTS * SIDE * SIDE
    unpacker = zlib.decompressobj()
    try:
        with open(path, "rb") as stream:
            content = unpacker.decompress(stream.read(2 * count), 2 * count)
        problem = "is cut short" if not unpacker.eof and len(content) < count else "holds something else"
    except zlib.error:
        content, problem = b"", "is damaged or of another kind"
    pixels = content[-count - 1 : -1]
    _check(path, pixels, f"not scikit-learn's cache of the {NAME} (it {problem})")
    return np.frombuffer(pixels, np.uint8)


def _read_npy(path: Path) -> np.ndarray:
    """The pixels of Kaggle's copy: upright images as floats, levels / 242; alone or in a zip."""
    problem = f"not Kaggle's copy of the {NAME}"
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                info = next(each for each in archive.infolist() if each.filename.endswith("olivetti_faces.npy"))
                if info.file_size > 8 * PEOPLE * SHOTS * SIDE * SIDE + 4096:
                    raise ValueError("too large")
                with archive.open(info) as stream:
                    images = np.lib.format.read_array(stream, allow_pickle=False)
        else:
            images = np.load(path, allow_pickle=False)
        images = images.reshape(PEOPLE * SHOTS, SIDE, SIDE).astype(np.float64)
    except OSError:
        raise
    except Exception as error:  # numpy and zipfile raise errors of many kinds for files that are something else
        raise LabkitError(f"{shown(path)}: {problem}; remove it or download it anew.") from error
    images = np.nan_to_num(images)
    levels = (images * (BRIGHTEST if images.max() <= 1 else 1)).round().clip(0, 255)
    pixels = np.ascontiguousarray(levels.astype(np.uint8).swapaxes(1, 2))
    _check(path, pixels.tobytes(), problem)
    return pixels


def _check(path: Path, pixels: bytes, problem: str) -> None:
    if hashlib.sha256(pixels).hexdigest() != PIXELS_SHA256:
        raise LabkitError(f"{shown(path)}: {problem}; remove it or download it anew.")
