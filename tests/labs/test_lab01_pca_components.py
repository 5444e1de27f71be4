"""Lab 01's check of numbers of components, put through right and wrong solutions."""

import math

import numpy as np
import pytest

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


RIGHT = {"numpy": (count, power), "by hand": (count_by_hand, power_by_hand)}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "position for count": ((lambda s, r: count(s, r) - 1, power), {PASS: "from 0"}),
    "one too many": ((lambda s, r: count(s, r) + 1, power), {PASS: "one too many"}),
    "more than, not at least": ((lambda s, r: int(np.argmax(np.cumsum(r) > s)) + 1, power), {EXACT: ">="}),
    "no running sum": ((lambda s, r: int(np.argmax(np.asarray(r) >= s)) + 1, power), {PASS: "cumsum"}),
    "always down": ((count, lambda k: 2 ** math.floor(math.log2(k))), {ROUNDS: "rounds down"}),
    "always up": ((count, lambda k: 2 ** math.ceil(math.log2(k))), {ROUNDS: "rounds up"}),
    "nearest count": (
        (count, lambda k: min((2**e for e in range(12)), key=lambda p: abs(p - k))),
        {ROUNDS: "not its logarithm"},
    ),
    "natural logarithm": (
        (count, lambda k: 2 ** round(math.log(k))),
        {STAYS: "already", ROUNDS: "natural logarithm"},
    ),
    "logarithm returned": ((count, lambda k: round(math.log2(k))), {STAYS: "raise 2 to it"}),
    "floats": ((count, lambda k: 2.0 ** round(math.log2(k))), {WHOLE: "float"}),
    "no return": ((lambda s, r: None, power), dict.fromkeys((PASS, EXACT, WHOLE), "NoneType")),
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
