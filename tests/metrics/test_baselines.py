"""Baselines against closed forms."""

import numpy as np
import pytest
from scipy import stats

from labkit.metrics.baselines import baseline_nll


def draw(count: int, seed: int) -> np.ndarray:
    """Correlated Gaussian rows (count, 3) with very different scales."""
    mix = np.array([[1.0, 0, 0], [8.0, 5.0, 0], [0.01, 0, 0.02]])
    return 3 + np.random.default_rng(seed).normal(size=(count, 3)) @ mix.T


def test_the_gaussian_is_scipys_in_the_inputs_unit():
    train, validation, test = draw(300, 0), draw(100, 1), draw(200, 2)
    known = np.concatenate([train, validation])
    expected = stats.multivariate_normal(known.mean(0), np.cov(known.T, bias=True)).logpdf(test).mean()
    assert baseline_nll(train, validation, test)["Gaussian"] == pytest.approx(-expected, abs=1e-6)


def test_changing_the_unit_shifts_every_baseline_by_the_same():
    train, validation, test = draw(100, 0), draw(40, 1), draw(60, 2)
    small = baseline_nll(train, validation, test)
    large = baseline_nll(*(100 * rows for rows in (train, validation, test)))
    for name, value in small.items():
        assert large[name] - value == pytest.approx(3 * np.log(100), abs=0.05), name


def test_on_clusters_mixture_and_kernel_beat_the_gaussian():
    def clusters(count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.choice([-3.0, 3.0], size=(count, 2)) + 0.3 * rng.normal(size=(count, 2))

    nll = baseline_nll(clusters(200, 0), clusters(80, 1), clusters(200, 2))
    assert nll["mixture"] < nll["Gaussian"] - 1
    assert nll["kernel density"] < nll["Gaussian"] - 1
