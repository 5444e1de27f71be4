"""What names the cells of lab 02's nets: the kit keeps what they say, and a later run reads it again."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from labkit.course.run.labs import list_labs, read_notebook
from labkit.faces import TEST, TRAIN, FaceSet, Provenance
from labkit.fit import cell_name

SIZES = ("many", "train", "test", "views", "head_epochs", "thaw", "thaw_epochs", "batch", "rate")
SPLITS = ([0, 0, 0, 1, 2, 2], [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2])


def names_of(faces):
    """What the notebook calls the cells of its two starts."""
    (lab,) = (each for each in list_labs() if each.number == "02")
    (source,) = (each["source"] for each in read_notebook(lab.path)["cells"] if each["id"] == "cell-37")
    space = {"faces": faces, "TRAIN": TRAIN, "TEST": TEST, "choice": "by person (yours)", "inception": None}
    space |= {"size": SimpleNamespace(**dict.fromkeys(SIZES, 1)), "run": SimpleNamespace(folder=Path(), seed=0)}
    space |= {"classifier": SimpleNamespace(EfficientNetLite0=SimpleNamespace(name="a net"))}
    named = []
    space["grid_sweep"] = lambda configs, *_, **__: named.extend(map(cell_name, configs))
    exec(source, space)
    return named


def test_other_faces_and_another_split_have_other_cells():
    """A corrected split must not be judged by what the nets of a leaky one said."""
    images, names = np.zeros((6, 3, 4, 4), np.uint8), set()
    for checksum in ("one", "another"):
        for split in SPLITS:
            origin = Provenance("CelebA", True, "a file", checksum)
            names |= set(names_of(FaceSet(images, origin, split=np.array(split, np.int8))))
    assert len(names) == 2 * 2 * len(SPLITS)
