"""The network of the factor oracle."""

import torch

from labkit.drawn.factors import BINARY, FACTORS
from labkit.oracle.net import SIDE, FactorNet

BINARIES = torch.tensor([factor.kind == BINARY for factor in FACTORS])


def make_net() -> FactorNet:
    torch.manual_seed(0)
    return FactorNet(BINARIES)


def test_shapes_and_a_gradient_for_every_parameter():
    net = make_net()
    images = torch.rand(4, 3, SIDE, SIDE)
    location, log_variance = net(images)
    assert location.shape == log_variance.shape == (4, len(FACTORS))
    assert net.features(images).shape == (4, net.dims)
    (location.square().sum() + log_variance.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_readings_are_in_the_units_of_the_factors():
    net = make_net().eval()
    images = torch.rand(5, 3, SIDE, SIDE)
    net.centre.copy_(torch.where(BINARIES, 0.0, 0.3))
    net.spread.copy_(torch.where(BINARIES, 1.0, 0.2))
    net.scale.fill_(2.0)
    with torch.no_grad():
        (location, log_variance), (mean, std) = net(images), net.read(images)
    torch.testing.assert_close(mean[:, ~BINARIES], 0.3 + 0.2 * location[:, ~BINARIES])
    torch.testing.assert_close(std[:, ~BINARIES], 2 * 0.2 * log_variance[:, ~BINARIES].exp().sqrt())
    p = torch.sigmoid(location[:, BINARIES] / 2)
    torch.testing.assert_close(mean[:, BINARIES], p)
    torch.testing.assert_close(std[:, BINARIES] ** 2, p - p**2)


def test_every_part_of_the_picture_is_looked_at():
    net = make_net().eval()
    images = torch.rand(1, 3, SIDE, SIDE, requires_grad=True)
    net(images)[0].square().sum().backward()
    seen = images.grad.abs().sum((0, 1))
    assert seen.reshape(8, 8, 8, 8).sum((1, 3)).min() > 0
