"""Claims of reports A and B: PCA and RealNVP on Olivetti faces, labs 01a and 01b."""

from labkit.claims import claim, decide
from labkit.statistics import Finding, above, all_of, any_of, at_least, below, enough, fact, unknown

EPOCHS_A, EPOCHS_B = 5000, 150
DIM = 64
TENTH_PER_DIM = 0.1 * DIM  # nats
LOSS_B = -5.78


@claim(
    "A1", "01a", "66 principal components hold 90 % of the variance",
    expected="66",
    rule="components_for_90 is 66",
    protocol="PCA with full SVD of all {images} images of {pixels:,} pixels",
    photographs=True,
)  # fmt: skip
def A1(components_for_90):
    return decide(fact(components_for_90 == 66))


@claim(
    "A2", "01a", "64 components hold 89.70 % of the variance",
    expected="89.70 %",
    rule="share_at_64 is 0.897 to a tenth of a percent, ± 0.0005",
    protocol="PCA with full SVD of all {images} images of {pixels:,} pixels",
    photographs=True,
)  # fmt: skip
def A2(share_at_64):
    return decide(fact(abs(share_at_64 - 0.897) < 0.0005))


@claim(
    "A3", "01a", "one of the first ten components outlines glasses, with a weight of one sign",
    expected="one component, alike to the contrast of glasses",
    rule="the component most alike to the contrast of glasses and none around the eyes: |correlation| ≥ 0.6, "
    "one_sign_share ≥ 0.9 of the rim pixels, and the interval of auc, with which its code tells glasses, above 0.75 "
    "(bootstrap over people). One sign alone proves nothing: a component of overall brightness has it too. The bars "
    "were set after looking at all ten",
    protocol="best template correlation of ten, rows 10–39; {rims} rim pixels; auc over {shown:,} faces",
)  # fmt: skip
def A3(correlation, one_sign_share, auc):
    return decide(all_of(fact(abs(correlation) >= 0.6), fact(one_sign_share >= 0.9), above(auc, 0.75)))


@claim(
    "A4", "01a", "K = 14 has not converged at 5000 epochs; K = 8 has flattened by then",
    expected="K = 14 still falls, K = 8 does not",
    rule="from 5000 epochs on: the interval of slope_k14 below −6.4, and that of slope_k8 within ± 6.4 nats per "
    "1000 epochs, a tenth of a nat for each of 64 dimensions. The slope is a line through the medians of ten blocks "
    "of the last fifth; its error is that of the line",
    protocol="training NLL of {known} faces, Adam 1e-4, batch 32, {epochs:,} epochs",
)  # fmt: skip
def A4(epochs, slope_k14, slope_k8):
    flat = above(slope_k8, -TENTH_PER_DIM), below(slope_k8, TENTH_PER_DIM)
    return decide(all_of(below(slope_k14, -TENTH_PER_DIM), *flat), needs=enough(epochs, EPOCHS_A, "epochs"))


@claim(
    "A5", "01a", "samples after 500 epochs look about as good as after 5000",
    expected="equal distances to unseen faces",
    rule="ratio, the mean distance of unseen faces to the nearest sample at early_epochs ≤ 500 over that at "
    "late_epochs ≥ 5000, has its interval (bootstrap over people) below 1.05",
    protocol="{unseen} unseen faces, nearest of {samples} samples, K = 14",
)  # fmt: skip
def A5(early_epochs, late_epochs, ratio):
    early = fact(True) if early_epochs <= EPOCHS_A / 10 else unknown("samples of 500 epochs")
    return decide(below(ratio, 1.05), needs=all_of(early, enough(late_epochs, EPOCHS_A, "epochs")))


@claim(
    "A6", "01a",
    "log-probability differs by person (sums of about 20,000 each, 122,229 in all), and the most likely person is "
    "one with common features",
    expected="people differ; the likely ones are near the mean face",
    rule="people differ (p_value ≤ 0.025 by shuffled names), and likely means ordinary (the interval of "
    "rank_correlation, of mean log-probability with the distance from the mean face, below −0.4; bootstrap over "
    "people): corrected even then, because the twenty listed sums, each at least 17,903, pass the total of 122,229. "
    "Not reproduced where the interval lies above −0.4, from 5000 epochs on",
    protocol="K = 14, {epochs:,} epochs; 1000 shuffles of names, variance of person means; Spearman",
)  # fmt: skip
def A6(p_value, rank_correlation, epochs):
    ordinary = below(rank_correlation, -0.4)
    both = all_of(Finding(p_value, 1.0, {"people": 40}), ordinary)
    long = fact(True) if both.shown else enough(epochs, EPOCHS_A, "epochs")
    return decide(Finding(1.0, 1.0, both.needs), fails=~ordinary, corrected=both, to_refute=long)


@claim(
    "A7", "01a", "log-probability of the training set grows linearly with epochs",
    expected="a straight line",
    rule="from 5000 epochs on: the interval of r2_linear lies above 0.98 (a square root would reach 0.96), and that "
    "of gain, r2_linear less the R² of a logarithm, above 0 (bootstrap over twentieths of the training)",
    protocol="least squares through the total training log p of {epochs:,} epochs, K = 14, a median for each "
    "hundredth of them",
)  # fmt: skip
def A7(r2_linear, gain, epochs):
    return decide(all_of(above(r2_linear, 0.98), above(gain, 0)), needs=enough(epochs, EPOCHS_A, "epochs"))


