"""Precision, recall, density and coverage: answers known beforehand, and a slow loop."""

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.metrics import manifold
from labkit.metrics.manifold import manifold_score


def cloud(n, seed, middle=0.0, d=4):
    return np.random.default_rng(seed).normal(middle, 1.0, (n, d))


def slow(real, generated, k):
    def ball(points, i):
        return sorted(np.linalg.norm(points[i] - p) for j, p in enumerate(points) if j != i)[k - 1]

    def inside(x, points, radii):
        return [np.linalg.norm(x - p) < r for p, r in zip(points, radii)]

    real_radii = [ball(real, i) for i in range(len(real))]
    made_radii = [ball(generated, i) for i in range(len(generated))]
    around = np.array([inside(x, real, real_radii) for x in generated])
    return (
        around.any(1).mean(),
        np.mean([any(inside(x, generated, made_radii)) for x in real]),
        around.sum() / (k * len(generated)),
        around.any(0).mean(),
    )


def four(score):
    return score.precision, score.recall, score.density, score.coverage


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_the_slow_loop_whatever_the_block(k, monkeypatch):
    real, generated = cloud(37, 1), cloud(23, 2, 0.7)
    for rows in (512, 10):
        monkeypatch.setattr(manifold, "ROWS", rows)
        score = manifold_score(real, generated, k)
        np.testing.assert_allclose(four(score), slow(real, generated, k), rtol=1e-12)
        assert (score.neighbours, score.real, score.generated) == (k, 37, 23)


# Of these two clouds by prdc 0.2, the library of those who defined density and coverage.
PRDC = {1: (0.38, 0.4625, 0.56, 0.1375), 3: (0.76, 0.7375, 0.77 / 1.5, 0.3375), 5: (0.86, 0.8125, 0.48, 0.5125)}


@pytest.mark.parametrize("k", PRDC)
def test_it_is_what_prdc_gives(k):
    assert four(manifold_score(cloud(80, 1), cloud(50, 2, 0.7), k)) == pytest.approx(PRDC[k], abs=1e-12)


@pytest.mark.parametrize("k", PRDC)
def test_those_numbers_are_what_prdc_gives(k):
    prdc = pytest.importorskip("prdc", reason="no package prdc: pip install prdc")
    found = prdc.compute_prdc(cloud(80, 1), cloud(50, 2, 0.7), k)
    assert [found[name] for name in ("precision", "recall", "density", "coverage")] == pytest.approx(PRDC[k])


def test_the_same_set_twice_scores_one():
    points = cloud(60, 3)
    assert four(manifold_score(points, points)) == pytest.approx((1, 1, 1, 1))


def test_disjoint_sets_score_zero():
    assert four(manifold_score(cloud(60, 3), cloud(60, 4, 1000.0))) == (0, 0, 0, 0)


def test_a_dropped_mode_costs_recall_and_coverage_alone():
    real = np.concatenate([cloud(75, 5), cloud(25, 6, 1000.0)])
    generated = cloud(75, 5)
    assert four(manifold_score(real, generated)) == pytest.approx((1, 0.75, 1, 0.75))


def test_an_invented_mode_costs_precision_and_density_alone():
    generated = np.concatenate([cloud(75, 5), cloud(25, 6, 1000.0)])
    assert four(manifold_score(cloud(75, 5), generated)) == pytest.approx((0.75, 1, 0.75, 1))


def test_an_outlier_swells_precision_and_not_density():
    """The failure that density was made for: one real outlier whose ball holds all that is generated."""
    real = np.concatenate([cloud(99, 7), np.full((1, 4), 100.0)])
    score = manifold_score(real, cloud(100, 8, 50.0))
    assert score.precision == 1 and score.density == pytest.approx(1 / 5) and score.coverage == 0.01


def test_one_picture_over_and_over_recalls_nothing():
    real = cloud(50, 9)
    score = manifold_score(real, np.repeat(real[:1], 50, 0))
    assert score.precision == 1 and score.recall == 0 and score.coverage < 0.3


def test_coverage_between_two_samples_is_what_the_docstring_says():
    n, m, k = 60, 80, 5
    found = [manifold_score(cloud(n, 2 * i), cloud(m, 2 * i + 1), k).coverage for i in range(100)]
    j = np.arange(1, k + 1)
    wanted = 1 - np.prod((n - j) / (m + n - j))
    assert np.mean(found) == pytest.approx(wanted, abs=4 * np.std(found) / 10)


def test_nonsense_is_refused():
    points = cloud(10, 1)
    broken = points.copy()
    broken[0, 0] = np.nan
    with pytest.raises(LabkitError, match=r"\(10, 4\) and \(10, 3\)"):
        manifold_score(points, points[:, :3])
    with pytest.raises(LabkitError, match="5 generated points"):
        manifold_score(points, points[:5])
    with pytest.raises(LabkitError, match="neighbours = 0"):
        manifold_score(points, points, 0)
    with pytest.raises(LabkitError, match="not finite"):
        manifold_score(points, broken)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e200])
def test_shares_have_no_unit(scale):
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(60, 4)), rng.normal(0.3, 1, (50, 4))
    assert manifold_score(real * scale, generated * scale) == manifold_score(real, generated)
    assert manifold_score(real, generated).precision > 0.5


def test_sets_of_zeros_are_no_division_by_zero():
    assert manifold_score(np.zeros((9, 2)), np.zeros((8, 2))).precision == 0  # balls of no width are empty
