"""The objectives of the β-VAE and β-TCVAE: what they are at β = 1, and that the parts of the KL are its parts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit import fit
from labkit.vae.disentangling import (
    Objective,
    disentangling_loss,
    disentangling_update,
    kl_parts,
    log_weights,
)
from labkit.vae.nets import gaussian_log_likelihood
from labkit.vae.small import SmallConfig, SmallVAE

N = 12


def posterior(rows=N, latents=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mean, log_var, noise = torch.randn(3, rows, latents, generator=generator, dtype=torch.float64)
    mean, log_var = 1.5 * mean, 0.5 * log_var - 1
    return mean + torch.exp(log_var / 2) * noise, mean, log_var


def model_and_images(rows=6):
    """A model whose posteriors are narrow and far apart, so that no part of the KL is small."""
    torch.manual_seed(0)
    model = SmallVAE(SmallConfig(4, 1, 32, width=4))
    with torch.no_grad():
        model.to_mean.weight.mul_(100)
        model.to_log_var.bias.fill_(-6.0)
    return model, torch.rand(rows, 1, 32, 32) * 2 - 1


def loss_of(objective, rows=6, dataset_size=100):
    model, x = model_and_images(rows)
    torch.manual_seed(1)
    return disentangling_loss(model, x, objective, dataset_size)


@pytest.mark.parametrize("penalty", ["kl", "tc"])
def test_beta_of_one_is_the_elbo(penalty):
    model, x = model_and_images()
    torch.manual_seed(1)
    expected = -model.elbo(x, sigma=1.0).elbo.mean()
    loss, terms = loss_of(Objective(1.0, penalty, sigma=1.0))
    torch.testing.assert_close(loss, expected)
    assert terms["kl"] > 1 and terms.get("tc", 1.0) > 0.1


def test_the_loss_draws_latents_as_the_model_does():
    model, x = model_and_images()
    with torch.no_grad():
        model.to_log_var.bias.fill_(4.0)  # so that a picture shows how wide its posterior is
    torch.manual_seed(1)
    z = model.reparameterise(*model.encode(x))
    expected = -gaussian_log_likelihood(x, model.decode(z), 0.1).mean()
    torch.manual_seed(1)
    _, terms = disentangling_loss(model, x, Objective(sigma=0.1), 100)
    torch.testing.assert_close(terms["reconstruction"], expected.detach())


@pytest.mark.parametrize(("penalty", "term"), [("kl", "kl"), ("tc", "tc")])
def test_beta_weighs_its_own_term(penalty, term):
    one, terms = loss_of(Objective(1.0, penalty, sigma=1.0))
    five, _ = loss_of(Objective(5.0, penalty, sigma=1.0))
    torch.testing.assert_close(five - one, 4 * terms[term], atol=1e-2, rtol=1e-4)


def slow_parts(z, mean, log_var, weights):
    """The three parts, with loops over images and torch's own densities."""
    normal = Normal(mean, torch.exp(log_var / 2))
    found = []
    for i, latent in enumerate(z):
        density = normal.log_prob(latent)  # (B, M): of this z under every posterior
        own = density[i].sum()
        joint = math.log(sum(w * math.exp(row.sum()) for w, row in zip(weights[i], density)))
        apart = sum(math.log(sum(w * math.exp(v) for w, v in zip(weights[i], column))) for column in density.T)
        prior = Normal(0.0, 1.0).log_prob(latent).sum()
        found.append((own - joint, joint - apart, apart - prior))
    return [torch.stack([torch.as_tensor(row[k], dtype=torch.float64) for row in found]) for k in range(3)]


@pytest.mark.parametrize("dataset_size", [N, 500])
def test_parts_are_those_of_a_slow_loop(dataset_size):
    found = kl_parts(*posterior(), dataset_size)
    own, other = 1 / dataset_size, (1 - 1 / dataset_size) / (N - 1)
    weights = np.full((N, N), other)
    np.fill_diagonal(weights, own)
    for got, expected in zip(
        (found.index_code, found.total_correlation, found.dimension_wise), slow_parts(*posterior(), weights)
    ):
        torch.testing.assert_close(got, expected)


