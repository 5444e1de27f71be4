"""Claims of report D that lab 04b puts to the test: sums of latents, and a GAN beside a VAE."""

import math

from labkit.claims import NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED, Claim, Measured, shown_or_open

CELEBA_TRAINING_IMAGES = 162_770


def _arithmetic(m: Measured) -> str:
    arrives = m["arrived_low"] > m["random_high"]
    single = m["others"] <= m["move"] / 2
    return shown_or_open(arrives and single, m["training_images"], CELEBA_TRAINING_IMAGES)


def _overfitting(m: Measured) -> str:
    errors = m["errors"]["gan"], m["errors"]["vae"]
    if not all(math.isfinite(error) for error in errors):
        return NEEDS_FULL_DATA
    apart = m["vae"] - m["gan"]
    joint = math.hypot(*errors)
    if apart > 2 * joint and m["vae"] > 2 * errors[1]:
        return REPRODUCED
    return NOT_REPRODUCED if apart < -2 * joint and m["gan"] > 2 * errors[0] else NEEDS_FULL_DATA


CLAIMS_D_FACES = (
    Claim(
        "D9", "04b", "sums of latents (smiling woman − neutral woman + neutral man) move single attributes",
        "the attribute asked for arrives far more often than by chance, and the others stay",
        "sums of three means of three exemplars each, over all attribute pairs. arrived_low, the lower end of the "
        "95 % Wilson interval of the share in which the target reads as asked, lies above random_high, the upper "
        "end of that with random exemplars in place of the first two groups. Single: others, the mean absolute "
        "movement of a feature not asked for, is at most half of move, the mean movement of the target towards "
        "what was asked, both against the mean of the third group and in standard deviations of the generator's "
        "own images. If not shown, open below the 162,770 training_images of CelebA: a generator that draws no "
        "smile cannot add one",
        _arithmetic, ("arrived_low", "random_high", "others", "move", "training_images"), needs_real=False,
    ),
    Claim(
        "D10", "04b", "GANs overfit less than VAEs, since a generator never sees the images",
        "a VAE's samples lie closer to training images than to unseen ones, a GAN's do not",
        "for either model, gan and vae are the share of samples whose nearest image, among equally many of each, "
        "is a training and not a held-out one, minus one half, the mean over seeds with equal data and equal "
        "seconds. The VAE's exceeds zero and the GAN's by two standard errors (errors, joint for the difference: "
        "the larger of that over seeds and that of the labels dealt out by chance). Not reproduced where the "
        "GAN's exceeds zero and the VAE's in this way. Open where neither overfits in the time that there is, "
        "where they overfit alike within the errors, or with one seed",
        _overfitting, ("gan", "vae", "errors"), needs_real=False,
    ),
)  # fmt: skip
