"""Likelihoods against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA

from labkit.errors import LabkitError
from labkit.faces.pixels import bits_per_dim, dequantise
from labkit.flows.nets import FlowConfig, build_flow
from labkit.metrics.likelihood import PCAImageDensity, log_prob, shares


def gaussian_images(count: int = 400, pixels: int = 30, rank: int = 4, noise: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(pixels, rank)))[0]
    images = 0.5 + (0.3 * rng.normal(size=(count, rank))) @ basis.T + noise * rng.normal(size=(count, pixels))
    return images


def test_log_prob_is_the_models_own_whatever_the_batch():
    flow = build_flow(FlowConfig(4, 2)).double().initialise(torch.randn(50, 4).double())
    x = np.random.default_rng(0).normal(size=(37, 4))
    direct = flow.log_prob(torch.as_tensor(x)).detach().numpy()
    np.testing.assert_allclose(log_prob(flow, x, batch_size=10), direct)
    assert log_prob(flow, x).dtype == np.float64


def test_bits_per_dim_of_a_uniform_byte_is_eight():
    assert bits_per_dim(np.array([-3 * math.log(256)]), 3) == pytest.approx(8)


def test_shares_add_up():
    counted = shares(np.array([0.0, 1.0, np.inf, -np.inf, -np.inf, np.nan, np.nan, np.nan]))
    assert counted == {"finite": 0.25, "plus_inf": 0.125, "minus_inf": 0.25, "nan": 0.375}


def test_image_density_equals_the_gaussian_it_describes():
    """With Gaussian codes, the image density is one Gaussian of known covariance: compare with SciPy."""
    images = gaussian_images()
    pca = PCA(4, svd_solver="full").fit(images)
    density = PCAImageDensity(pca, 0.0025)
    codes, residual = density.split(images)
    flow = build_flow(FlowConfig(4, 1)).double().initialise(torch.as_tensor(codes))
    got = log_prob(flow, codes) + density.residual_log_prob(residual)
    inside = pca.components_.T
    spread = (codes.std(0, ddof=1) + 1e-6) ** 2
    outside = np.eye(30) - inside @ inside.T
    covariance = inside * spread @ inside.T + 0.0025 * outside
    wanted = stats.multivariate_normal(pca.mean_ + inside @ codes.mean(0), covariance).logpdf(images)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_residual_variance_is_measured():
    images = gaussian_images(noise=0.05)
    density = PCAImageDensity.fit(PCA(4).fit(images), images)
    assert density.residual_variance == pytest.approx(0.05**2 + (1 / 255) ** 2 / 12, rel=0.05)


@pytest.mark.parametrize("levels", [255, 40])
def test_bits_per_pixel_of_noise_is_its_entropy(levels):
    """Images of independent Gaussian pixels: the bound must meet the entropy of a pixel."""
    rng = np.random.default_rng(1)
    images = np.round((0.5 + 0.1 * rng.normal(size=(20000, 24))) * levels) / levels
    pca = PCA(4, svd_solver="full").fit(images)
    density = PCAImageDensity.fit(pca, images, levels)
    flow = build_flow(FlowConfig(4, 1)).double().initialise(torch.as_tensor(pca.transform(images)))
    entropy = 0.5 * math.log2(2 * math.pi * math.e * (levels**2 * images.var() + 1 / 12))
    assert density.bits_per_dim(flow, images).mean() == pytest.approx(entropy, abs=0.001)


def test_dequantised_images_round_back():
    images = np.random.default_rng(2).integers(0, 256, (5, 9)) / 255
    noisy = dequantise(images)
    np.testing.assert_array_equal(np.round(noisy * 255), np.round(images * 255))
    assert not np.array_equal(noisy, images)


def test_whitened_pca_is_refused():
    with pytest.raises(LabkitError, match="whiten"):
        PCAImageDensity.fit(PCA(2, whiten=True).fit(gaussian_images()), gaussian_images())


def test_as_many_components_as_pixels_leave_nothing_to_measure():
    images = np.random.default_rng(0).integers(0, 256, (40, 6)) / 255
    with pytest.raises(LabkitError, match="6 components of 6 pixels"):
        PCAImageDensity.fit(PCA(6).fit(images), images)
