"""The Olivetti faces: 400 grey photographs of 64×64 pixels, 40 people × 10 shots.

Taken at AT&T Laboratories Cambridge between 1992 and 1994 (Samaria and Harter, "Parameterisation of a
stochastic model for human face identification", 1994). The file is the one that
`sklearn.datasets.fetch_olivetti_faces` gets, in either of the two forms it has there: `olivettifaces.mat` as
downloaded, `olivetti_py3.pkz` as cached.
"""

import contextlib
import hashlib
import os
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from labkit.data.fetch import fetch
from labkit.data.given import concerns
from labkit.data.retry import unasked_download
from labkit.errors import LabkitError
from labkit.faces.faceset import FaceSet, Provenance
from labkit.faces.olivetti_labels import ATTRIBUTES, olivetti_attributes
from labkit.files import data_root, sha256

NAME = "Olivetti faces"
PEOPLE, SHOTS, SIDE = 40, 10, 64
ADDRESSES = (
    "https://ndownloader.figshare.com/files/5976027",
    "https://cs.nyu.edu/~roweis/data/olivettifaces.mat",
)
MAT_SHA256 = "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794"
PIXELS_SHA256 = "b119468c2f13775df12d3950e7c96644811647a6e10d30617777f245bf9b2f8b"
FILE_NAMES = ("olivetti_py3.pkz", "olivettifaces.mat")
DOWNLOAD_SECONDS = 15.0


def olivetti(data: str | Path | None = None, *, download: bool = True, synthetic_ok: bool = True) -> FaceSet:
    """The Olivetti faces, or a drawn stand-in that says so.

    Sources, in this order: `data` or else `LABKIT_DATA`; the cache (see `data_root`); scikit-learn's own
    cache; the official file and its mirror (15 s at most; not asked when `LABKIT_OFFLINE` is set, or within
    an hour of a slow failure); `synthetic_olivetti()`.

    The images are the file's own bytes, 0 to 242: scikit-learn's floats are exactly `images / 242`, those of
    `FaceSet.floats` are `images / 255`.

    Args:
        data: one of the two files, a folder that holds one, or a folder whose subfolder `olivetti` does.
        download: ask the network.
        synthetic_ok: draw the stand-in when there is no real source.

    Returns:
        400 grey images (400, 1, 64, 64), identity 0 to 39, ten shots of each person in a row.

    Raises:
        LabkitError: `data` or `LABKIT_DATA` is not the Olivetti faces, or there is no source and
            `synthetic_ok` is false.
    """
    given = data or os.environ.get("LABKIT_DATA")
    if given and concerns(Path(given).expanduser(), "olivetti"):
        return _load(_path_given(Path(given).expanduser()))
    cache = data_root() / "olivetti"
    reasons: list[str] = []
    for source in (_from_cache, _from_scikit_learn, _from_network if download else _from_nowhere):
        try:
            return source(cache)
        except LabkitError as error:
            reasons.append(str(error).rstrip("."))
    if not synthetic_ok:
        raise LabkitError(f"{NAME}: no source of the real ones ({'; '.join(reasons)}).")
    from labkit.drawn.shots import synthetic_olivetti

    print(f"These faces are SYNTHETIC, drawn in place of the {NAME}: {'; '.join(reasons)}.")
    return synthetic_olivetti()


def _from_cache(cache: Path) -> FaceSet:
    path = _find(cache)
    if path is None:
        raise LabkitError(f"nothing in {cache}")
    try:
        return _load(path)
    except LabkitError as error:
        aside = path.with_name(path.name + ".damaged")
        with contextlib.suppress(OSError):
            os.replace(path, aside)
            print(f"{error} It now lies aside as {aside.name}.")
        raise LabkitError(f"{path} was damaged") from error


def _from_scikit_learn(cache: Path) -> FaceSet:
    folder = Path(os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data").expanduser()
    path = _find(folder)
    if path is None:
        raise LabkitError(f"nothing in {folder}")
    return _load(path)


def _from_network(cache: Path) -> FaceSet:
    get = partial(fetch, ADDRESSES, MAT_SHA256, cache / "olivettifaces.mat", timeout=DOWNLOAD_SECONDS)
    return _load(unasked_download(cache, get))


def _from_nowhere(cache: Path) -> FaceSet:
    raise LabkitError("no download, since none was asked for")


def _path_given(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise LabkitError(f"{path}: there is no such file or folder; correct the path, or unset LABKIT_DATA.")
    found = _find(path) or _find(path / "olivetti")
    if found is None:
        raise LabkitError(
            f"{path}: holds neither {' nor '.join(FILE_NAMES)}, nor does its subfolder olivetti; "
            "correct the path, or unset LABKIT_DATA."
        )
    return found


def _find(folder: Path) -> Path | None:
    return next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)


def _load(path: Path) -> FaceSet:
    """The faces in one of the two files; LabkitError if it is anything else."""
    try:
        pixels = _read_mat(path) if path.suffix == ".mat" else _read_pkz(path)
    except OSError as error:
        raise LabkitError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from error
    # The file holds each image column by column.
    images = np.ascontiguousarray(pixels.reshape(-1, 1, SIDE, SIDE).swapaxes(2, 3))
    provenance = Provenance(
        name=NAME,
        real=True,
        source=f"{path.name} in {path.parent}",
        checksum=hashlib.sha256(images).hexdigest(),
        licence="research; credit AT&T Laboratories Cambridge",
    )
    return FaceSet(
        images,
        provenance,
        identity=np.repeat(np.arange(PEOPLE), SHOTS),
        attributes=olivetti_attributes(),
        attribute_names=ATTRIBUTES,
    )


def _read_mat(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    if sha256(path) != MAT_SHA256:
        raise LabkitError(
            f"{path}: damaged, or not the official olivettifaces.mat (SHA-256 differs); "
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
    if hashlib.sha256(pixels).hexdigest() != PIXELS_SHA256:
        raise LabkitError(
            f"{path}: not scikit-learn's cache of the {NAME} (it {problem}); remove it or download it anew."
        )
    return np.frombuffer(pixels, np.uint8)
