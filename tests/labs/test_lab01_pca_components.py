"""Lab 01's check of numbers of components, put through right and wrong solutions."""

import math
from itertools import accumulate

import numpy as np
import pytest
import torch

from labkit.labs import lab01

PASS, EXACT, STAYS, ROUNDS, WHOLE = (
    "components_for: the first k together pass the share",
    "components_for: reaching the share exactly is enough",
    "nearest_power_of_two: a power of two stays",
    "nearest_power_of_two: the logarithm is rounded",
    "both give whole numbers of Python's or numpy's kind",
)


def count(share, ratios):
    return int(np.searchsorted(np.cumsum(ratios), share)) + 1


def count_by_hand(share, ratios):
    total = 0.0
    for k, ratio in enumerate(ratios, 1):
        total += ratio
        if total >= share:
            return k
    return len(ratios)


def power(k):
    return 2 ** round(np.log2(k))


def power_by_hand(k):
    exponent = 0
    while 2 ** (exponent + 0.5) < k:
        exponent += 1
    return 2**exponent


def count_by_while(share, ratios):
    k = 1
    while k < len(ratios) and sum(ratios[:k]) < share:
        k += 1
    return k


def count_by_accumulate(share, ratios):
    return next(k for k, total in enumerate(accumulate(ratios.tolist()), 1) if total >= share)


def power_of_neighbours(k):
    below = 2 ** int(np.floor(np.log2(k)))
    return below if k / below < 2 * below / k else 2 * below


RIGHT = {
    "numpy": (count, power),
    "by hand": (count_by_hand, power_by_hand),
    "argmax": (lambda s, r: np.argmax(np.cumsum(r) >= s) + 1, lambda k: int(2 ** np.round(np.log2(k)))),
    "sum of a mask": (lambda s, r: (np.cumsum(r) < s).sum() + 1, lambda k: np.exp2(np.rint(np.log2(k))).astype(int)),
    "where": (lambda s, r: np.where(r.cumsum() >= s)[0][0] + 1, lambda k: 1 << round(math.log2(k))),
    "while": (count_by_while, lambda k: pow(2, round(math.log(k) / math.log(2)))),
    "accumulate": (count_by_accumulate, power_of_neighbours),
    "torch": (
        lambda s, r: int((torch.cumsum(torch.as_tensor(r), 0) < s).sum()) + 1,
        lambda k: int(2 ** torch.log2(torch.tensor(float(k))).round()),
    ),
    "flatnonzero": (
        lambda s, r: int(np.flatnonzero(np.add.accumulate(r) >= s).min()) + 1,
        lambda k: min((2**e for e in range(40)), key=lambda power: abs(math.log(power / k))),
    ),
    "count_nonzero": (
        lambda s, r: 1 + np.count_nonzero(np.array([sum(r[: i + 1]) for i in range(len(r))]) < s),
        lambda k: 2 ** math.floor(math.log2(k) + 0.5),
    ),
    "matrix": (
        lambda s, r: int(np.searchsorted(np.tril(np.ones((len(r),) * 2)) @ r, s, side="left") + 1),
        lambda k: int(np.power(2.0, np.round(np.log(k) / np.log(2.0)))),
    ),
}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "position for count": ((lambda s, r: count(s, r) - 1, power), {PASS: "from 0"}),
    "one too many": ((lambda s, r: count(s, r) + 1, power), {PASS: "one too many"}),
    "more than, not at least": ((lambda s, r: int(np.argmax(np.cumsum(r) > s)) + 1, power), {EXACT: ">="}),
    "no running sum": ((lambda s, r: int(np.argmax(np.asarray(r) >= s)) + 1, power), {PASS: "cumsum"}),
    "always down": ((count, lambda k: 2 ** math.floor(math.log2(k))), {ROUNDS: "rounds down"}),
    "always up": ((count, lambda k: 2 ** math.ceil(math.log2(k))), {ROUNDS: "rounds up"}),
    "nearest count": (
        (count, lambda k: min((2**e for e in range(40)), key=lambda p: abs(p - k))),
        {ROUNDS: "not its logarithm"},
    ),
    "natural logarithm": (
        (count, lambda k: 2 ** round(math.log(k))),
        {STAYS: "already", ROUNDS: "natural logarithm"},
    ),
    "logarithm returned": ((count, lambda k: round(math.log2(k))), {STAYS: "raise 2 to it"}),
    "floats": ((count, lambda k: 2.0 ** round(math.log2(k))), {WHOLE: "float"}),
    "no return": ((lambda s, r: None, power), dict.fromkeys((PASS, EXACT, WHOLE), "`return` is missing")),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab01.pca_components, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab01.pca_components, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab01.pca_components, arguments=2)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab01.pca_components, RIGHT, WRONG)
