"""The claim of report D that lab 04c puts to the test: rare faces are the hard ones."""

import math

from labkit.claims import NEEDS_FULL_DATA, NOT_REPRODUCED, Claim, Measured, shown_or_open

EPOCHS_RARE = 30
SETS = ("imbalanced", "balanced", "reversed")


def _rare(m: Measured) -> str:
    gap, error = ({name: float(m[key][name]) for name in SETS} for key in ("gap", "errors"))
    if not all(math.isfinite(value) for value in (*gap.values(), *error.values())):
        return NEEDS_FULL_DATA
    if not (m["reader_light"] >= 0.9 and m["reader_dark"] >= 0.9):
        return NEEDS_FULL_DATA
    harder = gap["imbalanced"] > 2 * error["imbalanced"]
    apart = 2 * math.hypot(error["imbalanced"], error["balanced"])
    shrinks = gap["balanced"] <= gap["imbalanced"] / 2 and gap["imbalanced"] - gap["balanced"] > apart
    turns = gap["reversed"] < -2 * error["reversed"]
    if gap["imbalanced"] < -2 * error["imbalanced"]:
        return NOT_REPRODUCED
    return shown_or_open(harder and shrinks and turns, m["epochs"], EPOCHS_RARE)


CLAIMS_D_RARE: tuple[Claim, ...] = (
    Claim(
        "D7", "04c", "dark-skinned faces are harder to generate, because they are rare in the data",
        "harder where they are rare, much less so where they are not, and light ones harder where those are rare",
        "gap: the Fréchet distance in the oracle's features of generated dark faces to real dark ones less that of "
        "light to light, each less the distance between two real samples, equal counts, mean over seeds. Harder: "
        "above zero by two standard errors over seeds (errors) in the set of 80 % light and 10 % dark faces. Because "
        "rare: in the balanced set of the same size it is at most half as large, and smaller by two joint standard "
        "errors; and in the reversed set, 10 % light and 80 % dark, below zero by two. It counts only if the oracle "
        "puts 90 % of real light and of real dark faces in their group (reader_light, reader_dark): open otherwise, "
        "and where a gap or an error is not known, as with one seed or where too few dark faces were drawn. If dark "
        "faces are easier in the first set by two standard errors it is not reproduced; if merely not shown, open "
        "below 30 epochs",
        _rare, ("gap", "errors", "reader_light", "reader_dark", "epochs"), needs_real=False,
    ),
)  # fmt: skip