@claim(
    "A8", "01b", "held-out log-probability is very low, often −inf or NaN; K = 2 and 50 epochs cures it",
    expected="the strong model fails, the weak one does not",
    rule="K = 14 fails on a test: the interval of strong_not_finite above 0.01, or that of strong_median_margin "
    "below −64 nats, one per dimension (Holm over the tests); and K = 2 beats the Gaussian on each: "
    "report_cure_margin above 0. Corrected where it does so on some tests only; a K = 14 that does not fail refutes "
    "nothing below 5000 epochs. Intervals over people",
    protocol="margins over the Gaussian in nats, unseen faces; K = 14: {epochs} epochs, K = 2: {weak_epochs}",
)  # fmt: skip
def A8(epochs, strong_not_finite, strong_median_margin, report_cure_margin):
    lost = [above(each, 0.01) for each in strong_not_finite.values()]
    fails = any_of(*lost, *(below(each, -DIM) for each in strong_median_margin.values()))
    cured = [above(each, 0) for each in report_cure_margin.values()]
    long = fact(True) if fails.shown else enough(epochs, EPOCHS_A, "epochs")
    return decide(
        all_of(fails, *cured),
        fails=any_of(~fails, all_of(*(~each for each in cured))),
        corrected=all_of(fails, any_of(*cured), any_of(*(~each for each in cured))),
        to_refute=long,
    )


GRADUAL = (
    "intervals over walks of plausible_share above 0.9 (frames between that are at least as likely as the least "
    "likely twentieth of unseen photographs), of largest_step, the median largest part of the change in one step, "
    "below 1/3, and of upward_steps above 0.9"
)


def gradual(plausible_share, largest_step, upward_steps):
    return decide(all_of(above(plausible_share, 0.9), below(largest_step, 1 / 3), above(upward_steps, 0.9)))


A9 = claim(
    "A9", "01b", "interpolation between people passes through plausible faces; glasses fade in gradually",
    expected="likely faces, no jump",
    rule=f"glasses score along walks: {GRADUAL}",
    protocol="up to 20 most alike pairs, nobody in two of them, spherical walks of 9 frames, K = 14 with noise 0.5",
)(gradual)  # fmt: skip
A10 = claim(
    "A10", "01b", "within one person, interpolation passes through intermediate angles",
    expected="likely faces, no jump",
    rule=f"left–right score along walks: {GRADUAL}",
    protocol="two known shots of each person farthest apart on the left–right score, 9 frames, K = 14 with noise 0.5",
)(gradual)  # fmt: skip


@claim(
    "A11", "01b", "the strong model cannot encode an unseen face; the weak one can",
    expected="few usable latents, nearly all usable",
    rule="intervals over people: strong_usable, the share of strangers' faces that are rebuilt from a latent within "
    "reach, below 0.5, and weak_usable above 0.9. A strong model that can refutes nothing below 5000 epochs",
    protocol="{unseen} faces of strangers; usable: rebuilt within 1 %, from a latent shorter than three times √64",
)  # fmt: skip
def A11(strong_usable, weak_usable, epochs):
    strong, weak = below(strong_usable, 0.5), above(weak_usable, 0.9)
    long = fact(True) if weak.refuted else enough(epochs, EPOCHS_A, "epochs")
    return decide(all_of(strong, weak), to_refute=long)


@claim(
    "A12", "01a", "the mean latent decodes to an odd face that mixes many features",
    expected="several features at once, unlikely",
    rule="intervals over people: quantiles above 0.75 for at least two of the features (Holm), and "
    "likelihood_quantile, among known faces, below 0.05. Refuted only from 5000 epochs on",
    protocol="quantile of the decoded mean latent among {compared:,} faces per linear attribute score, and among "
    "known faces for log p, K = 14",
)  # fmt: skip
def A12(quantiles, likelihood_quantile, epochs):
    odd = at_least(2, [above(each, 0.75) for each in quantiles.values()])
    return decide(
        all_of(odd, below(likelihood_quantile, 0.05)), to_refute=enough(epochs, EPOCHS_A, "epochs")
    )  # fmt: skip


@claim(
    "B1", "01a", "the power of two nearest to 66 on the logarithmic scale is 64",
    expected="64",
    rule="nearest_power_of_two is 64",
    protocol="2 to the rounded base-2 logarithm of the count of A1",
    photographs=True,
)  # fmt: skip
def B1(nearest_power_of_two):
    return decide(fact(nearest_power_of_two == 64))


@claim(
    "B2", "01a", "K = 8 after 150 epochs has a loss near −5.8",
    expected="−5.78",
    rule="from 150 epochs on: the interval of final_loss (over people), or of final_loss_wrong_divisor as report B "
    "prints it, within 1 nat of −5.78 (Holm)",
    protocol="K = 8, batch 32, Adam 1e-4, StepLR(12, 0.6), codes of pixels in [0, 1], one training",
)  # fmt: skip
def B2(final_loss, final_loss_wrong_divisor, epochs):
    near = [all_of(above(e, LOSS_B - 1), below(e, LOSS_B + 1)) for e in (final_loss, final_loss_wrong_divisor)]
    return decide(any_of(*near), needs=enough(epochs, EPOCHS_B, "epochs"))


@claim(
    "B3", "01a", "log-probabilities of samples after that lie roughly between −31 and 20",
    expected="−31 to 20",
    rule="from 150 epochs on: nine in ten lie within −36 to 25: the interval of low, the 5 % quantile, above −36, "
    "and that of high, the 95 % quantile, below 25 (bootstrap over samples)",
    protocol="5 % and 95 % quantiles of log p of 1000 samples of B's model, nats",
)  # fmt: skip
def B3(low, high, epochs):
    return decide(all_of(above(low, -36), below(high, 25)), needs=enough(epochs, EPOCHS_B, "epochs"))
