"""What some of the Olivetti people wear, read off the 400 photographs by eye for this course.

The data set has no such labels. Names are CelebA's where it has one. Stubble counts as no beard.
"""

import numpy as np

ATTRIBUTES = ("Eyeglasses", "Beard", "Mustache")
ALWAYS = tuple(range(10))
GLASSES = {  # person → shots, both from 0
    1: ALWAYS,
    3: (0, 1, 2, 7, 8),
    5: ALWAYS,
    6: (3, 4, 9),
    12: (0, 1, 4, 5, 6, 7, 8, 9),
    13: ALWAYS,
    16: (0, 1, 4, 5, 6, 7, 8, 9),
    18: (0, 1, 2, 5, 9),
    19: (0, 1, 2, 4, 6, 7, 8, 9),
    26: ALWAYS,
    27: ALWAYS,
    30: ALWAYS,
    33: ALWAYS,
    35: (8, 9),
    36: ALWAYS,
}
BEARD = (10, 13, 16, 25, 27, 36)  # people; on all of their shots
MUSTACHE = (10, 13, 15, 16, 24, 25, 27, 36)


def olivetti_attributes() -> np.ndarray:
    """bool (400, 3): `ATTRIBUTES` of each image, in the data set's order."""
    labels = np.zeros((40, 10, len(ATTRIBUTES)), bool)
    for person, shots in GLASSES.items():
        labels[person, list(shots), 0] = True
    labels[list(BEARD), :, 1] = True
    labels[list(MUSTACHE), :, 2] = True
    return labels.reshape(400, -1)
