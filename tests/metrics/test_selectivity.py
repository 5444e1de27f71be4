"""Selectivity on readings whose meaning is known."""

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.metrics.selectivity import selectivity

N, F = 200, 4
SPREAD = np.array([1.0, 10.0, 0.1, 2.0])


def readings(effects: np.ndarray, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Readings (L, n, F) whose difference is `effects` (L, F) in units of SPREAD, plus noise of so many."""
    rng = np.random.default_rng(seed)
    low = rng.normal(size=(len(effects), N, F)) * SPREAD
    blur = noise * rng.normal(size=low.shape)
    return low, low + (effects[:, None] + blur) * SPREAD


def test_a_latent_that_moves_one_factor():
    effects = np.array([[0, -2.0, 0, 0], [0, 0, 0, 1.0]])
    found = selectivity(*readings(effects), SPREAD)
    np.testing.assert_allclose(found.effect, effects, atol=1e-9)
    assert found.top.tolist() == [1, 3]
    np.testing.assert_allclose(found.strength, [2, 1])
    np.testing.assert_allclose(found.margin, 1, atol=1e-9)
    np.testing.assert_allclose(found.concentration, 1, atol=1e-6)


def test_a_latent_that_moves_two_or_all():
    effects = np.array([[2.0, 0, 1.0, 0], [0.7, -0.7, 0.7, -0.7]])
    found = selectivity(*readings(effects), SPREAD)
    shares = np.array([2 / 3, 1 / 3])
    np.testing.assert_allclose(found.margin, [0.5, 0], atol=1e-9)
    expected = [1 + (shares * np.log(shares)).sum() / np.log(F), 0]
    np.testing.assert_allclose(found.concentration, expected, atol=1e-6)


def test_the_unit_of_a_factor_does_not_matter():
    low, high = readings(np.array([[1.0, 0.5, 0, 0]]), noise=0.3)
    scale = np.array([1000.0, 1e-3, 1, 7])
    one, other = selectivity(low, high, SPREAD), selectivity(low * scale, high * scale, SPREAD * scale)
    np.testing.assert_allclose(one.effect, other.effect)
    np.testing.assert_allclose(one.concentration, other.concentration)


def test_what_changes_without_direction_is_no_effect():
    """Noise however large means nothing: a latent is named in about F · 0.3 % of cases by chance."""
    found = selectivity(*readings(np.zeros((300, F)), noise=2.0), SPREAD)
    named = found.top >= 0
    assert named.mean() < 0.05
    assert not found.strength[~named].any()
    assert not found.margin[~named].any() and not found.concentration[~named].any()


def test_identical_images_have_no_effect():
    low, _ = readings(np.zeros((3, F)))
    found = selectivity(low, low, SPREAD)
    assert found.top.tolist() == [-1, -1, -1]
    assert not found.concentration.any() and np.isfinite(found.margin).all()


def test_the_standard_error_is_that_of_a_mean():
    found = selectivity(*readings(np.zeros((50, F)), noise=1.0), SPREAD)
    np.testing.assert_allclose(found.standard_error, 1 / np.sqrt(N), rtol=0.3)
    assert np.std(found.effect) == pytest.approx(1 / np.sqrt(N), rel=0.2)


def test_a_factor_that_never_varies_is_left_out():
    low, high = readings(np.array([[1.0, 3.0, 0, 0]]))
    found = selectivity(low, high, SPREAD * [1, 0, 1, 1])
    assert found.top.tolist() == [0]
    assert np.isfinite(found.effect).all()


def test_bad_input_is_refused():
    low, high = readings(np.zeros((2, F)))
    nan = low.copy()
    nan[0, 0, 0] = np.nan
    for wrong in (
        (low, high[:1], SPREAD),
        (low[0], high[0], SPREAD),
        (low, high, SPREAD[:2]),
        (nan, high, SPREAD),
    ):
        with pytest.raises(LabkitError, match="selectivity"):
            selectivity(*wrong)
    with pytest.raises(LabkitError, match="selectivity"):
        selectivity(low[:, :1], high[:, :1], SPREAD)
