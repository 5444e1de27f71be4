"""Claims that lab 07 puts to the test: papers on flow matching, on the faces and the ruler of lab 01."""

from labkit.claims import claim, decide
from labkit.statistics import above, all_of, below, enough

EPOCHS_REALNVP = 150  # of lab 01b's prize
EPOCHS_BY_HEART = 300  # in batches of 128; RealNVP has learnt by heart after a fifth of the steps


@claim(
    "F1", "07a",
    "flow matching trains a continuous flow without simulating it; on the same codes it reaches a RealNVP's held-out "
    "likelihood in less time",
    expected="less training time to the RealNVP's best mean NLL of unseen shots",
    rule="doublings, log₂ of the RealNVP's training seconds up to its best epoch over the seconds after which flow "
    "matching is first seen at or below that NLL (infinitely slow if never), has its interval above 0; the RealNVP "
    "had its realnvp_epochs ≥ 150; refuted only where flow matching had its epochs as well, as in F2",
    protocol="K = 14, and an MLP of {hidden} units, both with noise 0.5 on the codes, one thread; {seeds} splits and "
    "seeds, mean NLL of unseen shots; looks at the NLL are not counted as training",
)  # fmt: skip
def F1(realnvp_epochs, epochs, doublings):
    return decide(
        above(doublings),
        needs=enough(realnvp_epochs, EPOCHS_REALNVP, "epochs"),
        to_refute=enough(epochs, EPOCHS_BY_HEART, "epochs"),
    )


@claim(
    "F2", "07a", "flow matching learns by heart too, and noise on the data cures it",
    expected="without noise, worse than a Gaussian on unseen shots; with noise, better",
    rule="mean NLL of unseen shots less that of the full Gaussian: the interval of plain above 0 and that of cured, "
    "with noise 0.5 and as many steps, below 0; not refuted before 300 epochs",
    protocol="{epochs} epochs in batches of 128, {seeds} splits and seeds, exact divergence",
)  # fmt: skip
def F2(epochs, plain, cured):
    return decide(all_of(above(plain), below(cured)), to_refute=enough(epochs, EPOCHS_BY_HEART, "epochs"))


@claim(
    "F3", "07a", "mini-batch optimal transport straightens paths: fewer steps for the same quality",
    expected="less bend, and better faces from four steps",
    rule="optimal against independent pairing, seed by seed: the intervals of bend, a log ratio of squared "
    "deviations from a straight line, and of few_steps, a difference of energy distances to the faces of the "
    "split after four Euler steps, both below 0; corrected where the paths are straighter and the faces "
    "after four steps are not better; not refuted before 300 epochs",
    protocol="noise 0.5 on the codes, {epochs} epochs in batches of 128, {seeds} seeds, {samples:,} samples",
)  # fmt: skip
def F3(epochs, bend, few_steps):
    straighter, better = below(bend), below(few_steps)
    return decide(
        all_of(straighter, better),
        fails=~straighter,
        corrected=all_of(straighter, ~better),
        to_refute=enough(epochs, EPOCHS_BY_HEART, "epochs"),
    )
