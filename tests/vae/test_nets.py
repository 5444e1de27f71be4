"""One set of properties for every variational autoencoder of the course."""

import copy
import math

import pytest
import torch
from torch import nn

from labkit.data.vision import models
from labkit.errors import LabkitError
from labkit.faces.pixels import to_input, to_pixels
from labkit.vae.conditional import ConditionalConfig, ConditionalVAE
from labkit.vae.instance_norm import (
    TABULATED_STRIDES,
    InstanceNorm2d,
    InstanceNormConfig,
    InstanceNormDecoder,
    InstanceNormVAE,
)
from labkit.vae.nets import VAE, Elbo, gaussian_log_likelihood, kl_divergence
from labkit.vae.resnet import ResNetConfig, ResNetEncoder, ResNetVAE

MODELS = {
    "E 64x48": lambda: InstanceNormVAE(InstanceNormConfig(10, (64, 48), 4)),
    "E 16x32": lambda: InstanceNormVAE(InstanceNormConfig(3, (16, 32), 4)),
    "D 64": lambda: ResNetVAE(ResNetConfig(10, 64, 4)),
    "D 128": lambda: ResNetVAE(ResNetConfig(5, 128, 4)),
    "C 64x64": lambda: ConditionalVAE(ConditionalConfig(7, 10, (64, 64), 4)),
    "C 32x48": lambda: ConditionalVAE(ConditionalConfig(1, 5, (32, 48), 4)),
}


@pytest.fixture(params=MODELS)
def model(request) -> VAE:
    torch.manual_seed(0)
    return MODELS[request.param]()


def inputs(model: VAE, n: int = 4, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Images in [−1, 1] and, where the model has one, a condition."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, *model.image_shape, generator=generator) * 2 - 1
    condition = (torch.rand(n, model.condition_dim, generator=generator) < 0.5).float()
    return x, condition if model.condition_dim else None


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shapes_and_range(model):
    x, condition = inputs(model)
    mean, log_var = model.encode(x, condition)
    assert mean.shape == log_var.shape == (4, model.latent_dim)
    for image in (model.decode(mean, condition), model(x, condition)[0], model.sample(4, condition=condition)):
        assert image.shape == x.shape
        assert image.abs().max() <= 1
    bound = model.elbo(x, condition, sigma=1.0)
    assert bound.reconstruction.shape == bound.kl.shape == bound.elbo.shape == (4,)
    assert model.pixels == x[0].numel()


def test_every_parameter_gets_a_gradient(model):
    x, condition = inputs(model)
    model.elbo(x, condition, sigma=1.0).elbo.sum().backward()
    dead = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or p.grad.abs().max() < 1e-6
    ]
    assert dead == []


def test_the_elbo_is_that_of_torchs_distributions(model):
    model.eval()
    x, condition = inputs(model)
    bound = model.elbo(x, condition, sigma=0.3, generator=seeded())
    image, mean, log_var = model(x, condition, seeded())
    posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    likelihood = torch.distributions.Normal(image, 0.3).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(bound.kl, kl)
    torch.testing.assert_close(bound.reconstruction, likelihood)
    torch.testing.assert_close(bound.elbo, likelihood - kl)


def test_the_seed_decides_the_elbo_and_the_samples(model):
    model.eval()
    x, condition = inputs(model)
    with torch.no_grad():
        bounds = [model.elbo(x, condition, sigma=0.1, generator=seeded(s)).elbo for s in (0, 0, 1)]
        drawn = [model.sample(4, condition=condition, generator=seeded(s)) for s in (0, 0, 1)]
    for same, other in (bounds[:2], bounds[1:]), (drawn[:2], drawn[1:]):
        assert torch.equal(*same)
        assert not torch.equal(*other)


def test_in_eval_mode_an_image_does_not_depend_on_its_batch(model):
    model.eval()
    x, condition = inputs(model)
    whole = model.encode(x, condition)[0]
    alone = torch.cat([model.encode(x[[i]], None if condition is None else condition[[i]])[0] for i in range(4)])
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


def test_temperature_zero_is_the_decoded_origin(model):
    model.eval()
    _, condition = inputs(model)
    cold = model.sample(4, temperature=0.0, condition=condition)
    torch.testing.assert_close(cold, model.decode(torch.zeros(4, model.latent_dim), condition))


def test_saved_and_loaded_it_is_the_same(model, tmp_path):
    x, condition = inputs(model)
    model(x, condition)  # moves running statistics, where there are any
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = copy.deepcopy(model)
    for parameter in other.state_dict().values():
        parameter.zero_()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    model.eval(), other.eval()
    torch.testing.assert_close(other.encode(x, condition), model.encode(x, condition))
    z = torch.ones(4, model.latent_dim)
    assert torch.equal(other.decode(z, condition), model.decode(z, condition))


def test_wrong_input_is_refused(model):
    x, condition = inputs(model)
    surplus = torch.zeros(4, model.condition_dim + 1)
    for wrong in ((x[:, :, 1:], condition), (to_pixels(x), condition), (x, surplus)):
        with pytest.raises(LabkitError, match=type(model).__name__):
            model.encode(torch.as_tensor(wrong[0]), wrong[1])
    with pytest.raises(LabkitError, match="condition"):
        model.decode(torch.zeros(4, model.latent_dim), surplus)
    with pytest.raises(LabkitError, match="sigma"):
        model.elbo(x, condition, sigma=0.0)


