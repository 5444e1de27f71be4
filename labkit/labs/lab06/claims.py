"""The claim of report C's plan that lab 06 puts to the test: depthwise convolutions and a hierarchy of latents."""

import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED, Claim, Measured

CELEBA_TRAINING_IMAGES = 162_770


def _beats(m: Measured, rival: str) -> bool:
    """Fewer bits than the rival by more than two joint standard errors over seeds; False where one is not known."""
    error = math.hypot(m["bits_errors"]["hierarchical"], m["bits_errors"][rival])
    return m["bits"][rival] - m["bits"]["hierarchical"] > 2 * error


def _hierarchy(m: Measured) -> str:
    wide = m["field_depthwise"] > m["field_ordinary"] and m["weights_ratio"] >= 2
    if not wide:
        return NOT_REPRODUCED
    fair = m["parameter_ratio"] >= 1 and m["time_ratio"] >= 1
    equal_parameters, equal_time = _beats(m, "flat"), _beats(m, "flat_longer")
    if fair and equal_parameters and equal_time:
        return REPRODUCED
    known = all(math.isfinite(error) for error in m["bits_errors"].values())
    if not fair or not known or m["training_images"] < CELEBA_TRAINING_IMAGES:
        return NEEDS_FULL_DATA
    return CORRECTED if equal_parameters else NOT_REPRODUCED


CLAIMS_C_HIERARCHY: tuple[Claim, ...] = (
    Claim(
        "C10", "06",
        "depthwise convolutions widen the receptive field at few parameters; a deep hierarchy beats the flat VAE",
        "a stack of depthwise cells sees further than ordinary ones of as many weights; fewer bits per dimension "
        "than the flat VAE at equal parameters and at equal time",
        "two halves. Computed: the receptive field of a stack of depthwise cells, field_depthwise, exceeds "
        "field_ordinary, that of the deepest stack of ordinary 3×3 cells with no more weights, and a cell "
        "whose 5×5 convolution mixes all channels has at least twice the weights (weights_ratio); else it "
        "is not reproduced. Trained: bits (per dimension, of unseen faces, by the ELBO, mean over seeds) of "
        "the hierarchical model are below those of flat and of flat_longer by more than two joint standard "
        "errors over seeds (bits_errors). The flat VAE has the same cells and likelihood, at least as many "
        "parameters (parameter_ratio, flat over hierarchical, at least 1), and flat_longer at least as much "
        "training time (time_ratio at least 1). Corrected where it wins at equal parameters but not at "
        "equal time. A failure leaves it open with one seed, below the 162,770 training_images of CelebA, "
        "or where a ratio is below 1",
        _hierarchy,
        (
            "field_depthwise", "field_ordinary", "weights_ratio", "bits", "bits_errors", "parameter_ratio",
            "time_ratio", "training_images",
        ),
        needs_real=False,
    ),
)  # fmt: skip
