"""The folded convolution is upsampling and then convolving: values, gradients, every size."""

import pytest
import torch
import torch.nn.functional as F

from labkit.vae.resnet import UpsampledConv2d


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9])
def test_it_is_upsampling_then_convolving(size):
    torch.manual_seed(size)
    layer = UpsampledConv2d(4, 3, size).double()
    results = []
    for plain in (False, True):
        x = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
        if plain:
            image = F.conv2d(F.interpolate(x, scale_factor=2), layer.weight, layer.bias, padding=size // 2)
        else:
            image = layer(x)
        assert image.shape == (2, 3, 12, 10)
        toll = torch.linspace(0, 1, image.numel(), dtype=torch.float64).view_as(image)
        results.append((image, *torch.autograd.grad((image * toll).sum(), (x, *layer.parameters()))))
    for folded, plain in zip(*results, strict=True):
        torch.testing.assert_close(folded, plain)


def test_its_state_is_that_of_a_convolution():
    state = UpsampledConv2d(4, 3, 7).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {"weight": (3, 4, 7, 7), "bias": (3,)}
