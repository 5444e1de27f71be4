"""Claims decide: a true null is rarely called anything, a clear effect mostly gets its verdict.

`python -m pytest tests/labs/test_rules.py -k table -s` prints the table of all rules.
"""

import json
import math
import os
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from simulate import false_positives, power
from test_claims import CASES, CLAIMS

from labkit.claims import UNDECIDED, as_estimate
from labkit.errors import LabkitError
from labkit.record import plain
from labkit.statistics import (
    Estimate,
    Finding,
    above,
    all_of,
    any_of,
    at_least,
    below,
    fact,
    over,
    over_people,
    paired,
    resample,
    share,
)

RUNS = int(os.environ.get("LABKIT_SIMULATIONS", 300))
SLACK = 3 * math.sqrt(0.05 * 0.95 / RUNS)  # of a rate of 5 % seen in so many runs


@cache
def wrong(name):
    return false_positives(CLAIMS[name], CASES[name], RUNS)


@cache
def right(name):
    return power(CLAIMS[name], CASES[name], RUNS)


SIMULATED = [name for name, case in CASES.items() if not case.deterministic]


@pytest.mark.parametrize("claim", SIMULATED)
def test_a_true_null_gets_a_verdict_in_one_run_of_twenty_at_most(claim):
    assert CASES[claim].nulls
    assert wrong(claim) <= 0.05 + SLACK


@pytest.mark.parametrize("claim", SIMULATED)
def test_a_clear_effect_gets_its_verdict_in_four_runs_of_five(claim):
    assert right(claim) >= 0.8


def test_the_table_of_all_rules(capsys):
    """Each claim is in it; with -s it is printed."""
    lines = ["id   wrong verdicts  power"]
    for name, case in CASES.items():
        shown = "computed" if case.deterministic else f"{wrong(name):.1%}"
        lines.append(f"{name:<5}{shown:<16}{right(name):.0%}")
    print("\n".join(lines))
    assert len(lines) == len(CLAIMS) + 1


def test_two_standard_errors_over_three_seeds_would_be_caught():
    """The planted bug: the rule that the first edition had, against the same null."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((2000, 3))
    found = draws.mean(1) > 2 * draws.std(1, ddof=1) / math.sqrt(3)
    assert found.mean() > 0.05 + SLACK


def test_the_interval_of_a_mean_covers_it_in_nineteen_runs_of_twenty():
    rng = np.random.default_rng(0)
    ends = [over(rng.standard_normal(5) + 3).interval() for _ in range(2000)]
    assert np.mean([low < 3 < high for low, high in ends]) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("values", "mean", "error"),
    [
        ([math.inf] * 4 + [1.0], math.inf, 0.0),
        ([-math.inf] + [1.0] * 4, -math.inf, math.nan),
        ([math.inf, math.inf, -math.inf, -math.inf, 1.0], math.nan, math.nan),
        ([math.inf, math.nan, math.inf, math.inf, 1.0], math.nan, math.nan),
        ([math.nan, math.nan, 1.0, 1.0, 1.0], math.nan, math.nan),
    ],
)
def test_a_mean_that_is_not_finite_is_the_same_in_any_order(values, mean, error):
    for order in permutations(values):
        found = over(order)
        assert [found.value, found.error] == pytest.approx([mean, error], nan_ok=True)


def test_the_bootstrap_draws_people_and_not_pictures():
    """Ten shots of a person that are all alike are worth one."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(30), 10)
    values = np.repeat(rng.standard_normal(30), 10)
    by_people = resample(lambda rows: values[rows].mean(), people)
    by_pictures = resample(lambda rows: values[rows].mean(), np.arange(300), unit="pictures")
    assert by_people.error == pytest.approx(values.std() / math.sqrt(30), rel=0.2)
    assert by_people.error > 2.5 * by_pictures.error
    assert by_people.n == 30 and by_people.unit == "people"


