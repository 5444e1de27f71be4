"""The small VAE of the disentanglement papers: layers as published, any channels, both sizes."""

import pytest
import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.vae.small import SmallConfig, SmallVAE


def layers(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def test_layers_are_those_of_the_papers():
    model = SmallVAE(SmallConfig(10, 1, 64))
    down, up = layers(model.encoder, nn.Conv2d), layers(model.decoder, nn.ConvTranspose2d)
    assert [layer.out_channels for layer in down] == [32, 32, 64, 64]
    assert [layer.in_channels for layer in up] == [64, 64, 32, 32] and up[-1].out_channels == 1
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in (*down, *up))
    dense = [(layer.in_features, layer.out_features) for layer in layers(model, nn.Linear)]
    assert dense == [(1024, 256), (256, 10), (256, 10), (10, 256), (256, 1024)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64])
def test_a_picture_goes_in_and_comes_out(size, channels):
    model = SmallVAE(SmallConfig(4, channels, size, width=4))
    x = torch.rand(3, channels, size, size) * 2 - 1
    image, mean, log_var = model(x)
    assert image.shape == x.shape and mean.shape == log_var.shape == (3, 4)
    assert image.abs().max() <= 1 and model.pixels == channels * size * size


def test_the_code_of_an_image_depends_on_that_image_alone():
    torch.manual_seed(0)
    model, x = SmallVAE(SmallConfig(4, 1, 32, width=4)).train(), torch.rand(5, 1, 32, 32)
    alone = torch.cat([model.encode(each[None])[0] for each in x])
    torch.testing.assert_close(model.encode(x)[0], alone)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = SmallVAE(SmallConfig(4, 3, 32, width=8))
    model.elbo(torch.rand(4, 3, 32, 32), sigma=0.1).elbo.mean().backward()
    assert all(bool(p.grad.any()) for p in model.parameters())


@pytest.mark.parametrize("wrong", [{"size": 48}, {"latent_dim": 0}, {"channels": 0}, {"width": 0}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(LabkitError, match="SmallConfig"):
        SmallConfig(**wrong)
