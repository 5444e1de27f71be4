"""CelebA: 202,599 aligned photographs of 10,177 people with 40 attributes, or drawn faces in their place.

Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015. Photographs are used as prepared
once (`labkit data celeba`, or here where a path is given); nothing of 1.4 GB is downloaded unasked.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labkit.data.celeba.download import download_celeba
from labkit.data.celeba.listing import ANNOTATIONS
from labkit.data.celeba.prepare import REPORT, prepare, prepared_report, read_table
from labkit.data.celeba.source import Source, open_source
from labkit.data.given import path_for
from labkit.drawn.portraits import synthetic_celeba
from labkit.errors import LabkitError
from labkit.faces.faceset import TEST, TRAIN, VALIDATION, FaceSet, Provenance
from labkit.faces.words import ATTRIBUTES, parse_size
from labkit.files import data_root, sha256

NAME = "CelebA"
LICENCE = "non-commercial research only, © the photographers; Multimedia Laboratory, CUHK"
PEOPLE = "people"
LEAST_LABELLED = 100  # photographs that a lab needs labels of, and of each side of an attribute:
LEAST_SIDE = 10
LEAST_PEOPLE = 16
PATIENCE_SECONDS = 900.0  # two labs may meet the same folder of JPEGs at once: the second waits for the first


def celeba(
    data: str | Path | None = None,
    *,
    size: str = "64",
    synthetic_n: int = 4000,
    needs: Sequence[str] = (),
    device: torch.device | str = "cpu",
) -> FaceSet:
    """CelebA as a memory-mapped array, or drawn faces with the same attribute names that say so.

    Sources, in this order: `data` or else `LABKIT_DATA`, prepared or not (what is not is prepared into the cache
    at once, and anew where its images or tables are others than before); the cache; `synthetic_celeba(synthetic_n)`.
    Photographs without the labels that a lab needs are passed over with a sentence that says what they lack.

    Args:
        data: a folder or zip of CelebA in any layout, a prepared folder, or a folder with either as celeba/.
        size: "64", "64x48" (height × width), "128" or "218x178".
        synthetic_n: faces of the stand-in.
        needs: attributes that the labels must tell apart, and "people" where identities must be known.
        device: where the stand-in is drawn.

    Returns:
        FaceSet with uint8 images (N, 3, H, W), the official split (and see `all_parts`), identities (−1 unknown),
        and all 40 attributes with a mask of the rows that are known; the stand-in has factors and fewer attributes.

    Raises LabkitError: a path was given and is not there or is something else.
    """
    height, width = parse_size(size)
    name, cache = f"{height}x{width}", data_root() / "celeba"
    found = None
    if path := path_for("celeba", data):
        path = _home(path)
        places = (path, path / "celeba")
        place = next((place for place in places if prepared_report(place, name) is not None), None)
        if place is None:
            source = _open(path / "celeba" if os.path.isdir(path / "celeba") else path, places, name)
            report = prepare(source, height, width, cache, patience=PATIENCE_SECONDS)
            if "decoded" in report:  # a label that is lost is said once
                print("\n".join(_understood(report)))
        found = load_prepared((place or cache) / name)
    elif prepared_report(cache, name) is not None:
        found = load_prepared(cache / name)
    elif os.path.isdir(cache / name):
        said = "is a prepared set that is not whole, or that you may not read, so it is left out"
        print(f"{cache / name}: {said}; run labkit data celeba again, or change its permissions.")
    lacking = "" if found is None else lacks(found, needs)
    if found is not None and not lacking:
        return all_parts(found)
    drawn = synthetic_celeba(synthetic_n, size=size, device=device)
    if not lacking:
        return drawn
    print(
        f"Your {len(found):,} photographs have {lacking}, which this lab needs: faces are DRAWN in their place. To "
        "use them, put list_attr_celeba.txt and identity_CelebA.txt of CelebA beside the images (see data/README.md)."
    )
    source = f"{drawn.provenance.source}; the photographs have {lacking}"
    return replace(drawn, provenance=replace(drawn.provenance, source=source))


def _home(path: Path) -> Path:
    """The folder of prepared sizes for a path to one of them, or to a file in it; any other path as it is."""
    return next((each.parent for each in (path, path.parent) if os.path.isfile(each / REPORT)), path)


def _open(path: Path, places: Sequence[Path], name: str) -> Source:
    """`open_source`, which knows a folder that labkit itself has prepared."""
    try:
        return open_source(path)
    except LabkitError as error:
        if (place := next((each for each in places if os.path.isfile(each / name / REPORT)), None)) is None:
            if sizes := sorted(file.parent.name for each in places for file in each.glob(f"*/{REPORT}")):
                said = (
                    f"holds CelebA prepared as {' and '.join(sizes)}, not as {name}; give the photographs themselves"
                )
                raise LabkitError(f"{path}: {said}, labkit data celeba --from PATH --size {name}.") from error
            raise
        said = "is a prepared set that is not whole; copy it anew, or prepare it from the photographs"
        if prepared_report(place, name) is not None:
            said = "is prepared already; name its folder by --data or LABKIT_DATA when you run a lab"
        raise LabkitError(f"{place / name}: {said}.") from error


def lacks(faces: FaceSet, needs: Sequence[str]) -> str:
    """What a lab that `needs` these attributes, and "people", misses in the faces, in words; empty if nothing.

    Enough means 100 labelled faces, 10 with and 10 without each attribute, of 16 known people.
    """
    if not needs:
        return ""
    known = faces.labelled & (faces.identity >= 0) if PEOPLE in needs else faces.labelled
    if (count := int(faces.labelled.sum())) < LEAST_LABELLED:
        return f"labels for {count:,} images"
    if PEOPLE in needs and (people := len(np.unique(faces.identity[known]))) < LEAST_PEOPLE:
        return f"{people:,} known people among the labelled images"
    for name in (each for each in needs if each != PEOPLE):
        has = faces.attributes[known, faces.attribute_names.index(name)]
        if min(has.sum(), (~has).sum()) < LEAST_SIDE:
            return f"{has.sum():,} labelled images with {name} and {(~has).sum():,} without"
    return ""


def all_parts(faces: FaceSet) -> FaceSet:
    """The faces, with images to train on, to validate and to test on, and a sentence where the kit chose them.

    Part of CelebA, as its first 10,000 images, may lie wholly in one part of the official split. Where there is
    nothing for a part, it gets a tenth of the people of the training part, of few people a hundred, but no more
    than a quarter: at random, and the same ones each time. An image of an unknown person counts as a person.
    """
    split, made = faces.split.copy(), []
    if not (split == TRAIN).any():
        split[:] = TRAIN
    person = np.where(faces.identity >= 0, faces.identity, -1 - np.arange(len(faces)))
    for part, name in ((TEST, "testing"), (VALIDATION, "validation")):
        if not (split == part).any():
            people = np.random.default_rng(part).permutation(np.unique(person[split == TRAIN]))
            count = min(max(len(people) // 10, 100), len(people) // 4)
            split[(split == TRAIN) & np.isin(person, people[:count])] = part
            made.append(name)
    if not made:
        return faces
    said = f"no image is marked for {' or '.join(made)}: the kit chose people for each"
    print(f"Your {len(faces):,} photographs: {said} (a list_eval_partition.txt that marks some decides otherwise).")
    origin = faces.provenance
    return replace(faces, split=split, provenance=replace(origin, source=f"{origin.source}; {said}"))


def load_prepared(place: Path) -> FaceSet:
    """The faces of a prepared size, their pixels left on disk until they are read.

    Raises LabkitError: array and table do not fit together.
    """
    report = prepared_report(place.parent, place.name)
    remedy = "delete that folder and prepare anew."
    try:
        images, table = np.lib.format.open_memmap(place / "faces.npy", "r"), read_table(place)
        values = table[list(ATTRIBUTES)].to_numpy(np.int8)
        about = {name: table[name].to_numpy() for name in ("identity", "split")}
    except (OSError, ValueError, KeyError) as error:
        said = " ".join(str(error).split())[:100]
        raise LabkitError(f"{place}: its images or labels cannot be read ({said}); {remedy}") from error
    if report is not None and sha256(place / "labels.csv") != report["labels sha256"]:
        raise LabkitError(f"{place}: its labels.csv was changed after it had been prepared; {remedy}")
    if report is None or len(table) != len(images):
        raise LabkitError(f"{place}: {len(images):,} images but {len(table):,} rows of labels; {remedy}")
    if images.dtype != np.uint8 or images.shape[1:] != (3, *map(int, place.name.split("x"))):
        raise LabkitError(f"{place}: holds {images.dtype} {images.shape}, not images of that size; {remedy}")
    return FaceSet(
        images,
        Provenance(NAME, True, report["source"], _checksum(report), LICENCE, dropped=dict(report["dropped"])),
        **about,
        attributes=values == 1,
        attribute_names=ATTRIBUTES,
        attributes_known=(values >= 0).all(1),
    )


def _checksum(report: dict[str, Any]) -> str:
    """Of pictures and labels: what was trained with other labels must not be taken up again."""
    return hashlib.sha256(f"{report['sha256']} {report['labels sha256']}".encode()).hexdigest()


def prepare_celeba(source: Path | None, download: str | None, size: str) -> str:
    """`labkit data celeba`: prepare one size into the cache; what was done and understood, for a reader.

    Raises LabkitError: neither or both of source and download; all that `open_source`, `download_celeba` and
        `prepare` raise.
    """
    height, width = parse_size(size)
    folder = data_root() / "celeba"
    if (source is None) == (download is None):
        raise LabkitError("labkit data celeba: give either --from PATH or --download gdrive|kaggle.")
    if download is not None:
        source = download_celeba(download, folder / "download")
    source = _home(source)
    opened = _open(source, (source, source / "celeba"), f"{height}x{width}")
    report = prepare(opened, height, width, folder)
    lines = [f"CelebA {height}x{width}: {report['images']:,} images, {report['with attributes']:,} with attributes"]
    if decoded := report.get("decoded"):
        rate = decoded / report["seconds"]
        lines[0] += f"; {decoded:,} decoded in {report['seconds']:.1f} s, {rate:,.0f} a second"
    place = folder / f"{height}x{width}"
    return "\n".join(
        [
            *lines,
            *_understood(report),
            f"  {place / 'faces.npy'}",
            f"  every file left out and why: {place / 'report.json'}",
        ]
    )


def _understood(report: dict[str, Any]) -> list[str]:
    """What each table was taken for, and what was left out."""
    lines = [f"  {kind}: {report['columns'].get(kind, 'no table')}" for kind in ANNOTATIONS]
    lines += [f"  left out: {count:,} × {why}" for why, count in report["dropped"].items()]
    return lines + [f"  labels: {count:,} × {what}" for what, count in report["labels"].items()]
