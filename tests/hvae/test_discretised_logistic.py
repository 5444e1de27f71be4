"""The discretised logistic: a distribution over 256 levels, equal to its definition, with finite gradients."""

import math

import pytest
import torch

from labkit.errors import LabkitError
from labkit.hvae.discretised_logistic import (
    HALF,
    LOWEST_LOG_SCALE,
    expected_image,
    log_likelihood,
    log_mass,
    parameter_count,
    parts,
)

LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1
MEANS = (-3.0, -1.0, -0.3, 0.0, 0.55, 1.0, 2.5)
LOG_SCALES = (-7.0, -5.0, -3.0, -1.0, 0.0, 2.0, 6.0)


def by_definition(x, mean, log_scale):
    """Difference of the logistic CDF at the two ends of the level; the outermost reach to infinity."""

    def cdf(edge):
        return 1 / (1 + math.exp(-(edge - mean) / math.exp(log_scale)))

    upper = 1.0 if x > 1 - HALF else cdf(x + HALF)
    lower = 0.0 if x < HALF - 1 else cdf(x - HALF)
    return upper - lower


@pytest.mark.parametrize("mean", MEANS)
def test_masses_of_all_levels_sum_to_one(mean):
    log_scale = torch.tensor(LOG_SCALES, dtype=torch.float64)[:, None]
    total = log_mass(LEVELS, torch.tensor(mean, dtype=torch.float64), log_scale).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(len(LOG_SCALES), dtype=torch.float64))


@pytest.mark.parametrize("mean", MEANS[1:6])
def test_mass_is_the_difference_of_the_cdf(mean):
    """Where the slow definition does not cancel; edge levels included."""
    for log_scale in (-3.0, -1.0, 1.0):
        for x in LEVELS[[0, 1, 60, 127, 128, 200, 254, 255]]:
            got = log_mass(x, torch.tensor(mean).double(), torch.tensor(log_scale).double())
            expected = by_definition(x.item(), mean, log_scale)
            assert got.exp().item() == pytest.approx(expected, rel=1e-6, abs=1e-13)


@pytest.mark.parametrize("log_scale", LOG_SCALES)
def test_logarithm_and_gradients_are_finite_however_far_off(log_scale):
    x = LEVELS.float()
    for offset in (-50.0, 0.0, 50.0):
        mean = torch.full_like(x, offset).requires_grad_()
        scale = torch.full_like(x, log_scale).requires_grad_()
        value = log_mass(x, mean, scale)
        assert value.isfinite().all() and (value <= 0).all()
        gradients = torch.autograd.grad(value.sum(), (mean, scale))
        assert all(gradient.isfinite().all() for gradient in gradients)
    far = log_mass(x, torch.tensor(50.0), torch.tensor(-3.0))
    assert (far[1:-1].diff() > 0).all()  # still told apart, where a difference of the CDF would be 0


def test_gradient_is_that_of_the_mass():
    mean, scale = (torch.randn(256, dtype=torch.float64).requires_grad_() for _ in "ab")
    assert torch.autograd.gradcheck(lambda m, s: log_mass(LEVELS, m, s), (mean, scale))


def test_edge_levels_own_the_tails():
    mean, log_scale = torch.tensor(-1.0).double(), torch.tensor(0.0).double()
    assert log_mass(LEVELS[0], mean, log_scale).exp() > 0.5  # half of all lies below −1
    assert log_mass(LEVELS[255], -mean, log_scale).exp() > 0.5
    assert log_mass(LEVELS[1], mean, log_scale).exp() < 0.01


def image_of_levels(n=3, channels=3, side=4):
    return torch.randint(0, 256, (n, channels, side, side)).double() / 127.5 - 1


@pytest.mark.parametrize("mixtures", [1, 2, 5])
def test_mixture_is_the_weighted_sum_of_its_components(mixtures):
    torch.manual_seed(0)
    x, parameters = image_of_levels(), torch.randn(3, parameter_count(3, mixtures), 4, 4).double()
    log_weight, mean, log_scale = parts(parameters, 3, mixtures)
    torch.testing.assert_close(log_weight.exp().sum(1), torch.ones(3, 4, 4).double())
    by_hand = torch.zeros(3, 4, 4).double()
    for k in range(mixtures):
        mass = torch.ones(3, 4, 4).double()
        for c in range(3):
            mass = mass * log_mass(x[:, c], mean[:, k, c], log_scale[:, k, c]).exp()
        by_hand += log_weight[:, k].exp() * mass
    torch.testing.assert_close(log_likelihood(x, parameters, mixtures), by_hand.log().sum((1, 2)))


def test_scale_has_a_floor_with_a_slope():
    parameters = torch.full((1, 6, 2, 2), -30.0).double().requires_grad_()
    log_scale = parts(parameters, 3)[2]
    assert (log_scale >= LOWEST_LOG_SCALE).all()
    assert (torch.autograd.grad(log_scale.sum(), parameters)[0][:, 3:] > 0).all()
    near = parts(torch.full((1, 6, 2, 2), -1.0).double(), 3)[2]
    torch.testing.assert_close(near, torch.full_like(near, -1.0), atol=0.01, rtol=0)


def test_expected_image_is_the_weighted_mean():
    parameters = torch.zeros(1, parameter_count(1, 2), 1, 1)
    parameters[0, :2, 0, 0] = torch.tensor([0.0, math.log(3.0)])
    parameters[0, 2, 0, 0], parameters[0, 4, 0, 0] = 0.4, -2.0  # the second is clipped to −1
    assert expected_image(parameters, 1, 2).item() == pytest.approx(0.25 * 0.4 - 0.75)


def test_wrong_count_of_maps_is_refused():
    with pytest.raises(LabkitError, match="need 6 maps"):
        parts(torch.zeros(1, 7, 2, 2), 3)
