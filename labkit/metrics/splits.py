"""How alike the parts of a split are, and what they share."""

from typing import TYPE_CHECKING

import numpy as np

from labkit.errors import LabkitError
from labkit.faces.faceset import FaceSet

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "validation", "test")


def prevalence_difference(faces: FaceSet) -> "pd.DataFrame":
    """How frequent each attribute is in the parts, over rows whose attributes are known.

    Returns:
        One row per attribute; columns train, validation and test (shares of 1; NaN for an empty part) and
        difference, the largest minus the smallest of them.

    Raises:
        LabkitError: no attributes.
    """
    import pandas as pd

    if faces.attributes is None:
        raise LabkitError(f"{faces.provenance.name}: there are no attributes to compare.")
    known = faces.labelled
    table = pd.DataFrame(index=list(faces.attribute_names))
    for part, name in enumerate(PARTS):
        rows = faces.attributes[known & (faces.split == part)]
        table[name] = rows.mean(0) if len(rows) else np.nan
    table["difference"] = table.max(axis=1) - table.min(axis=1)
    return table


def shared_people(faces: FaceSet) -> int:
    """How many known people have pictures in more than one part."""
    known = faces.identity >= 0
    pairs = np.unique(np.stack((faces.identity[known], faces.split[known])), axis=1)
    _, parts = np.unique(pairs[0], return_counts=True)
    return int(np.sum(parts > 1))
