"""Claims of report D that lab 04a puts to the test: how a DCGAN trains."""

import math

from labkit.claims import NEEDS_FULL_DATA, NOT_REPRODUCED, Claim, Measured, holds, shown_or_open

CELEBA_TRAINING_IMAGES = 162_770
EPOCHS_GAN = 30
CLAIMED, PAPERS = "0.002", "0.0002"


def _exceeds(m: Measured, more: str, less: str) -> bool:
    """The swing of one setting lies above that of another by two joint standard errors, or is not finite."""
    error = math.hypot(m["errors"][more], m["errors"][less])
    return not math.isfinite(m["swing"][more]) or m["swing"][more] - m["swing"][less] > 2 * error


def _untold(m: Measured) -> bool:
    """No error bars, as with one seed; a swing that is not finite needs none."""
    return any(math.isfinite(m["swing"][key]) and not math.isfinite(m["errors"][key]) for key in m["swing"])


def _rate(m: Measured) -> str:
    if _untold(m):
        return NEEDS_FULL_DATA
    stable = math.isfinite(m["swing"][CLAIMED]) and m["swing"][CLAIMED] <= 2 * m["swing"][PAPERS]
    larger = [rate for rate in m["swing"] if float(rate) > float(CLAIMED)]
    return holds(stable and bool(larger) and all(_exceeds(m, rate, CLAIMED) for rate in larger))


def _beta(m: Measured) -> str:
    if _untold(m):
        return NEEDS_FULL_DATA
    pairs = [(key, key.replace("0.5 at", "0.9 at")) for key in m["swing"] if key.startswith("0.5 at")]
    oscillates = [_exceeds(m, fast, slow) and not m["swing"][fast] < 1.5 * m["swing"][slow] for slow, fast in pairs]
    return holds(bool(pairs) and all(oscillates))


def _losses(m: Measured) -> str:
    errors = m["errors"]["generator"], m["errors"]["discriminator"]
    if not all(math.isfinite(error) for error in errors):
        return NEEDS_FULL_DATA
    falls = m["generator_change"] < -2 * errors[0]
    rises = m["discriminator_change"] > 2 * errors[1]
    full = m["epochs"] >= EPOCHS_GAN and m["training_images"] >= CELEBA_TRAINING_IMAGES
    return shown_or_open(falls and rises, 1 if full else 0, 1)


def _encodes(found: dict[str, float]) -> bool:
    return found["mirror"] >= 0.8 and found["r2"] >= 0.3 and found["turn"] >= 1


def _direction(m: Measured) -> str:
    if m["shuffled"] > 0.1 or not all(math.isfinite(value) for value in m["after"].values()):
        return NEEDS_FULL_DATA
    if _encodes(m["before"]):
        return NOT_REPRODUCED
    return shown_or_open(_encodes(m["after"]), m["epochs"], EPOCHS_GAN)


CLAIMS_D_GAN = (
    Claim(
        "D4", "04a", "a rate of 2e-3 gives a stable training of the DCGAN; a larger one oscillates",
        "at 2e-3 the loss swings no more than usual, above it more",
        "swing, the standard deviation of the generator's loss from step to step in nats, its line taken off and "
        "the first third of the trial left out, mean over seeds, by rate. Stable: at 2e-3 it is at most twice that "
        "at 2e-4, the rate of the DCGAN paper. Oscillates: at each rate above 2e-3 it is larger than at 2e-3 by two "
        "joint standard errors over seeds (errors), or the loss is no longer finite. With one seed it stays open",
        _rate, ("swing", "errors"), needs_real=False,
    ),
    Claim(
        "D5", "04a", "β₁ = 0.9 makes the training oscillate, 0.5 does not",
        "at either rate the loss swings more with 0.9",
        "swing as in D4, by β₁ and rate. At every rate measured that of 0.9 exceeds that of 0.5 by two joint "
        "standard errors over seeds (errors) and is at least one and a half times as large, or is no longer finite. "
        "With one seed it stays open",
        _beta, ("swing", "errors"), needs_real=False,
    ),
    Claim(
        "D6", "04a", "over the training the generator's loss falls and the discriminator's rises",
        "both, from the first third of the epochs to the last",
        "generator_change and discriminator_change are the mean loss of the last third of the epochs minus that of "
        "the first third, in nats, mean over seeds; the one is below zero and the other above it by two standard "
        "errors over seeds (errors). If not so, open below 30 epochs or below CelebA's 162,770 training_images; with "
        "one seed always",
        _losses, ("generator_change", "discriminator_change", "errors", "epochs", "training_images"),
        needs_real=False,
    ),
    Claim(
        "D8", "04a", "latent space encodes the direction of the face after training, not before",
        "a line through latent space turns the face, and turned none before",
        "a ridge regression reads the yaw of drawn samples, as the factor oracle sees it, off their latents: r2 is "
        "its R² on latents held out. turn is by how much the yaw changes along its direction from −2 to 2, in "
        "standard deviations of the yaw of real faces. mirror is the correlation of readings with those of the "
        "mirrored samples, turned round: whether what the oracle sees is a direction. A net encodes it where r2 is "
        "at least 0.3, turn at least 1 and mirror at least 0.8. The net after training must, and the untrained one "
        "and those of other seeds must not, with the highest of their numbers (before). Open if shuffled readings "
        "are predicted (shuffled above 0.1), where the oracle cannot read, as in photographs (after is not finite), "
        "and, unless shown, below 30 epochs. That all three are asked of both, and the bar of mirror, were set after "
        "a first run, in which the oracle saw a yaw in grey noise (mirror 0.6)",
        _direction, ("after", "before", "shuffled", "epochs"), needs_real=False,
    ),
)  # fmt: skip
