"""Claims of report C: CelebA, its balance, an attribute classifier (lab 02), and a conditional VAE (lab 03c)."""

import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED, Claim, Measured, holds

CELEBA_TRAINING_IMAGES = 162_770
SOUGHT = 5  # features that the report names
SEVERAL = 3  # latents, and of the five features
EPOCHS = 10  # below, a VAE may not have learnt yet what it would


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


def _meaning(m: Measured) -> str:
    """An error that is not known (NaN, with one seed) leaves it open."""
    if m["meaningful"] >= SEVERAL and m["found"] >= SEVERAL:
        beyond = m["meaningful"] - m["by_chance"]
        return NEEDS_FULL_DATA if math.isnan(m["error"]) else REPRODUCED if beyond > 2 * m["error"] else CORRECTED
    return NEEDS_FULL_DATA if m["epochs"] < EPOCHS or m["readable"] < SOUGHT else NOT_REPRODUCED


def _entangled(m: Measured) -> str:
    if m["epochs"] < EPOCHS or not m["control"] >= 0.75 or math.isnan(m["error"]):
        return NEEDS_FULL_DATA
    if m["alone"] >= 0.5:
        return NOT_REPRODUCED
    return CORRECTED if m["margin"] - m["rotated"] > 2 * m["error"] else REPRODUCED


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
    Claim(
        "C3", "03c",
        "several of a conditional VAE's 64 latents have a meaning (hair colour, bangs, rotation, hair thickness, "
        "face width)",
        "three latents or more with one thing to say, three of the five features among them",
        "meaningful (latents that, moved from −2 to 2, move one factor by a standard deviation or more, and half as"
        " far again as any other; mean over seeds) and found (those of the five features that such a latent moves, "
        "in half of the models or more) are both at least 3, and meaningful exceeds by_chance, the same of as many "
        "random directions in the same latent space, by two standard errors (error, of the paired difference over "
        "seeds). Corrected where random directions say as much: then it is no merit of the latents. Fewer than 3 "
        "leave it open below 10 epochs, and where not all five are readable; one seed leaves it open",
        _meaning, ("meaningful", "by_chance", "error", "found", "readable", "epochs"), needs_real=False,
    ),
    Claim(
        "C4", "03c", "a plain VAE does not disentangle",
        "most latents move several factors, as random directions do",
        "alone (share of the active latents that move one factor at least twice as far as any other, mean over "
        "seeds) is below 0.5, and margin, (first − second) / first of the factors that a latent moves, does not "
        "exceed rotated, that of random directions in the same latent space, by two standard errors (error, of the "
        "paired difference over seeds). In each a latent weighs as much as it moves its first factor. Corrected "
        "where margin does: mixed, but not at random. Open below 10 epochs, with one seed, and where the reader "
        "cannot tell: control, alone when truly one factor is moved, must be at least 0.75",
        _entangled, ("alone", "margin", "rotated", "error", "control", "epochs"), needs_real=False,
    ),
)  # fmt: skip