def test_parts_add_up_to_the_kl():
    _, mean, log_var = posterior()
    rows = 4000
    many = [value.repeat(rows // N, 1) for value in (mean, log_var)]
    z = many[0] + torch.exp(many[1] / 2) * torch.randn(
        many[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    totals = [kl_parts(z[start : start + N], mean, log_var, N).total for start in range(0, len(z) // N * N, N)]
    closed = kl_divergence(Normal(mean, torch.exp(log_var / 2)), Normal(0.0, 1.0)).sum(1).mean()
    assert abs(torch.cat(totals).mean() - closed) < 0.15
    parts = kl_parts(z[:N], mean, log_var, 300)
    torch.testing.assert_close(parts.total, kl_parts(z[:N], mean, log_var, N).total)


def gaussian_cloud(correlation, rows=1500):
    """z and narrow posteriors whose sum is a Gaussian of this correlation between two latents."""
    generator = torch.Generator().manual_seed(2)
    mean, noise = torch.randn(2, rows, 2, generator=generator, dtype=torch.float64)
    mean[:, 1] = correlation * mean[:, 0] + math.sqrt(1 - correlation**2) * mean[:, 1]
    width = 0.3
    return mean + width * noise, mean, torch.full_like(mean, 2 * math.log(width))


def test_total_correlation_of_an_independent_gaussian_is_about_zero():
    independent = kl_parts(*gaussian_cloud(0.0), 1500).total_correlation.mean()
    dependent = kl_parts(*gaussian_cloud(0.9), 1500).total_correlation.mean()
    inherited = 0.9 / (1 + 0.3**2)  # the correlation of z, whose posteriors add their width
    assert abs(independent) < 0.05
    assert abs(dependent + 0.5 * math.log(1 - inherited**2)) < 0.08


def test_weights_are_without_bias():
    z, mean, log_var = posterior(N)
    densities = Normal(mean, torch.exp(log_var / 2)).log_prob(z[0]).sum(1).exp()
    truth = densities.mean()  # q(z_0) over all N
    rng, values = np.random.default_rng(0), []
    for _ in range(3000):
        rows = [0, *rng.choice(np.arange(1, N), 3, replace=False)]
        values.append((log_weights(4, N)[0].exp() * densities[rows]).sum().item())
    assert abs(np.mean(values) / truth - 1) < 0.02
    torch.testing.assert_close(log_weights(4, N).exp().sum(1), torch.ones(4, dtype=torch.float64))


def test_parts_stay_finite_where_posteriors_are_far_apart():
    z, mean, log_var = posterior()
    parts = kl_parts(1e3 * z.float(), 1e3 * mean.float(), log_var.float() - 5, 500)
    assert torch.isfinite(parts.total).all() and torch.isfinite(parts.total_correlation).all()


@pytest.mark.parametrize("penalty", ["kl", "tc"])
def test_training_lowers_the_loss_and_resumes(penalty, tmp_path):
    images = np.random.default_rng(0).integers(0, 2, (40, 1, 1, 1), np.uint8).repeat(32, 2).repeat(32, 3) * 255
    objective = Objective(2.0, penalty, sigma=0.5)

    def trained(epochs, run_dir=None):
        torch.manual_seed(0)
        model = SmallVAE(SmallConfig(2, 1, 32, width=4))
        update = disentangling_update(model, objective, len(images), rate=5e-3)
        batches = ResidentBatches(images, batch_size=8, normalise="symmetric")
        return fit(model, update, batches, epochs=epochs, run_dir=run_dir, precision="bf16", progress=False)

    whole = trained(4).history["loss"]
    assert whole.iloc[-1] < whole.iloc[0]
    trained(2, tmp_path)
    np.testing.assert_array_equal(trained(4, tmp_path).history["loss"], whole)


def test_impossible_objectives_are_refused():
    good = Objective()
    for wrong in (
        {"beta": -1.0}, {"beta": math.nan}, {"sigma": 0.0}, {"penalty": "mmd"},
    ):  # fmt: skip
        with pytest.raises(LabkitError, match="Objective"):
            replace(good, **wrong)
    for batch, count in ((1, 10), (11, 10)):
        with pytest.raises(LabkitError, match="log_weights"):
            log_weights(batch, count)
