"""The hierarchical VAE: closed forms, bounds, shapes, checkpointing, temperatures, batch normalisation."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from labkit.errors import LabkitError
from labkit.faces.pixels import bits_per_dim
from labkit.hvae.discretised_logistic import log_mass, parts
from labkit.hvae.groups import BOUND, bounded, draw_latents, residual_kl
from labkit.hvae.measures import (
    bounds,
    elbo_bits,
    importance_weighted_bits,
    redrawn,
    statistics_of_samples,
)
from labkit.hvae.nets import HVAE, HVAEConfig, count_parameters
from labkit.metrics.peak_memory import peak_bytes

SMALL = HVAEConfig(groups=(1, 2), size=16, width=4, vector=5)


def pictures(n=4, size=16, seed=1):
    """Levels in [−1, 1], (n, 3, size, size)."""
    levels = torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(seed))
    return levels.float() / 127.5 - 1


def model_of(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return HVAE(config)


def lively(config=SMALL):
    """A model whose posteriors differ from image to image and from the prior."""
    model = model_of(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()


def normals():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(4)]


def test_residual_kl_is_that_of_torch_distributions():
    mean, shift, log_factor, log_std = normals()
    q, p = Normal(mean + shift, (log_std + log_factor).exp()), Normal(mean, log_std.exp())
    torch.testing.assert_close(residual_kl(shift, log_factor, log_std), kl_divergence(q, p))


def test_residual_kl_is_the_mean_of_the_log_ratio():
    mean, shift, log_factor, log_std = (each[:1] for each in normals())
    n = 60_000
    noise = torch.randn(n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    told = 5 * torch.atanh(torch.cat((shift, log_factor), 1) / 5)
    z, (kl, ratio) = draw_latents(mean.expand(n, -1), log_std.expand(n, -1), told.expand(n, -1), noise, 1.0, True)
    assert kl[0].item() == pytest.approx(residual_kl(shift, log_factor, log_std).sum().item())
    assert abs(ratio.mean() - kl[0]) < 4 * ratio.std() / n**0.5
    q, p = Normal(mean + shift, (log_std + log_factor).exp()), Normal(mean, log_std.exp())
    torch.testing.assert_close(ratio, (q.log_prob(z) - p.log_prob(z)).sum(1), rtol=1e-3, atol=1e-5)  # float32 within


def test_absolute_posterior_is_the_same_normal_written_otherwise():
    mean, _, _, log_std = normals()
    told = torch.randn(6, 10, dtype=torch.float64)
    noise = torch.randn(6, 5, dtype=torch.float64)
    z, (kl, _) = draw_latents(mean, log_std, told, noise, 1.0, False)
    own_mean, own_log_std = bounded(told).double().chunk(2, 1)
    torch.testing.assert_close(z, own_mean + own_log_std.exp() * noise, rtol=1e-5, atol=1e-5)
    expected = kl_divergence(Normal(own_mean, own_log_std.exp()), Normal(mean, log_std.exp())).sum(1)
    torch.testing.assert_close(kl, expected, rtol=1e-4, atol=1e-4)


def test_bound_is_soft_and_finite():
    values = torch.tensor([-1e9, -0.1, 0.0, 0.1, 1e9])
    got = bounded(values)
    assert got.abs().max() <= BOUND
    torch.testing.assert_close(got[1:4], values[1:4], atol=1e-4, rtol=0)
    assert bounded(values.bfloat16()).dtype == torch.float32


CONFIGS = {
    "32": HVAEConfig(width=4),
    "64, two groups a scale": HVAEConfig(groups=(2, 2, 2), size=64, coarsest=8, width=4),
    "128": HVAEConfig(groups=(1, 1), size=128, coarsest=8, width=4),
    "flat": HVAEConfig(groups=(0, 0, 0), width=4),
    "a gap": HVAEConfig(groups=(1, 0, 1), width=4, cells=2),
    "mixture of 3, one channel": HVAEConfig(width=4, mixtures=3, channels=1),
    "all off": HVAEConfig(width=4, residual_normal=False, depthwise=False),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_range_and_gradients(name):
    config = CONFIGS[name]
    model = model_of(config)
    x = pictures(2, config.size)[:, : config.channels]
    found = model.elbo(x)
    assert found.kl.shape == (2, 1 + sum(config.groups)) and found.elbo.shape == (2,)
    assert (found.kl >= 0).all() and found.log_ratio.isfinite().all()
    (-found.elbo.mean()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    with torch.no_grad():
        for drawn in (model.sample(2), model.reconstruct(x)):
            assert drawn.shape == x.shape and drawn.abs().max() <= 1
    assert sum(each[0].numel() for each in model.noise(1)) == config.latents
    assert count_parameters(config) == sum(weight.numel() for weight in model.parameters())


def test_elbo_is_reconstruction_minus_the_sum_of_group_kls():
    model, x = lively(), pictures()
    found = model.elbo(x, model.noise(4, torch.Generator().manual_seed(2)))
    total = found.reconstruction - sum(found.kl[:, group] for group in range(found.kl.shape[1]))
    torch.testing.assert_close(found.elbo, total)
    assert (found.kl > 0.01).all()


def test_log_ratio_is_the_kl_on_average_and_more_samples_tighten_the_bound():
    model, x = lively(), pictures(2)
    found = bounds(model, x, samples=400)
    difference = (found.log_ratio - found.kl.sum(1)).view(2, 400)
    assert (difference.mean(1).abs() < 4 * difference.std(1) / 400**0.5).all()
    few, many = (importance_weighted_bits(model, x, samples=k).mean() for k in (1, 400))
    assert many < few
    assert many < bits_per_dim(found.elbo, math.prod(x.shape[1:])).mean()
    assert importance_weighted_bits(model, x, samples=1).shape == (2,)


def test_importance_weighted_bound_is_below_the_evidence_of_a_model_that_ignores_its_latents():
    """Where the posterior is the prior and the decoder ignores z, both bounds are log p(x) exactly."""
    model = model_of().eval()
    with torch.no_grad():
        for group in model.groups:
            group.posterior[-1].weight.zero_()
            group.posterior[-1].bias.zero_()
            group.absorb.weight.zero_()
    x = pictures()
    exact = model.elbo(x)
    assert exact.kl.abs().max() < 1e-6
    torch.testing.assert_close(
        torch.tensor(importance_weighted_bits(model, x, samples=4)),
        torch.tensor(elbo_bits(model, x)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_checkpointing_changes_neither_gradients_nor_running_statistics():
    plain, saving = model_of(), model_of(replace(SMALL, checkpointing=True))
    noise = plain.noise(4, torch.Generator().manual_seed(0))
    for model in (plain, saving):
        (-model.elbo(pictures(), noise).elbo.mean()).backward()
    for (name, a), (_, b) in zip(plain.named_parameters(), saving.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    for (name, a), (_, b) in zip(plain.named_buffers(), saving.named_buffers(), strict=True):
        assert torch.equal(a, b), name
    assert all(layer.momentum == 0.05 for layer in saving.modules() if isinstance(layer, nn.BatchNorm2d))


def test_checkpointing_needs_less_memory_and_the_count_is_right():
    def step(config):
        model = model_of(config)
        return lambda: model.elbo(pictures(2)).elbo.sum().backward()

    assert peak_bytes(step(replace(SMALL, checkpointing=True))) < 0.9 * peak_bytes(step(SMALL))

    def known():
        a = torch.ones(1000)  # 4,000 bytes
        b = a * 2
        b.add_(1)  # in place
        c = b[10:]  # a view
        del a
        return c * 3 + 1  # never more than three at once

    assert peak_bytes(known) == pytest.approx(3 * 4000, abs=200)


def test_temperature_zero_is_deterministic_and_each_group_has_its_own():
    model = lively()
    first, second = (model.noise(3, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    with torch.no_grad():
        assert torch.equal(model.decode(first, 0.0), model.decode(second, 0.0))
        assert not torch.equal(model.decode(first, 1.0), model.decode(second, 1.0))
        for place in range(len(first)):
            temperatures = [float(i == place) for i in range(len(first))]
            mixed = [second[i] if i != place else first[i] for i in range(len(first))]
            assert torch.equal(model.decode(first, temperatures), model.decode(mixed, temperatures))
            assert not torch.equal(model.decode(first, temperatures), model.decode(second, temperatures))
        with pytest.raises(LabkitError, match="2 temperatures"):
            model.decode(first, [1.0, 1.0])


def test_a_temperature_narrows_the_latents_by_just_that_factor():
    """Of the second group, whose prior given the first is known, the spread of z is T σ."""
    mean, _, _, log_std = normals()
    noise = torch.randn(6, 5, dtype=torch.float64)
    z, terms = draw_latents(mean, log_std, None, noise, 0.3, True)
    assert terms is None
    torch.testing.assert_close((z - mean) / noise, 0.3 * log_std.exp())


def test_in_eval_mode_an_image_does_not_depend_on_its_batch():
    model, x = lively(), pictures()
    noise = model.noise(4, torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = model.elbo(x, noise).elbo
        alone = model.elbo(x[1:2], [each[1:2] for each in noise]).elbo
        torch.testing.assert_close(alone, together[1:2])
        model.train()
        assert not torch.allclose(model.elbo(x[:2], [each[:2] for each in noise]).elbo, together[:2])


def test_statistics_of_samples_are_those_of_samples_and_are_put_back():
    model = lively().train()
    before = copy.deepcopy(model.state_dict())
    with statistics_of_samples(model, 0.7, batches=3, batch_size=8):
        assert not model.training
        changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
        first = model.groups[1].cells[0].layers[0]
        maps = []
        handle = first.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0]))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for _ in range(3):
                model.sample(8, temperature=0.7, generator=generator)
        handle.remove()
        torch.testing.assert_close(first.running_mean, torch.cat(maps).mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert changed and all("running" in name or "num_batches" in name for name in changed)
    assert not any(name.startswith("up") or "posterior" in name for name in changed)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_redrawing_all_groups_gives_independent_pictures_and_none_the_same():
    model = lively()
    every = tuple(range(len(model.groups)))
    first, second = redrawn(model, 400, every)
    share = (first - second).square().mean() / 2 / torch.cat((first, second)).var(0).mean()
    assert share.item() == pytest.approx(1, abs=0.1)  # nothing of the first is left
    assert torch.equal(*redrawn(model, 50, ()))
    first, second = redrawn(model, 5, 1)
    assert not torch.equal(first, second)
    with torch.no_grad():
        model.groups[1].absorb.weight.zero_()  # what is drawn there is not heard
    assert torch.equal(*redrawn(model, 50, 1))


def test_every_component_starts_with_the_scale_of_pictures():
    model = model_of(replace(SMALL, mixtures=3)).eval()
    parameters, _ = model._descend(model.noise(2), model.see(pictures(2)), [1.0] * len(model.groups))
    log_scale = parts(parameters, 3, 3)[2]
    assert ((log_scale.mean((0, 3, 4)) + 1.5).abs() < 0.7).all()


def test_spectral_norms_are_those_of_the_singular_values():
    torch.manual_seed(0)
    model = model_of().train()
    for _ in range(200):
        got = model.spectral.values()
    exact = []
    for layers in model.spectral._alike:
        exact += [torch.linalg.matrix_norm(layer.weight.flatten(1), 2) for layer in layers]
    exact += [layer.weight.flatten(1).norm(dim=1).max() for layer in model.spectral._depthwise]
    torch.testing.assert_close(got, torch.stack(exact), rtol=1e-3, atol=1e-4)
    model.eval()
    before = [buffer.clone() for buffer in model.spectral.buffers()]
    model.spectral().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, model.spectral.buffers(), strict=True))
    counted = sum(isinstance(layer, nn.Conv2d) for layer in model.modules())
    assert len(got) == counted
    assert all(layer.weight.grad is not None for layer in model.modules() if isinstance(layer, nn.Conv2d))


def test_a_copy_measures_its_own_weights():
    model = model_of()
    other = copy.deepcopy(model).eval()
    model.eval()
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(2)
    assert other.spectral().item() == pytest.approx(2 * model.spectral().item(), rel=1e-4)


BAD = {
    "size": {"size": 24},
    "too small": {"size": 8},
    "no scale": {"groups": ()},
    "negative": {"groups": (1, -1)},
    "too many scales": {"groups": (1, 1, 1, 1)},
    "width": {"width": 0},
    "vector": {"vector": 0},
    "sharper than a level": {"lowest_log_scale": -8.0},
    "no number": {"lowest_log_scale": math.nan},
}


@pytest.mark.parametrize("name", BAD)
def test_impossible_shapes_are_refused_in_one_sentence(name):
    with pytest.raises(LabkitError, match="HVAEConfig") as error:
        HVAEConfig(**BAD[name])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("x", [torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 16, 16, dtype=torch.uint8)])
def test_images_of_another_kind_are_refused(x):
    with pytest.raises(LabkitError, match="to_input"):
        model_of().elbo(x)


def test_no_pixel_is_sharper_than_the_configuration_allows():
    """With pictures and weights the same, so that only the floor can lower what a perfect guess earns."""
    x, noise = pictures(4), model_of().noise(4)
    found = {}
    for lowest in (-7.0, -2.5):
        model = model_of(replace(SMALL, lowest_log_scale=lowest)).eval()
        with torch.no_grad():
            model.head[-1].weight.zero_()
            model.head[-1].bias.copy_(torch.tensor([0.0] * 3 + [-30.0] * 3))  # grey everywhere, as sharp as it may be
            found[lowest] = model.elbo(torch.zeros_like(x), noise).reconstruction
    most = log_mass(torch.zeros(()), torch.zeros(()), torch.tensor(-2.5)) * x[0].numel()
    torch.testing.assert_close(found[-2.5], most.expand(4), rtol=1e-3, atol=0)
    assert (found[-7.0] > found[-2.5]).all()


def test_config_survives_a_file():
    assert HVAEConfig(groups=[1, 2]) == HVAEConfig(groups=(1, 2))
    assert HVAEConfig(groups=[1, 2]).latents == 32 + 4 * 16 + 2 * 2 * 64
    assert math.isfinite(bounds(model_of(), (pictures(2) * 127.5 + 127.5).round().to(torch.uint8)).elbo.sum())
