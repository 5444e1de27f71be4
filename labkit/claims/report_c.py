"""Claims of report C: CelebA, its balance, an attribute classifier; lab 02."""

import math

from labkit.claims.rules import NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED, Claim, Measured, holds

CELEBA_TRAINING_IMAGES = 162_770


def _balance(m: Measured) -> str:
    """Shares from the mildest to the heaviest imbalance."""
    order = sorted(m["gains"], key=float, reverse=True)
    gains, errors = [m["gains"][share] for share in order], [m["errors"][share] for share in order]
    falls = [
        gain - heavier > 2 * math.hypot(error, next_error)
        for gain, heavier, error, next_error in zip(gains, gains[1:], errors, errors[1:], strict=False)
    ]
    if any(falls) or any(gain < -2 * error for gain, error in zip(gains, errors, strict=True)):
        return NOT_REPRODUCED
    return REPRODUCED if min(gains) > 0 and gains[-1] > 2 * errors[-1] else NEEDS_FULL_DATA


def _inception(m: Measured) -> str:
    if m["start"] != "ImageNet":
        return NEEDS_FULL_DATA
    learnt = m["learnt_share"] >= 0.9 and m["accuracy_gain"] > 0
    if learnt or m["training_images"] >= CELEBA_TRAINING_IMAGES:
        return holds(learnt)
    return NEEDS_FULL_DATA


CLAIMS_C = (
    Claim(
        "C1", "02",
        "a balanced training set classifies better than an imbalanced one, the more so the heavier the imbalance",
        "balanced accuracy falls with the share of positives",
        "gains (balanced accuracy at 50 % positives minus that at each other share, equal training size, means of "
        "paired seeds) are all positive, and the one at the heaviest imbalance exceeds two of its errors (standard "
        "errors over seeds); not reproduced where a gain is negative by two errors, or falls below that of the next "
        "milder imbalance by two joint errors; between the two it stays open. Judged on stand-ins too: it is "
        "about training, not about photographs",
        _balance, ("gains", "errors"), needs_real=False,
    ),
    Claim(
        "C2", "02", "a pretrained Inception v3 with heavy augmentation learns the attributes",
        "better than the majority guess on unseen people",
        "from a start of ImageNet weights (any other start leaves it open): learnt_share ≥ 0.9 of the measurable "
        "attributes have an average precision two standard errors above their prevalence, and accuracy_gain, the "
        "mean accuracy over the majority guess, is positive; a failure leaves it open below the 162,770 "
        "training_images of CelebA",
        _inception, ("start", "learnt_share", "accuracy_gain", "training_images"),
    ),
)  # fmt: skip
