"""What the data sets call things: CelebA's attributes and sizes, and what some of the Olivetti people wear."""

import numpy as np

from labkit.errors import LabkitError

# Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015; the order of list_attr_celeba.txt.
ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
SIZES: dict[str, tuple[int, int]] = {"64": (64, 64), "64x48": (64, 48), "128": (128, 128), "218x178": (218, 178)}
# Read off the 400 photographs by eye for this course; the data set has no labels. Stubble counts as no beard.
OLIVETTI_ATTRIBUTES = ("Eyeglasses", "Beard", "Mustache")
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


def parse_size(word: str) -> tuple[int, int]:
    """(height, width) in pixels of a size word: "64", "64x48" (height × width), "128" or "218x178".

    Raises LabkitError: any other word.
    """
    if str(word) not in SIZES:
        raise LabkitError(f"size: {word!r} is not a size of CelebA here; choose one of {', '.join(SIZES)}.")
    return SIZES[str(word)]


def olivetti_attributes() -> np.ndarray:
    """bool (400, 3): `OLIVETTI_ATTRIBUTES` of each image, in the data set's order."""
    labels = np.zeros((40, 10, len(OLIVETTI_ATTRIBUTES)), bool)
    for person, shots in GLASSES.items():
        labels[person, list(shots), 0] = True
    labels[list(BEARD), :, 1] = True
    labels[list(MUSTACHE), :, 2] = True
    return labels.reshape(400, -1)
