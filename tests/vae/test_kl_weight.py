"""The four names of a KL weight agree with each other and with gradients."""

import math

import pytest
import torch

from labkit.errors import LabkitError
from labkit.vae.instance_norm import InstanceNormConfig, InstanceNormVAE
from labkit.vae.kl_weight import KLWeight
from labkit.vae.training import weighted_loss

REDUCTIONS = ("mean", "sum")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("pixels", "latents"), [(9216, 64), (12288, 512), (49152, 32)])
def test_round_trips(reduction, pixels, latents):
    weight = KLWeight(3e-4, reduction, pixels, latents)
    assert weight.beta(weight.sigma) == pytest.approx(1)
    assert weight.at(reduction="sum").at(reduction="mean", pixels=7).at(
        reduction=reduction, pixels=pixels
    ).weight == pytest.approx(weight.weight)


def test_numbers_worked_by_hand():
    """λ = 1e-5 on a mean over 64 × 48 × 3: σ² = 1e-5 · 9216 / 2."""
    weight = KLWeight(1e-5, "mean", 9216, 64)
    assert weight.sigma**2 == pytest.approx(0.04608)
    assert weight.beta(sigma=1.0) == pytest.approx(0.04608)
    assert weight.beta_norm(sigma=1.0) == pytest.approx(0.00032)
    assert weight.at(reduction="sum").weight == pytest.approx(0.09216)
    assert weight.at(pixels=4 * 9216).weight == pytest.approx(2.5e-6)
    assert weight.at(pixels=4 * 9216).sigma == pytest.approx(weight.sigma)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("kl_weight", "sigma"), [(1e-3, 0.2), (0.5, 1.0)])
def test_the_weighted_loss_has_the_gradient_of_the_beta_elbo(reduction, kl_weight, sigma):
    torch.manual_seed(0)
    model = InstanceNormVAE(InstanceNormConfig(6, (32, 16), 2)).double()
    x = torch.rand(5, 3, 32, 16, dtype=torch.float64) * 2 - 1

    def gradient(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])

    torch.manual_seed(1)
    ours = gradient(weighted_loss(model, x, kl_weight, reduction)[0])
    weight = KLWeight(kl_weight, reduction, model.pixels, model.latent_dim)
    for at_sigma in (sigma, weight.sigma):
        torch.manual_seed(1)
        bound = model.elbo(x, sigma=at_sigma)
        theirs = gradient((-bound.reconstruction + weight.beta(at_sigma) * bound.kl).mean())
        ratio = (ours @ theirs) / (theirs @ theirs)
        torch.testing.assert_close(ours, ratio * theirs, rtol=1e-8, atol=1e-12)
        per_pixel = 1 / model.pixels if reduction == "mean" else 1.0
        assert ratio.item() == pytest.approx(2 * at_sigma**2 * per_pixel)


@pytest.mark.parametrize("wrong", [(0.0, "mean", 9, 2), (1e-3, "avg", 9, 2), (1e-3, "sum", 0, 2), (1.0, "sum", 9, 0)])
def test_nonsense_is_refused(wrong):
    with pytest.raises(LabkitError, match="KLWeight"):
        KLWeight(*wrong)


@pytest.mark.parametrize("weight", [math.inf, math.nan])
def test_a_weight_that_is_not_finite_is_refused(weight):
    with pytest.raises(LabkitError, match="KLWeight"):
        KLWeight(weight, "mean", 9, 2)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf, math.nan])
def test_a_spread_that_is_none_is_refused(sigma):
    with pytest.raises(LabkitError, match="sigma"):
        KLWeight(1e-3, "mean", 9, 2).beta(sigma)
