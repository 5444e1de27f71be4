"""Some image models lie channels_last, which changes nothing but their speed."""

import copy

import pytest
import torch
from torch import nn

from labkit.classifier.nets import ResNet18
from labkit.gan.dcgan import DCGAN, DCGANConfig
from labkit.hvae.nets import HVAE, HVAEConfig
from labkit.vae.resnet import ResNetConfig, ResNetVAE


def images():
    return torch.rand(8, 3, 32, 32, dtype=torch.float64) * 2 - 1


MODELS = {
    "DCGAN": (lambda: DCGAN(DCGANConfig(4, 32, 5)), lambda model: model.discriminator(model.sample(8))),
    "ResNetVAE": (lambda: ResNetVAE(ResNetConfig(5, 32, 4)), lambda model: model.elbo(images(), sigma=10.0).elbo),
    "HVAE": (lambda: HVAE(HVAEConfig(width=4)), lambda model: model.elbo(images()).elbo),
    "ResNet18": (lambda: ResNet18(2, 4), lambda model: model(images() / 2 + 0.5)),
}


@pytest.fixture(params=MODELS, ids=str)
def case(request):
    make, run = MODELS[request.param]
    torch.manual_seed(1)
    return make().double(), run


def kernels(model):
    """The weights of the convolutions that mix places and channels: for others the layouts are one."""
    layers = (layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d))
    weights = [layer.weight for layer in layers]
    return [weight for weight in weights if weight.shape[1] > 1 and weight[0, 0].numel() > 1]


def test_outputs_and_gradients_are_those_of_the_usual_layout(case):
    model, run = case
    usual = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    assert kernels(usual) and all(weight.is_contiguous() for weight in kernels(usual))
    results = []
    for each in (model, usual):
        torch.manual_seed(2)
        out = run(each)
        (out * torch.linspace(1, 2, out.numel(), dtype=out.dtype).view(out.shape)).sum().backward()
        results.append((out, {name: p.grad for name, p in each.named_parameters()}, each.state_dict()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)


def test_the_layout_outlives_copies_checkpoints_and_an_optimizer(case):
    model, run = case
    usual = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    model.load_state_dict(usual.state_dict())
    other = copy.deepcopy(model)
    adam = torch.optim.Adam(other.parameters(), fused=True)
    run(other).sum().backward()
    adam.step()
    for each in (model, other):
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels(each))
    for weight in kernels(other):
        strides = {weight.stride(), weight.grad.stride(), adam.state[weight]["exp_avg"].stride()}
        assert len(strides) == 1
