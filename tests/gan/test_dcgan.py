"""The two nets of the DCGAN: shapes, first weights, range, and what the paper says of its layers."""

import pytest
import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.gan.dcgan import DCGAN, DCGANConfig


def gan(**config):
    torch.manual_seed(0)
    return DCGAN(DCGANConfig(**({"width": 8, "size": 16, "latent_dim": 12} | config)))


@pytest.mark.parametrize("size, channels", [(8, 1), (16, 3), (32, 3), (64, 3)])
def test_shapes_and_range(size, channels):
    model = gan(width=4, size=size, channels=channels)
    z = model.noise(5)
    x = model.decode(10 * z)
    assert z.shape == (5, 12) and x.shape == (5, channels, size, size)
    assert x.abs().max() <= 1 and model.discriminator(x).shape == (5,)
    assert torch.equal(model.eval()(z), model.decode(z))


def test_at_64_it_is_the_net_of_the_paper():
    """Channels, sides and the count of weights of the plain tutorial's nets, whose convolutions have no bias."""
    model = DCGAN()
    x, sides = model.noise(2)[:, :, None, None], []
    for layer in model.generator.layers:
        x = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            sides.append((x.shape[1], x.shape[2]))
    assert sides == [(512, 4), (256, 8), (128, 16), (64, 32), (3, 64)]
    sides = []
    for layer in model.discriminator.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            sides.append((x.shape[1], x.shape[2]))
    assert sides == [(64, 32), (128, 16), (256, 8), (512, 4), (1, 1)]
    count = [sum(p.numel() for p in net.parameters()) for net in (model.generator, model.discriminator)]
    assert count == [3_576_704 + 3, 2_765_568 + 64 + 1]


def test_the_first_weights_are_the_papers():
    model = gan(width=32, size=32)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in convolutions:
        error = 5 * 0.02 / layer.weight.numel() ** 0.5
        assert abs(layer.weight.mean()) < error and abs(layer.weight.std() - 0.02) < error
        assert layer.bias is None or not layer.bias.any()
    scales = torch.cat([layer.weight.detach() for layer in norms])
    assert abs(scales.mean() - 1) < 0.01 and abs(scales.std() - 0.02) < 0.005
    assert not torch.cat([layer.bias.detach() for layer in norms]).any()


def test_batch_normalisation_everywhere_but_at_the_image():
    model = gan(size=32)
    generator, discriminator = (list(net.layers) for net in (model.generator, model.discriminator))
    assert [type(layer) for layer in generator[-2:]] == [nn.ConvTranspose2d, nn.Tanh]
    assert [type(layer) for layer in discriminator[:2]] == [nn.Conv2d, nn.LeakyReLU]
    for layers in (generator[:-2], discriminator[2:-1]):
        kinds = [type(layer) for layer in layers]
        assert kinds.count(nn.BatchNorm2d) == len(kinds) / 3
    assert {layer.negative_slope for layer in discriminator if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_every_weight_gets_a_gradient():
    model = gan()
    model.discriminator(model.sample(6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_in_eval_mode_an_image_does_not_depend_on_the_others():
    model = gan().eval()
    z = model.noise(6)
    torch.testing.assert_close(model.decode(z)[:2], model.decode(z[:2]))
    torch.testing.assert_close(model.discriminator(model(z))[:2], model.discriminator(model(z[:2])))
    # The means of a batch, small as they are in a new net, would show.
    model.train()
    assert not torch.allclose(model.decode(z)[:2], model.decode(z[:2]), rtol=1e-3, atol=1e-5)


def test_samples_come_from_the_generator_given():
    model = gan().eval()
    draws = [model.sample(4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    z = model.noise(20_000)
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02


def test_impossible_sizes_are_refused():
    for wrong in ({"size": 48}, {"size": 4}, {"width": 0}, {"latent_dim": 0}, {"channels": 0}):
        with pytest.raises(LabkitError, match="DCGANConfig"):
            gan(**wrong)
