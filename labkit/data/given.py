"""The place of real data that a user names: for which data sets it is meant."""

from pathlib import Path

# Data set → how its files and folders are called; its subfolder has the data set's name.
MARKS = {
    "olivetti": ("olivetti_py3.pkz", "olivettifaces.mat", "*.pkz", "*.mat"),
    "celeba": (
        "img_align_celeba*",
        "list_attr_celeba*",
        "list_eval_partition*",
        "identity_CelebA*",
        "report-*x*.json",
        "archive.zip",
        "*.zip",
    ),
    "dsprites": ("dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",),
}


def concerns(path: Path, data_set: str) -> bool:
    """Whether a path is meant for a data set: it holds that one, or nothing that the kit knows.

    A path that holds only other data sets says nothing about this one. A path that is missing or unknown is meant
    for all: whoever named it must hear that it is wrong.

    Args:
        path: as the user gave it.
        data_set: "olivetti", "celeba" or "dsprites".
    """
    held = {name for name, marks in MARKS.items() if _holds(path, name, marks)}
    return data_set in held or not held


def _holds(path: Path, name: str, marks: tuple[str, ...]) -> bool:
    if path.is_file():
        return any(path.match(mark) for mark in marks)
    if not path.is_dir():
        return False
    places = [path, path / name] if (path / name).is_dir() else [path]
    return any(next(place.glob(mark), None) is not None for place in places for mark in marks)