def test_a_mean_over_people_knows_that_their_pictures_are_alike():
    rng = np.random.default_rng(0)
    of_each = rng.standard_normal(30)
    found = over_people(np.repeat(of_each, 10), np.repeat(np.arange(30), 10))
    assert (found.value, found.error) == pytest.approx((of_each.mean(), of_each.std(ddof=1) / math.sqrt(30)))
    assert (found.n, found.unit) == (30, "people")
    assert over_people(of_each, np.full(30, -1)).n == 30  # who is not known is another one
    assert over_people([1.0, 2.0, 9.0], [4, 4, -1]).value == pytest.approx((1.5 + 9) / 2)


def test_a_share_of_none_or_all_is_not_certain():
    assert share(np.ones(80), np.repeat(np.arange(8), 10)).error > 0
    assert not above(share(np.ones(80), np.repeat(np.arange(8), 10)), 0.9).shown


@pytest.mark.parametrize(("bar", "n"), [(0.9, 5), (0.9, 16), (0.9, 40), (0.05, 40), (0.01, 100), (0.01, 500)])
def test_a_share_that_is_the_bar_is_seldom_found_beyond_it(bar, n):
    """Of whether each of n people does, as chance has it; most samples are then all alike, or nearly."""
    rng, beyond = np.random.default_rng(0), []
    for _ in range(2000):
        found = share(rng.random(n) < bar, np.arange(n))
        beyond.append(any(each.shown for each in (above(found, bar), below(found, bar))))
    assert np.mean(beyond) <= 0.05


def test_a_share_keeps_its_unit_and_of_one_person_has_no_error():
    found = share([0.5, 0.75, 1.0], np.arange(3), "walks")
    assert found.unit == "walks" and found.value == 0.75 and found.error == over([0.5, 0.75, 1.0]).error
    assert share([1.0] * 16, np.arange(16), "walks").interval()[0] == pytest.approx(0.025 ** (1 / 16))
    assert math.isnan(share([True, True], [0, 0]).error)


@pytest.mark.parametrize("values", [[True] * 16, [False] * 16, [True] * 15 + [False], [0.9, 1.0, 1.0]])
def test_the_interval_of_a_share_stays_within_its_range_and_so_does_its_record(values):
    found = share(values, np.arange(len(values)), "walks")
    low, high = found.interval()
    assert 0 <= low < high <= 1 and (low == 0 or high == 1)
    again = as_estimate(json.loads(json.dumps(plain(found))))
    assert again == found and again.interval() == (low, high)
    assert all(math.isnan(end) for end in share([True, True], [0, 0]).interval())


def test_of_a_bootstrap_that_mostly_fails_there_is_no_error():
    found = resample(lambda rows: math.nan if len(set(rows)) < 3 else 1.0, [0, 1, 2])
    assert found.value == 1 and math.isnan(found.error) and not above(found, 0.5).shown


def test_seeds_without_a_partner_are_no_pairs():
    with pytest.raises(ValueError, match="5 values cannot be paired with 1"):
        paired([1.0, 1.1, 1.2, 1.3, 1.4], [0.5])
    with pytest.raises(LabkitError, match="E2"):
        of_weight = {"0.001": [9.0] * 5, "0.0001": [9.0, 9.1, 9.2, 9.1, 9.0], "1e-06": [9.1] * 5}
        CLAIMS["E2"].judge(distance=of_weight | {"1e-05": [1.0]})


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_nothing_measured_nothing_is_known(count):
    found = at_least(count, [])
    assert not found.shown and not found.refuted
    few = at_least(2, [Finding(0.999, 0.001)])
    assert not few.shown and not few.refuted


