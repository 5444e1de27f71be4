"""Claims of report B: a RealNVP of eight layers on Olivetti faces, lab 01a."""

from labkit.claims import Claim, Measured, after, holds

EPOCHS_B = 150
LOSS_B = -5.78
SAMPLES_B = (-31.0, 20.0)


def _loss_b(m: Measured) -> str:
    losses = m["final_loss"], m["final_loss_wrong_divisor"]
    return after(EPOCHS_B, m["epochs"], any(abs(loss - LOSS_B) <= 1 for loss in losses))


def _samples_b(m: Measured) -> str:
    lowest, highest = SAMPLES_B
    return after(EPOCHS_B, m["epochs"], m["low"] >= lowest - 5 and m["high"] <= highest + 5)


CLAIMS_B = (
    Claim(
        "B1", "01a", "the power of two nearest to 66 on the logarithmic scale is 64", "64",
        "nearest_power_of_two is 64", lambda m: holds(m["nearest_power_of_two"] == 64), ("nearest_power_of_two",),
    ),
    Claim(
        "B2", "01a", "K = 8 after 150 epochs has a loss near −5.8", "−5.78",
        "from 150 epochs on: final_loss, or final_loss_wrong_divisor as report B prints it, within 1 nat of −5.78",
        _loss_b, ("final_loss", "final_loss_wrong_divisor", "epochs"),
    ),
    Claim(
        "B3", "01a", "log-probabilities of samples after that lie roughly between −31 and 20", "−31 to 20",
        "from 150 epochs on: nine in ten, low to high, lie within −36 to 25",
        _samples_b, ("low", "high", "epochs"),
    ),
)  # fmt: skip
