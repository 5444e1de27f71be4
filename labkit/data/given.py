"""Where a data set is looked for: the path that a user gives, then one place after another."""

import os
import re
import zipfile
from collections.abc import Callable, Iterable
from fnmatch import translate
from pathlib import Path, PurePosixPath
from typing import Any

from labkit.errors import LabkitError
from labkit.files import shown, usable_path

# Of what lies in a closed folder os.path says no here, where pathlib raises PermissionError: data stop no lab.
DSPRITES_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
OLIVETTI_FILES = ("olivetti_py3.pkz", "olivettifaces.mat", "olivetti_faces.npy")
# Data set → how its files and folders are called; its subfolder has the data set's name.
MARKS = {
    "olivetti": (*OLIVETTI_FILES, "*.pkz", "*.mat"),
    "celeba": (
        *("img_align_celeba*", "list_attr_celeba*", "list_eval_partition*", "identity_celeba*", "img", "anno"),
        *("64x64", "64x48", "128x128", "218x178", "faces.npy", "*.jpg", "*.jpeg", "*.png"),
    ),
    "dsprites": (DSPRITES_FILE,),
}


def path_for(data_set: str, data: str | Path | None) -> Path | None:
    """The path that a user names for a data set, `data` or else `LABKIT_DATA`; None where none is meant for it.

    A path that holds only other data sets says nothing about this one. A path that is missing or unknown is meant
    for all: whoever named it must hear that it is wrong.

    Raises LabkitError: a folder that may not be read; and see `usable_path`.
    """
    given = data or os.environ.get("LABKIT_DATA")
    if not given:
        return None
    path = usable_path(given)
    if os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK):
        raise LabkitError(f"{shown(path)}: cannot be looked into (Permission denied); change its permissions.")
    held = {name for name, marks in MARKS.items() if _holds(path, name, marks)}
    return path if data_set in held or not held else None


def file_in(path: Path, data_set: str, names: Iterable[str]) -> Path:
    """The file of a data set at `path`: itself, or the first of `names` in that folder or its subfolder `data_set`.

    Raises LabkitError: there is none.
    """
    if os.path.isfile(path):
        return path
    if not os.path.isdir(path):
        raise LabkitError(f"{shown(path)}: there is no such file or folder; correct the path, or unset LABKIT_DATA.")
    for file in (folder / name for folder in (path, path / data_set) for name in names):
        if os.path.isfile(file):
            return file
    raise LabkitError(
        f"{shown(path)}: holds no {' or '.join(names)}, nor does its subfolder {data_set}; "
        "correct the path, or unset LABKIT_DATA."
    )


def first_of(sources: Iterable[Callable[[], Any]]) -> tuple[Any, str]:
    """What the first source gives that does not fail; else None, and why each failed."""
    reasons = []
    for source in sources:
        try:
            return source(), ""
        except LabkitError as error:
            reasons.append(str(error).rstrip("."))
    return None, "; ".join(reasons)


def _holds(path: Path, data_set: str, marks: tuple[str, ...]) -> bool:
    fits = re.compile("|".join(map(translate, marks))).match
    if os.path.isdir(path):
        places = [place for place in (path, path / data_set) if os.path.isdir(place)]
        names = [name for place in places for name in names_in(place)]
        zips = [place / name for place in places for name in names_in(place) if name.lower().endswith(".zip")]
    else:
        names, zips = [path.name], [path]
    return any(fits(name.lower()) for name in names) or any(
        fits(part.lower()) for archive in zips for entry in _entries(archive) for part in PurePosixPath(entry).parts
    )


def names_in(folder: Path) -> list[str]:
    """What lies in a folder; nothing where it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _entries(path: Path) -> list[str]:
    """The names in a zip: a zip's own name does not tell whose it is."""
    if not os.path.isfile(path):  # a pipe would be waited for
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []
