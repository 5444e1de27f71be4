"""What the source reports claim, and the rule by which a run's measurement judges each claim.

A rule names the keys of `measured` that it reads. Bars were set by what the words of a claim ask for, in units that
mean something (a nat per dimension, a standard share), not by what a run happened to give; where one was set after
looking, its rule says so. Two conventions hold for all:

* a claim about the photographs, measured on a stand-in, is not judged: "needs full data" (`Claim.needs_real`);
* where a claim speaks of a long training, a shorter one that already shows what it asserts confirms it, but one that
  does not show it refutes nothing: "needs full data".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.errors import LabkitError

REPRODUCED, NOT_REPRODUCED, CORRECTED, NEEDS_FULL_DATA = (
    "reproduced",
    "not reproduced",
    "corrected",
    "needs full data",
)

EPOCHS_A, EPOCHS_B = 5000, 150
LOSS_B = -5.78
SAMPLES_B = (-31.0, 20.0)
DIM = 64
TENTH_PER_DIM = 0.1 * DIM  # nats
# Report A's table: the twenty persons that it lists, the least of them, and its total for all forty.
LISTED_A, LEAST_LISTED_A, TOTAL_A = 20, 17_903.4, 122_229.5

Measured = dict[str, Any]
Judge = Callable[[Measured], str]


@dataclass(frozen=True)
class Claim:
    """A sentence of a source report, and how it is judged.

    Attributes:
        id: report's letter and a number, e.g. "A1".
        lab: the lab that measures it.
        text: what is claimed.
        expected: what one should see if it holds, in a few words.
        rule: how `judge` decides, for a reader; names the keys of the measurement.
        decide: the rule in code, from the measurement to a verdict.
        keys: what the measurement must hold.
        needs_real: whether only the real data set can tell.
    """

    id: str
    lab: str
    text: str
    expected: str
    rule: str
    decide: Judge
    keys: tuple[str, ...]
    needs_real: bool = True

    def judge(self, measured: Measured) -> str:
        """The verdict on this claim.

        Raises:
            LabkitError: the measurement lacks a key, or a value is no number (for some rules, no dict of numbers).
        """
        missing = [key for key in self.keys if not isinstance(measured, dict) or key not in measured]
        if missing:
            raise LabkitError(
                f"claim {self.id}: the measurement lacks {missing[0]!r}; its rule reads {', '.join(self.keys)}."
            )
        try:
            return self.decide(measured)
        except (AttributeError, TypeError, ValueError) as error:
            raise LabkitError(f"claim {self.id}: a measured value is of the wrong kind ({error}).") from error


def holds(true: bool) -> str:
    return REPRODUCED if true else NOT_REPRODUCED


def shown_or_open(true: bool, epochs: float, needed: int) -> str:
    """A claim that a shorter training can confirm but not refute."""
    return REPRODUCED if true else NEEDS_FULL_DATA if epochs < needed else NOT_REPRODUCED


def after(needed: int, epochs: float, true: bool) -> str:
    """A claim that only a training of full length can tell."""
    return NEEDS_FULL_DATA if epochs < needed else holds(true)


def _glasses_component(m: Measured) -> str:
    return holds(abs(m["correlation"]) >= 0.6 and m["one_sign_share"] >= 0.9 and m["auc"] >= 0.75)


def _convergence(m: Measured) -> str:
    still, flat = -m["slope_k14"] > TENTH_PER_DIM, abs(m["slope_k8"]) <= TENTH_PER_DIM
    return after(EPOCHS_A, m["epochs"], still and flat)


def _early_samples(m: Measured) -> str:
    comparable = m["early_epochs"] <= EPOCHS_A / 10 and m["late_epochs"] >= EPOCHS_A
    return holds(m["early"] <= 1.05 * m["late"]) if comparable else NEEDS_FULL_DATA


def _people(m: Measured) -> str:
    """Reproduction is out of reach: the listed sums alone pass the total, so no model can have both."""
    people_differ, ordinary_is_likely = m["p_value"] < 0.01, m["rank_correlation"] <= -0.4
    contradictory = LISTED_A * LEAST_LISTED_A > TOTAL_A
    verdict = shown_or_open(people_differ and ordinary_is_likely, m["epochs"], EPOCHS_A)
    return CORRECTED if verdict == REPRODUCED and contradictory else verdict


def _linear_growth(m: Measured) -> str:
    return after(EPOCHS_A, m["epochs"], m["r2_linear"] >= 0.98 and m["r2_linear"] >= m["r2_logarithmic"])


def _overfitting(m: Measured) -> str:
    lost, margin = m["strong_not_finite"].values(), m["strong_median_margin"].values()
    fails = max(lost) >= 0.01 or any(not value >= -DIM for value in margin)
    if not fails:
        return shown_or_open(False, m["epochs"], EPOCHS_A)
    cured = [math.isfinite(value) and value > 0 for value in m["report_cure_margin"].values()]
    return REPRODUCED if all(cured) else CORRECTED if any(cured) else NOT_REPRODUCED


def _gradual(m: Measured) -> str:
    return holds(m["plausible_share"] >= 0.9 and m["largest_step"] <= 1 / 3 and m["upward_steps"] >= 0.9)


def _encoding(m: Measured) -> str:
    if not m["weak_usable"] >= 0.9:
        return NOT_REPRODUCED
    return shown_or_open(m["strong_usable"] <= 0.5, m["epochs"], EPOCHS_A)


def _odd_mean(m: Measured) -> str:
    features = sum(share >= 0.75 for share in m["quantiles"].values())
    return shown_or_open(features >= 2 and m["likelihood_quantile"] <= 0.05, m["epochs"], EPOCHS_A)


def _loss_b(m: Measured) -> str:
    losses = m["final_loss"], m["final_loss_wrong_divisor"]
    return after(EPOCHS_B, m["epochs"], any(abs(loss - LOSS_B) <= 1 for loss in losses))


def _samples_b(m: Measured) -> str:
    lowest, highest = SAMPLES_B
    return after(EPOCHS_B, m["epochs"], m["low"] >= lowest - 5 and m["high"] <= highest + 5)


GRADUAL = (
    "plausible_share ≥ 0.9 of the frames between are at least as likely as the least likely twentieth of unseen "
    "photographs, largest_step ≤ 1/3 of the change, upward_steps ≥ 0.9"
)
GRADUAL_KEYS = ("plausible_share", "largest_step", "upward_steps")

_ALL = (
    Claim(
        "A1", "01a", "66 principal components hold 90 % of the variance", "66", "components_for_90 is 66",
        lambda m: holds(m["components_for_90"] == 66), ("components_for_90",),
    ),
    Claim(
        "A2", "01a", "64 components hold 89.70 % of the variance", "89.70 %",
        "share_at_64 is 0.897 to a tenth of a percent, ± 0.0005",
        lambda m: holds(abs(m["share_at_64"] - 0.897) < 0.0005), ("share_at_64",),
    ),
    Claim(
        "A3", "01a", "one of the first ten components outlines glasses, with a weight of one sign",
        "one component, alike to the contrast of glasses",
        "the component most alike to the contrast of glasses and none around the eyes: |correlation| ≥ 0.6, "
        "one_sign_share ≥ 0.9 of the rim pixels, and its code tells glasses with auc ≥ 0.75 (one sign alone proves "
        "nothing: a component of overall brightness has it too; the bars were set after looking at all ten)",
        _glasses_component, ("correlation", "one_sign_share", "auc"),
    ),
    Claim(
        "A4", "01a", "K = 14 has not converged at 5000 epochs; K = 8 has flattened by then",
        "K = 14 still falls, K = 8 does not",
        "from 5000 epochs on: slope_k14 below −6.4 and slope_k8 within ± 6.4 nats per 1000 epochs, a tenth of a nat "
        "for each of 64 dimensions",
        _convergence, ("epochs", "slope_k14", "slope_k8"),
    ),
    Claim(
        "A5", "01a", "samples after 500 epochs look about as good as after 5000", "equal distances to unseen faces",
        "early (at early_epochs ≤ 500) is at most 5 % above late (at late_epochs ≥ 5000): distances of unseen faces "
        "to the nearest sample",
        _early_samples, ("early_epochs", "late_epochs", "early", "late"),
    ),
    Claim(
        "A6", "01a",
        "log-probability differs by person (sums of about 20,000 each, 122,229 in all), and the most likely person "
        "is one with common features",
        "people differ; the likely ones are near the mean face",
        "people differ (p_value < 0.01 by shuffled names) and likely means ordinary (rank_correlation of mean "
        "log-probability with the distance from the mean face ≤ −0.4): corrected even then, because the twenty "
        "listed sums, each at least 17,903, pass the total of 122,229; else not reproduced, open below 5000 epochs",
        _people, ("p_value", "rank_correlation", "epochs"),
    ),
    Claim(
        "A7", "01a", "log-probability of the training set grows linearly with epochs", "a straight line",
        "from 5000 epochs on: r2_linear ≥ 0.98 (a square root would reach 0.96) and not below r2_logarithmic",
        _linear_growth, ("r2_linear", "r2_logarithmic", "epochs"),
    ),
    Claim(
        "A8", "01b",
        "held-out log-probability is very low, often −inf or NaN; K = 2 and 50 epochs cures it",
        "the strong model fails, the weak one does not",
        "K = 14 fails on a test (strong_not_finite ≥ 0.01, or strong_median_margin below −64 nats, one per "
        "dimension) and K = 2 is finite and beats the Gaussian (report_cure_margin > 0) on every test; corrected if "
        "on some tests only; a K = 14 that does not fail leaves it open below 5000 epochs",
        _overfitting, ("epochs", "strong_not_finite", "strong_median_margin", "report_cure_margin"),
    ),
    Claim(
        "A9", "01b", "interpolation between people passes through plausible faces; glasses fade in gradually",
        "likely faces, no jump", f"glasses score along walks: {GRADUAL}", _gradual, GRADUAL_KEYS,
    ),
    Claim(
        "A10", "01b", "within one person, interpolation passes through intermediate angles",
        "likely faces, no jump", f"left–right score along walks: {GRADUAL}", _gradual, GRADUAL_KEYS,
    ),
    Claim(
        "A11", "01b", "the strong model cannot encode an unseen face; the weak one can",
        "few usable latents, nearly all usable",
        "strong_usable ≤ 0.5 and weak_usable ≥ 0.9 of strangers' faces are rebuilt from a latent within reach; a "
        "strong model that can leaves it open below 5000 epochs",
        _encoding, ("strong_usable", "weak_usable", "epochs"),
    ),
    Claim(
        "A12", "01a", "the mean latent decodes to an odd face that mixes many features",
        "several features at once, unlikely",
        "quantiles ≥ 0.75 of known faces for at least two of the features, and likelihood_quantile ≤ 0.05; else not "
        "reproduced, open below 5000 epochs",
        _odd_mean, ("quantiles", "likelihood_quantile", "epochs"),
    ),
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

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in _ALL}
