"""Metrics of a VAE on one whose log p(x) and posterior are known: a linear decoder with Gaussian noise."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from labkit.errors import LabkitError
from labkit.faces.pixels import to_pixels
from labkit.vae import measures
from labkit.vae.conditional import ConditionalConfig, ConditionalVAE
from labkit.vae.measures import (
    Posteriors,
    active_units,
    decoder_sigma,
    image_bits_per_dim,
    importance_weighted_bound,
    kl_per_dimension,
    posteriors,
    reconstruct,
    reconstruction_error,
)
from labkit.vae.nets import VAE, kl_divergence

SHAPE, LATENTS, SIGMA = (1, 2, 5), 3, 0.25


class LinearVAE(VAE):
    """x = W z + b + σ ε, with the exact posterior, or one that is too wide by a factor.

    Its latents are independent given x: the columns of W are orthogonal.
    """

    def __init__(self, sigma: float = SIGMA, width: float = 1.0, scale: float = 0.2) -> None:
        rng = np.random.default_rng(0)
        pixels = math.prod(SHAPE)
        basis = np.linalg.qr(rng.normal(size=(pixels, LATENTS)))[0] * scale * np.array([1.0, 1.5, 2.0])
        decoder = nn.Sequential(nn.Linear(LATENTS, pixels), nn.Unflatten(1, SHAPE))
        super().__init__(nn.Flatten(), decoder, features=pixels, latent_dim=LATENTS, image_shape=SHAPE)
        self.double()
        self.basis, self.offset = basis, 0.1 * rng.normal(size=pixels)
        precision = 1 + (basis**2).sum(0) / sigma**2
        weight = (basis / sigma**2 / precision).T
        values = {
            self.decoder[0].weight: basis,
            self.decoder[0].bias: self.offset,
            self.to_mean.weight: weight,
            self.to_mean.bias: -weight @ self.offset,
            self.to_log_var.weight: np.zeros_like(weight),
            self.to_log_var.bias: 2 * np.log(width) - np.log(precision),
        }
        with torch.no_grad():
            for parameter, value in values.items():
                parameter.copy_(torch.as_tensor(value))

    def draw(self, n: int, sigma: float = SIGMA, seed: int = 0) -> torch.Tensor:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, LATENTS)) @ self.basis.T + self.offset + sigma * rng.normal(size=(n, 10))
        return torch.as_tensor(x).view(n, *SHAPE)

    def log_prob(self, x: torch.Tensor, sigma: float = SIGMA) -> np.ndarray:
        covariance = self.basis @ self.basis.T + sigma**2 * np.eye(10)
        return stats.multivariate_normal(self.offset, covariance).logpdf(x.flatten(1).numpy())


@pytest.mark.parametrize("samples", [1, 7])
def test_with_the_exact_posterior_the_bound_is_log_p(samples):
    model = LinearVAE()
    x = model.draw(30)
    found = importance_weighted_bound(model, x, sigma=SIGMA, samples=samples)
    np.testing.assert_allclose(found, model.log_prob(x), rtol=0, atol=1e-9)


def test_with_another_posterior_it_rises_with_the_samples_to_log_p():
    model = LinearVAE(width=1.7)
    x = model.draw(400)
    gaps = [
        np.mean(model.log_prob(x) - importance_weighted_bound(model, x, sigma=SIGMA, samples=k)) for k in (1, 8, 512)
    ]
    expected = LATENTS * 0.5 * (1.7**2 - 1 - 2 * math.log(1.7))  # KL of the wide posterior to the exact one
    assert gaps[0] == pytest.approx(expected, rel=0.1)
    assert gaps[0] > 2 * gaps[1] > 0
    assert abs(gaps[2]) < 0.02


def test_one_sample_is_the_elbo_on_average():
    model = LinearVAE(width=1.7)
    x = model.draw(1).expand(4000, *SHAPE).contiguous()
    bound = importance_weighted_bound(model, x, sigma=SIGMA, samples=1)
    elbo = model.elbo(x, sigma=SIGMA, generator=torch.Generator().manual_seed(1)).elbo
    assert bound.mean() == pytest.approx(elbo.mean().item(), abs=0.15)


def test_the_bound_is_seeded_and_refuses_nonsense():
    model = LinearVAE(width=1.7)
    x = model.draw(20)
    a, b, c = (importance_weighted_bound(model, x, sigma=SIGMA, samples=3, seed=s) for s in (0, 0, 1))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    for wrong in ({"samples": 0}, {"sigma": 0.0}):
        with pytest.raises(LabkitError):
            importance_weighted_bound(model, x, **({"sigma": SIGMA} | wrong))


def test_bits_of_grey_levels_are_their_entropy():
    """Images that the model itself drew, rounded to grey levels: the code length must meet the entropy."""
    sigma = 0.1
    model = LinearVAE(sigma, scale=0.1)
    images = to_pixels(model.draw(3000, sigma))
    assert images.min() > 0 and images.max() < 255  # nothing was clipped
    covariance = 127.5**2 * (model.basis @ model.basis.T + sigma**2 * np.eye(10))
    entropy = stats.multivariate_normal(np.zeros(10), covariance).entropy() / (10 * math.log(2))
    bits = image_bits_per_dim(model, images, sigma=sigma, samples=2)
    assert bits.shape == (3000,)
    assert bits.mean() == pytest.approx(entropy, abs=0.02)
    with pytest.raises(LabkitError, match="uint8"):
        image_bits_per_dim(model, images / 255, sigma=SIGMA)


def test_posteriors_are_the_models(monkeypatch):
    monkeypatch.setattr(measures, "ENCODED_AT_ONCE", 3)
    model = LinearVAE()
    x = model.draw(7)
    found = posteriors(model, x)
    mean, log_var = model.encode(x)
    np.testing.assert_allclose(found.mean, mean.detach(), atol=1e-6)
    np.testing.assert_allclose(found.log_var, log_var.detach(), atol=1e-6)


def test_kl_per_dimension_sums_to_the_models_kl():
    rng = np.random.default_rng(0)
    found = Posteriors(rng.normal(size=(50, 4)), rng.normal(size=(50, 4)))
    expected = kl_divergence(torch.as_tensor(found.mean), torch.as_tensor(found.log_var)).mean(0)
    np.testing.assert_allclose(kl_per_dimension(found), expected)
    assert kl_per_dimension(Posteriors(np.zeros((5, 2)), np.zeros((5, 2)))).tolist() == [0, 0]


def test_active_units_are_those_whose_mean_moves():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(5000, 4)) * [1.0, 0.12, 0.08, 0.0] + [0, 0, 0, 3.0]
    log_var = rng.normal(size=(5000, 4)) * 5  # does not matter
    assert active_units(Posteriors(mean, log_var)).tolist() == [True, True, False, False]
    with pytest.raises(LabkitError, match="active_units"):
        active_units(Posteriors(mean[:1], log_var[:1]))


def test_reconstruction_error_is_the_residuals_mean_square():
    model = LinearVAE(sigma=1e-4)
    exact = model.draw(20, sigma=0.0)
    assert reconstruction_error(model, exact).max() < 1e-10
    off = np.random.default_rng(1).normal(size=(20, 10))
    off -= off @ np.linalg.pinv(model.basis).T @ model.basis.T  # what no latent can draw
    error = reconstruction_error(model, exact + torch.as_tensor(off).view(20, *SHAPE))
    np.testing.assert_allclose(error, (off**2).mean(1), rtol=1e-4)
    assert decoder_sigma(model, exact + torch.as_tensor(off).view(20, *SHAPE)) == pytest.approx(
        np.sqrt((off**2).mean()), rel=1e-4
    )


def test_uint8_images_are_taken_to_the_same_scale():
    model = LinearVAE(sigma=1e-3)
    images = to_pixels(model.draw(10, sigma=0.0))
    assert reconstruction_error(model, images).max() < (1 / 127.5) ** 2


def test_conditions_go_along_and_the_mode_is_left_as_it_was(monkeypatch):
    torch.manual_seed(0)
    model = ConditionalVAE(ConditionalConfig(2, 4, (16, 32), 4))
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 32), np.uint8)
    conditions = np.random.default_rng(1).random((6, 2)) < 0.5
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = reconstruct(model, images, conditions)
    monkeypatch.setattr(measures, "ENCODED_AT_ONCE", 4)
    torch.testing.assert_close(whole, reconstruct(model, images, conditions))
    parts = torch.cat([reconstruct(model, images[i : i + 2], conditions[i : i + 2]) for i in (0, 2, 4)])
    torch.testing.assert_close(whole, parts)
    assert (whole - reconstruct(model, images, ~conditions)).abs().max() > 0
    assert np.isfinite(image_bits_per_dim(model, images, conditions, sigma=0.3, samples=5)).all()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(LabkitError, match="condition"):
        posteriors(model, images)
