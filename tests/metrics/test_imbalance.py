"""Shares, their bands and their ratio: known values, and coverage by simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from labkit.errors import LabkitError
from labkit.metrics.imbalance import amplification, by_person, corrected_share, distribution, ratio_limits, wilson


def group(count, total):
    return np.arange(total) < count


def test_wilson_is_scipys():
    for count, total in [(0, 10), (3, 10), (10, 10), (120, 5000)]:
        wanted = binomtest(count, total).proportion_ci(0.95, "wilson")
        np.testing.assert_allclose(wilson(count, total), (wanted.low, wanted.high), atol=1e-12)
    totals = np.arange(1, 500)
    assert not wilson(0 * totals, totals)[0].any() and (wilson(totals, totals)[1] == 1).all()  # exactly


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_wilson_covers(share):
    counts = np.random.default_rng(0).binomial(400, share, 20_000)
    low, high = wilson(counts, 400)
    assert 0.93 < ((low <= share) & (share <= high)).mean() < 0.98


@pytest.mark.parametrize("data, generated", [(0.1, 0.1), (0.1, 0.05), (0.02, 0.01), (0.5, 0.6)])
def test_the_interval_of_the_ratio_covers(data, generated):
    rng = np.random.default_rng(1)
    a, b = rng.binomial(2000, data, 20_000), rng.binomial(1000, generated, 20_000)
    low, high = ratio_limits(b / 1000, *wilson(b, 1000), a / 2000, *wilson(a, 2000))
    inside = (low <= generated / data) & (generated / data <= high)
    assert 0.935 < inside.mean() < 0.975
    # Neither side takes all the errors.
    assert (low > generated / data).mean() < 0.04 and (high < generated / data).mean() < 0.04


def test_amplification_of_known_shares():
    found = amplification(group(200, 2000), group(50, 1000))
    assert (found.data, found.generated, found.ratio) == pytest.approx((0.1, 0.05, 0.5))
    assert found.ratio_low < 0.5 < found.ratio_high < 1


def test_a_group_that_is_never_drawn():
    found = amplification(group(100, 1000), group(0, 500))
    assert found.ratio == found.ratio_low == 0 and 0 < found.ratio_high < 0.2


def test_swapping_the_two_inverts_the_ratio():
    there = amplification(group(90, 900), group(60, 1000))
    back = amplification(group(60, 1000), group(90, 900))
    assert (1 / back.ratio_high, 1 / back.ratio_low) == pytest.approx((there.ratio_low, there.ratio_high))


def test_a_factors_distribution():
    rng = np.random.default_rng(2)
    data, generated = rng.random(4000), rng.random(2000) ** 2
    table = distribution(data, generated, bins=10)
    assert len(table) == 10 and (table.left[1:].to_numpy() == table.right[:-1].to_numpy()).all()
    assert table[["data", "generated"]].sum().tolist() == pytest.approx([1, 1])
    counts = np.histogram(generated, np.append(table.left, table.right.iloc[-1]))[0]
    np.testing.assert_allclose(table.generated, counts / 2000)
    np.testing.assert_allclose(table.generated_low, wilson(counts, 2000)[0])
    np.testing.assert_allclose(table.data_high, wilson(np.round(table.data * 4000), 4000)[1])
    assert table.generated_low[0] > table.data_high[0]  # squared: crowded near 0


def test_the_band_of_a_bin_covers():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(300):
        table = distribution(np.array([0.0, 1.0]), rng.random(300), bins=5)
        inside.append((table.generated_low <= 0.2) & (table.generated_high >= 0.2))
    assert 0.93 < np.mean(inside) < 0.98


def test_an_attribute_has_two_bins():
    table = distribution(group(30, 100), group(10, 50))
    assert table.data.tolist() == [0.7, 0.3] and table.generated.tolist() == [0.8, 0.2]


def test_nonsense_is_refused():
    with pytest.raises(LabkitError, match="amplification"):
        amplification(group(0, 10), group(1, 10))
    with pytest.raises(LabkitError, match="threshold"):
        amplification(np.random.rand(5), group(1, 10))
    with pytest.raises(LabkitError, match="wilson"):
        wilson(11, 10)
    with pytest.raises(LabkitError, match="finite"):
        distribution(np.array([np.nan]), np.ones(3))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_reader_with_known_errors_is_corrected(share):
    for found, false_alarms in ((1.0, 0.0), (0.7, 0.05), (0.9, 0.3)):
        seen = share * found + (1 - share) * false_alarms
        assert corrected_share(seen, found, false_alarms) == pytest.approx(share)
    rng = np.random.default_rng(0)
    truth = rng.random(200_000) < share
    read = np.where(truth, rng.random(200_000) < 0.8, rng.random(200_000) < 0.1)
    assert corrected_share(read.mean(), 0.8, 0.1) == pytest.approx(share, abs=0.01)


def test_a_corrected_share_stays_a_share():
    assert corrected_share(np.array([0.0, 0.05, 0.95]), 0.9, 0.1).tolist() == [0.0, 0.0, 1.0]
    for wrong in ((0.2, 0.3, 0.3), (0.2, 0.1, 0.4), (1.2, 0.9, 0.1), (0.2, 1.1, 0.1)):
        with pytest.raises(LabkitError, match="corrected_share"):
            corrected_share(*wrong)


def test_three_pictures_of_a_person_are_one_observation():
    people = np.repeat(np.arange(100), 3)
    belongs = people < 20
    assert by_person(belongs, people) == (pytest.approx(20), 100)
    assert by_person(belongs[:6], np.array([0, 0, 0, -1, -1, -1])) == (pytest.approx(4), 4)
    one, three = amplification(group(20, 100), group(50, 500)), amplification(belongs, group(50, 500), people)
    assert (three.ratio_low, three.ratio_high) == pytest.approx((one.ratio_low, one.ratio_high))


def test_people_and_not_pictures_make_the_interval_cover():
    rng, people = np.random.default_rng(0), np.repeat(np.arange(60), 3)
    drawn = rng.random((2000, 60)) < 0.3
    limits = {"people": [], "pictures": []}
    for row in drawn:
        limits["people"].append(wilson(*by_person(row[people], people)))
        limits["pictures"].append(wilson(row[people].sum(), len(people)))
    covered = {name: np.mean([low <= 0.3 <= high for low, high in each]) for name, each in limits.items()}
    assert 0.93 < covered["people"] < 0.98 and covered["pictures"] < 0.9