def test_it_learns_and_the_condition_reaches_the_image(model):
    """A few steps of gradient ascent raise the ELBO; a conditional model answers to its condition."""
    model.train()
    x, condition = inputs(model, 8)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    values = []
    for _ in range(12):
        loss = -model.elbo(x, condition, sigma=1.0, generator=seeded()).elbo.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0] - 10
    if condition is not None:
        z = torch.zeros(8, model.latent_dim)
        assert (model.decode(z, condition) - model.decode(z, 1 - condition)).abs().max() > 1e-3
        assert (model.encode(x, condition)[0] - model.encode(x, 1 - condition)[0]).abs().max() > 1e-3


def test_kl_in_closed_form_is_that_of_monte_carlo():
    mean, log_var = torch.tensor([[0.0, 0.5, -2.0]]).double(), torch.tensor([[0.0, -1.5, 0.7]]).double()
    posterior, prior = (torch.distributions.Normal(mean, torch.exp(0.5 * log_var)), torch.distributions.Normal(0, 1))
    torch.manual_seed(0)
    z = posterior.sample((400_000,))
    estimate = (posterior.log_prob(z) - prior.log_prob(z)).mean(0)
    torch.testing.assert_close(kl_divergence(mean, log_var), estimate, rtol=0, atol=0.01)
    assert kl_divergence(mean, log_var)[0, 0] == 0


def test_reparameterised_latents_have_the_posteriors_moments_and_gradients():
    model = MODELS["E 16x32"]()
    mean = torch.tensor([[1.0, -2.0, 0.0]]).expand(100_000, 3).clone().requires_grad_()
    log_var = torch.tensor([[0.0, 1.0, -3.0]]).expand(100_000, 3).clone().requires_grad_()
    z = model.reparameterise(mean, log_var, seeded())
    torch.testing.assert_close(z.mean(0), mean[0], rtol=0, atol=0.02)
    torch.testing.assert_close(z.var(0), log_var[0].exp(), rtol=0.02, atol=0)
    z.sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones_like(mean))
    torch.testing.assert_close(log_var.grad, 0.5 * (z - mean).detach(), rtol=1e-4, atol=1e-5)


def test_likelihood_counts_every_pixel_once():
    x = torch.zeros(2, 3, 4, 5)
    expected = -60 * (math.log(0.5) + 0.5 * math.log(2 * math.pi)) - 0.5 * 60 * (0.1 / 0.5) ** 2
    torch.testing.assert_close(gaussian_log_likelihood(x, x + 0.1, 0.5), torch.full((2,), expected))
    with pytest.raises(LabkitError, match="share a shape"):
        gaussian_log_likelihood(x, x[:, :, :1], 0.5)


def test_elbo_has_no_third_term():
    assert Elbo(torch.tensor([5.0]), torch.tensor([2.0])).elbo.item() == 3.0


def test_pixels_survive_the_way_in_and_out():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = to_input(levels)
    assert (x.min(), x.max()) == (-1, 1)
    assert (to_pixels(x) == levels.numpy()).all()
    assert to_pixels(torch.tensor([[[[-3.0, 3.0]]]])).tolist() == [[[[0, 255]]]]


def test_report_es_decoder_as_printed_misses_the_size():
    """Claim E5: stride 1 in the second layer ends at 40 × 32; the mirror of the encoder at 64 × 48."""
    config = InstanceNormConfig()
    z = torch.zeros(1, 64)
    assert InstanceNormDecoder(config, TABULATED_STRIDES)(z).shape == (1, 3, 40, 32)
    assert InstanceNormDecoder(config)(z).shape == (1, 3, 64, 48)


@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (2, 1, 1, 2), (3, 4, 8, 6), (2, 5, 1, 9)], ids=str)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["usual", "last"])
def test_instance_normalisation_is_torchs(shape, memory_format):
    x = (torch.randn(shape, dtype=torch.float64) * 3 + 2).to(memory_format=memory_format)
    toll = torch.randn(shape, dtype=torch.float64)
    found = []
    for layer in (InstanceNorm2d(shape[1]), nn.InstanceNorm2d(shape[1])):
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        found.append((out, *torch.autograd.grad((out * toll).sum(), leaf), layer.state_dict()))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)


def test_report_es_encoder_is_the_table():
    layers = [layer for layer in InstanceNormVAE().encoder if isinstance(layer, nn.Conv2d)]
    found = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.padding[0]) for c in layers]
    steps = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
    expected = [(a, b, 3 if i % 2 else 4, 1 if i % 2 else 2, 1) for i, (a, b) in enumerate(steps)]
    assert found == expected
    assert InstanceNormVAE().to_mean.in_features == 256 * (64 // 16) * (48 // 16)


def test_report_ds_encoder_is_torchvisions_resnet18():
    ours = ResNetEncoder().eval()
    theirs = models.resnet18()
    theirs.fc = nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 3, 64, 64)
    features = ours(x)
    assert features.shape == (2, 512)
    torch.testing.assert_close(features, theirs.eval()(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: InstanceNormConfig(size=(64, 50)),
        lambda: InstanceNormConfig(size=(16, 16)),
        lambda: InstanceNormConfig(latent_dim=0),
        lambda: ResNetConfig(size=48),
        lambda: ResNetConfig(size=0),
        lambda: ConditionalConfig(0),
        lambda: ConditionalConfig(3, size=(64, 40)),
    ],
)
def test_impossible_sizes_are_refused(make):
    with pytest.raises(LabkitError, match="not possible"):
        make()
