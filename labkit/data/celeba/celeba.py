"""CelebA: 202,599 aligned photographs of 10,177 people with 40 attributes, or drawn faces in their place.

Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015. Photographs are used as prepared
once (`labkit data celeba`, or here where a path is given); nothing of 1.4 GB is downloaded unasked.
"""

import os
from pathlib import Path

import numpy as np
import torch

from labkit.data.celeba.prepare import prepare
from labkit.data.celeba.shelf import Job, prepared_report, read_table
from labkit.data.celeba.source import open_source
from labkit.data.given import concerns
from labkit.drawn.portraits import synthetic_celeba
from labkit.errors import LabkitError
from labkit.faces.faceset import FaceSet, Provenance
from labkit.faces.size import parse_size
from labkit.faces.words import ATTRIBUTES
from labkit.files import data_root

NAME = "CelebA"
LICENCE = "non-commercial research only, © the photographers; Multimedia Laboratory, CUHK"
PATIENCE_SECONDS = 900.0  # two labs may meet the same folder of JPEGs at once: the second waits for the first


def celeba(
    data: str | Path | None = None,
    *,
    size: str = "64",
    synthetic_n: int = 4000,
    seed: int = 0,
    synthetic_ok: bool = True,
    device: torch.device | str = "cpu",
) -> FaceSet:
    """CelebA as a memory-mapped array, or drawn faces with the same attribute names that say so.

    Sources, in this order: `data` or else `LABKIT_DATA`, prepared or not (what is not is prepared into the cache
    at once); the cache; `synthetic_celeba(synthetic_n)`.

    Args:
        data: a folder or zip of CelebA in any layout, a prepared folder, or a folder with either as celeba/.
        size: "64", "64x48" (height × width), "128" or "218x178".
        synthetic_n: faces of the stand-in.
        seed: of the stand-in.
        synthetic_ok: False raises where there are no photographs.
        device: where the stand-in is drawn.

    Returns:
        FaceSet with uint8 images (N, 3, H, W), the official split, identities (−1 unknown), and all 40 attributes
        with a mask of the rows that are known; the stand-in has factors and fewer attributes.

    Raises:
        LabkitError: a path was given and is not there or is something else; or no photographs and not synthetic_ok.
    """
    height, width = parse_size(size)
    given = data or os.environ.get("LABKIT_DATA")
    folder = None
    if given and concerns(Path(given).expanduser(), "celeba"):
        folder = _given_folder(Path(given).expanduser(), height, width)
    cache = data_root() / "celeba"
    if folder is None and prepared_report(cache, f"{height}x{width}") is not None:
        folder = cache
    if folder is not None:
        return load_prepared(folder, height, width)
    if not synthetic_ok:
        raise LabkitError(
            f"{cache}: holds no CelebA of size {height}x{width}; run: labkit data celeba --from PATH --size {size}."
        )
    return synthetic_celeba(synthetic_n, size=size, seed=seed, device=device)


def load_prepared(folder: Path, height: int, width: int) -> FaceSet:
    """The faces of a prepared folder, their pixels left on disk until they are read.

    Raises:
        LabkitError: that size is not prepared there, or array and table do not fit together.
    """
    report = prepared_report(folder, f"{height}x{width}")
    if report is None:
        raise LabkitError(f"{folder}: size {height}x{width} is not prepared there; run labkit data celeba.")
    images = np.load(folder / f"faces-{height}x{width}.npy", mmap_mode="r")
    table = read_table(folder)
    if len(table) != len(images):
        raise LabkitError(
            f"{folder}: {len(images):,} images but {len(table):,} rows of labels; prepare anew with --replace."
        )
    values = table[list(ATTRIBUTES)].to_numpy(np.int8)
    return FaceSet(
        images,
        Provenance(NAME, True, report["source"], report["sha256"], LICENCE, dropped=dict(report["dropped"])),
        identity=table["identity"].to_numpy(),
        split=table["split"].to_numpy(),
        attributes=values == 1,
        attribute_names=ATTRIBUTES,
        attributes_known=(values >= 0).all(1),
    )


def _given_folder(path: Path, height: int, width: int) -> Path:
    """The prepared folder that a path given by the user leads to, prepared now if need be."""
    size = f"{height}x{width}"
    for place in (path, path / "celeba"):
        if prepared_report(place, size) is not None:
            return place
    source = open_source(path / "celeba" if (path / "celeba").is_dir() else path)
    job = Job(source, height, width, data_root() / "celeba")
    prepare(job, patience=PATIENCE_SECONDS)
    return job.folder