NOTHING = {
    "A8": {"epochs": 5000, "strong_not_finite": {}, "strong_median_margin": {}, "report_cure_margin": {}},
    "C1": {"gains": {"0.1": [0.1, 0.2, 0.1, 0.2, 0.1]}},
    "C2": {"start": "ImageNet", "precision_gain": {}, "accuracy_gain": [0.1] * 5, "over_random": [0.1] * 5},
    "D2": {
        "gaps": {"32": [1.0] * 5}, "held_out": {"32": [1.0] * 5}, "active": {"32": [9.0] * 5}, "skin_auc": [0.9] * 5,
        "smile_auc": [0.9] * 5, "epochs": 100,
    },
    "A2": {"share_at_64": math.nan},
    "A3": {"correlation": math.nan, "one_sign_share": 1.0, "auc": [0.9, 0.91, 0.92, 0.9, 0.91]},
    "E4": {"gradient_difference": math.nan, "moved": math.nan},
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_what_was_not_measured_decides_nothing(name):
    verdict = CLAIMS[name].judge(**NOTHING[name])
    assert verdict.name == UNDECIDED and verdict.decides


def test_fewer_than_five_seeds_show_nothing_and_say_so():
    for values in ([9.0], [9.0, 9.1], [9.0, 9.1, 9.0, 9.1]):
        found = above(values)
        assert not found.shown and not found.refuted
        assert found.needs["seeds"] >= 5
    assert above([9.0, 9.1, 9.0, 9.1, 9.2]).shown


def test_as_many_units_as_are_said_to_decide_do():
    found = Estimate(0.1, 0.1, 5)
    needed = found.units_needed(0)
    sd = 0.1 * math.sqrt(5)
    assert above(Estimate(0.1, sd / math.sqrt(needed), needed)).shown
    assert not above(Estimate(0.1, sd / math.sqrt(needed - 1), needed - 1)).shown


def test_what_is_lost_in_most_seeds_is_above_everything_and_nan_says_nothing():
    lost = [math.inf, math.inf, math.inf, 1.0, math.inf]
    assert above(paired(lost, [1.0] * 5)).shown
    assert below(paired(lost, [1.0] * 5)).refuted
    for values in ([math.inf, 1.0, 1.0, 1.0, 1.0], [math.nan] * 5, []):
        found = above(values)
        assert not found.shown and not found.refuted


def test_findings_combine():
    yes, no, maybe = Finding(0.001, 0.999), Finding(0.999, 0.001), Finding(0.4, 0.6, {"seeds": 9})
    assert all_of(yes, yes).shown and not all_of(yes, maybe).shown and all_of(yes, no).refuted
    assert any_of(yes, no).shown and any_of(no, no).refuted and not any_of(no, maybe).refuted
    assert at_least(2, [yes, yes, no]).shown and at_least(2, [no, no, yes]).refuted
    assert all_of(fact(True), yes).yes == yes.yes and all_of(fact(False), maybe).refuted
    assert (~yes).refuted and all_of(yes, maybe).needs == {"seeds": 9}
    # Two chances cost twice: a p-value of 0.02 is not enough for one of two.
    assert Finding(0.02, 0.98).shown and not any_of(Finding(0.02, 0.98), no).shown


def test_an_undecided_claim_says_what_would_decide():
    verdict = CLAIMS["E2"].judge(distance={w: [1.0, 1.2] for w in ("0.001", "0.0001", "1e-05", "1e-06")})
    assert verdict.name == UNDECIDED and "seeds would decide" in verdict.decides
    verdict = CLAIMS["B2"].judge(final_loss=[0.0], final_loss_wrong_divisor=[0.0], epochs=10)
    assert verdict.decides == "150 epochs would decide"


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1 / 3])
@pytest.mark.parametrize("n", [5, 7, 20, 37])
def test_equal_values_on_the_bar_are_on_neither_side(value, n):
    pairs = paired([3 * value] * n, [value] * n)  # but for a rounding 2 · value
    for found, bar in ((over([value] * n), value), (pairs, 2 * value)):
        assert not any(each.shown or each.refuted for each in (above(found, bar), below(found, bar)))
    assert above([value] * n, value - 1e-6).shown and below([value] * n, value + 1e-6).shown


def test_without_a_unit_nothing_is_measured():
    for found in (over([]), share([], []), resample(np.mean, [])):
        assert found.n == 0 and math.isnan(found.value)
