"""Claims of report E: an instance-norm VAE of 64×48 faces, its KL weight and its latent size; lab 03a."""

import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED, Claim, Measured, holds

CELEBA_TRAINING_IMAGES = 162_770
SIZE_E = [64, 48]
BEST_E, DEFORMED_E = "1e-05", "1e-06"
LATENTS_E, OTHERS_E = "64", ("32", "128")
LEARNT = 0.5  # of the variation of unseen faces; a model of less says nothing about faces


def _frontal(m: Measured) -> str:
    """A spread of yaw that cannot be read (NaN, on photographs) is not asked for."""
    if not m["explained"] >= LEARNT:
        return NEEDS_FULL_DATA
    frontal = m["odd_share"] <= 0.5 and not m["yaw_spread"] > 0.5
    still = m["change"] <= 0.5
    return REPRODUCED if frontal and still else CORRECTED if frontal or still else NOT_REPRODUCED


def _above(m: Measured, name: str, other: str, low: str, high: str) -> bool:
    """Whether m[name][high] exceeds m[name][low] by two joint errors."""
    return m[name][high] - m[name][low] > 2 * math.hypot(m[other][low], m[other][high])


def _best_weight(m: Measured) -> str:
    others = [weight for weight in m["distance"] if weight != BEST_E]
    if all(_above(m, "distance", "errors", BEST_E, weight) for weight in others):
        return REPRODUCED
    if m["training_images"] < CELEBA_TRAINING_IMAGES:
        return NEEDS_FULL_DATA
    return CORRECTED if _above(m, "distance", "errors", BEST_E, DEFORMED_E) else NOT_REPRODUCED


def _glasses(m: Measured) -> str:
    if not m["explained"] >= LEARNT:
        return NEEDS_FULL_DATA
    smooth = max(m["largest_step"].values()) <= 2
    harder = min(m["penalty"].values()) > 1
    if not (smooth and harder):
        return NOT_REPRODUCED
    visible = min(m["penalty"][size] for size in OTHERS_E) >= 1.1 * m["penalty"][LATENTS_E]
    by_size = visible and all(_above(m, "penalty", "spread", LATENTS_E, size) for size in OTHERS_E)
    return REPRODUCED if by_size else CORRECTED


def _added_constant(m: Measured) -> str:
    return holds(m["gradient_difference"] > 0 and m["moved"] > 0)


def _decoder_size(m: Measured) -> str:
    if list(m["tabulated"]) == SIZE_E:
        return REPRODUCED
    return CORRECTED if list(m["mirrored"]) == SIZE_E else NOT_REPRODUCED


CLAIMS_E = (
    Claim(
        "E1", "03a", "λ = 1e-3 gives symmetric, frontal faces that interpolation hardly changes",
        "half of what real faces have, or less, of each",
        "symmetric and frontal: odd_share (what mirroring turns round, as a share of the variation of samples) at "
        "most half of that of real faces, and yaw_spread, where the oracle can read it, at most half too; hardly "
        "changes: change (between the ends of a walk between two unseen faces) at most half of what two such faces "
        "differ by. Corrected if one of the two holds without the other; open where at λ = 1e-5 less than half of "
        "the variation of unseen faces is explained",
        _frontal, ("explained", "odd_share", "yaw_spread", "change"), needs_real=False,
    ),
    Claim(
        "E2", "03a", "λ = 1e-5 is the best of four; 1e-6 deforms",
        "the smallest Fréchet distance of samples at 1e-5",
        "distance of samples from unseen faces (Fréchet, mean over seeds) is smallest at 1e-05, by two joint errors "
        "(standard errors over seeds) from each other weight. Anything else leaves it open below the 162,770 "
        "training_images of CelebA, since the best weight moves with what the decoder has learnt; from there on it "
        "is corrected if 1e-06 at least is worse than 1e-05 by two joint errors, else not reproduced",
        _best_weight, ("distance", "errors", "training_images"), needs_real=False,
    ),
    Claim(
        "E3", "03a", "latents of 32 or 128 at λ = 1e-5 deform faces with glasses; interpolation stays smooth",
        "glasses cost more at 32 and 128 than at 64; no jump",
        "largest_step of walks is at most 2 mean steps at each size, and penalty (error around the eyes of faces "
        "with glasses, as a multiple of that of faces without) is larger at 32 and at 128 than at 64, by two joint "
        "errors (spread: standard errors over seeds) and by a tenth, since deformed is what can be seen (the tenth "
        "was added after a run in which 4 and 7 % exceeded the errors of two seeds). Corrected if glasses cost more "
        "than no glasses (penalty > 1) at each size, but not more at those two; open where less than half of the "
        "variation of unseen faces is explained",
        _glasses, ("explained", "penalty", "spread", "largest_step"), needs_real=False,
    ),
    Claim(
        "E4", "03a", "adding 1 to the KL term moves z to the centre",
        "other gradients, and smaller posterior means",
        "a gradient differs (gradient_difference, the largest of all, above 0), and after training with and without "
        "the 1 posterior means have moved towards 0 (moved > 0, in root mean square)",
        _added_constant, ("gradient_difference", "moved"), needs_real=False,
    ),
    Claim(
        "E5", "03a", "the decoder as tabulated produces 64×48 images", "64×48",
        "tabulated, the height and width that the printed strides end at, is 64×48; corrected if mirrored, the "
        "decoder with the encoder's strides, is",
        _decoder_size, ("tabulated", "mirrored"), needs_real=False,
    ),
)  # fmt: skip
