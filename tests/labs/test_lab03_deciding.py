"""Lab 03's check of a rule that decides a claim over seeds, on right and wrong solutions."""

import statistics

import numpy as np
import pytest
from scipy import stats

from labkit.labs import lab03

WORD, SIDE, HOLDS, ZERO, FEW = (
    "it says above, below or undecided",
    "an interval on one side of the bar decides",
    "one that holds the bar leaves it undecided",
    "it does not matter where zero is, nor how large the values are",
    "fewer than five seeds decide nothing",
)
EVERY = (WORD, SIDE, HOLDS, ZERO, FEW)


def rule(ddof=1, least=5, root=True, quantile=lambda n: stats.t.ppf(0.975, n - 1)):
    def decide(values, bar):
        n, mean = len(values), np.mean(values)
        if n < least:
            return "undecided"
        reach = quantile(n) * np.std(values, ddof=ddof) / (np.sqrt(n) if root else 1)
        return "above" if mean - reach > bar else "below" if mean + reach < bar else "undecided"

    return decide


def by_p_value(values, bar):
    if len(values) < 5:
        return "undecided"
    mean = statistics.fmean(values)
    if statistics.stdev(values) == 0:
        return "undecided" if mean == bar else "above" if mean > bar else "below"
    if stats.ttest_1samp(values, bar).pvalue >= 0.05:
        return "undecided"
    return "above" if mean > bar else "below"


def swapped(values, bar):
    return {"above": "below", "below": "above"}.get(rule()(values, bar), "undecided")


def by_the_mean(values, bar):
    return "above" if np.mean(values) > bar else "below"


def by_scipy(values, bar):
    """Of equal seeds scipy's interval is NaN, which is on neither side."""
    if len(values) < 5:
        return "undecided"
    with np.errstate(invalid="ignore"):
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return "above" if low > bar else "below" if high < bar else "undecided"


RIGHT = {"interval": (rule(),), "p-value": (by_p_value,), "scipy": (by_scipy,)}
WRONG = {
    "swapped": ((swapped,), {SIDE: "swapped", ZERO: "swapped", FEW: "swapped"}),
    "the mean alone": ((by_the_mean,), {HOLDS: "mean alone", ZERO: "mean alone", FEW: "mean alone"}),
    "1.96": ((rule(quantile=lambda n: 1.96),), {HOLDS: "1.96", ZERO: "1.96"}),
    "90 %": ((rule(quantile=lambda n: stats.t.ppf(0.95, n - 1)),), {HOLDS: "90 %", ZERO: "90 %"}),
    "n degrees": ((rule(quantile=lambda n: stats.t.ppf(0.975, n)),), {HOLDS: "n − 1", ZERO: "n − 1"}),
    "divides by n": ((rule(ddof=0),), {HOLDS: "divides by n", ZERO: "divides by n"}),
    "no root of n": ((rule(root=False),), {SIDE: "one seed", ZERO: "one seed"}),
    "a standard error": ((rule(quantile=lambda n: 1.0),), {HOLDS: "standard error", ZERO: "standard error"}),
    "no bar": ((lambda values, bar: rule()(values, 0.0),), {SIDE: "0", HOLDS: "0", ZERO: "0"}),
    "two seeds": ((rule(least=2),), {FEW: "fewer than five"}),
    "six seeds": ((rule(least=6),), {SIDE: "five seeds are enough", ZERO: "", FEW: "five seeds are enough"}),
    "nothing": ((lambda values, bar: None,), dict.fromkeys(EVERY, "")),
    "True": ((lambda values, bar: True,), dict.fromkeys(EVERY, "")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab03.verdict_over_seeds, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab03.verdict_over_seeds, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab03.verdict_over_seeds, arguments=1)
    prove.complete(lab03.verdict_over_seeds, RIGHT, WRONG)
