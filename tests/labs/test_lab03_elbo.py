"""Lab 03's checks of the latent, the KL and the bound, put through right and wrong solutions."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence
from torch.nn import functional as F

from labkit.labs import lab03
from labkit.vae import nets as vae

SHAPE, CENTRE, SPREAD, FRESH, REACHED = (
    "z has the shape of the mean",
    "z lies around the mean",
    "its standard deviation is exp(log_var / 2)",
    "each number has its own noise, new at each call",
    "gradients reach the mean and log_var",
)
ROWS, PRIOR, LIBRARY, MONTE_CARLO, TINY, KL_REACHED = (
    "one number for each image",
    "it is 0 where the posterior is the prior",
    "it is that of torch.distributions",
    "it is the mean of log q(z) − log p(z) over drawn z",
    "log_var counts however small the variance",
    "gradients reach the mean and log_var",
)
THREE, LIKELIHOOD, KL, SUM, EVIDENCE, ELBO_REACHED = (
    "three terms, each with one number per image",
    "log p(x | z) is the log-density of a Gaussian",
    "the KL is that of torch.distributions",
    "the terms add up",
    "where the posterior is exact, its mean is log p(x)",
    "gradients reach the image, the mean and log_var",
)


def reparameterise(mean, log_var):
    return mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)


def rsample(mean, log_var):
    return Normal(mean, log_var.exp().sqrt()).rsample()


def noisy(scale, noise=torch.randn_like):
    return (lambda mean, log_var: mean + scale(log_var) * noise(mean),)


def with_fixed_noise(mean, log_var):
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0), dtype=mean.dtype)
    return mean + torch.exp(log_var / 2) * noise


def std(log_var):
    return torch.exp(log_var / 2)


def by_rows(mean, log_var):
    return torch.stack([m + torch.randn(len(m), dtype=m.dtype) * v.exp().sqrt() for m, v in zip(mean, log_var)])


def in_place_on_noise(mean, log_var):
    return torch.empty_like(mean).normal_().mul_((log_var / 2).exp()).add_(mean)


class Latent(torch.nn.Module):
    def forward(self, mean, log_var):
        spread = log_var.mul(0.5).exp_()
        return torch.addcmul(mean, spread, torch.randn(mean.shape, dtype=mean.dtype))


def by_cholesky(mean, log_var):
    return MultivariateNormal(mean, scale_tril=torch.diag_embed(torch.exp(log_var / 2))).rsample()


DRAWN_RIGHT = {
    "by hand": (reparameterise,),
    "by rsample": (rsample,),
    "row by row": (by_rows,),
    "in place": (in_place_on_noise,),
    "a class": (Latent(),),
    "multivariate": (by_cholesky,),
    "root of the variance": (lambda m, v: m + torch.sqrt(torch.exp(v)) * torch.normal(torch.zeros_like(m), 1.0),),
    "power": (lambda m, v: m + math.e ** (v / 2) * torch.randn(*m.size()).to(m),),
    "Independent": (lambda m, v: Independent(Normal(m, torch.exp(0.5 * v)), 1).rsample(),),
    "noise of numpy": (lambda m, v: m + (v / 2).exp() * torch.as_tensor(np.random.randn(*m.shape)).to(m),),
    "einsum": (lambda m, v: m + torch.einsum("ij,ij->ij", v.exp().pow(0.5), torch.randn_like(v)),),
    "in float64": (lambda m, v: reparameterise(m.double(), v.double()).to(m),),
}
# Name → solution, and property → part of the hint that it must get.
DRAWN_WRONG = {
    "summed": ((lambda m, v: reparameterise(m, v).sum(1),), {SHAPE: "should be", CENTRE: "", SPREAD: "", FRESH: ""}),
    "variance for deviation": (noisy(torch.exp), {SPREAD: "halve it before exp"}),
    "log_var for deviation": (noisy(lambda v: v), {SPREAD: "as if it were"}),
    "noise not scaled": (
        (lambda mean, log_var: mean + torch.randn_like(mean),), {SPREAD: "not scaled", REACHED: "log_var"}
    ),
    "sign turned": (noisy(lambda v: std(-v)), {SPREAD: "sign is flipped"}),
    "no noise": (
        (lambda mean, log_var: mean.clone(),), {SPREAD: "noise is missing", FRESH: "two calls", REACHED: "log_var"}
    ),
    "rand": (noisy(std, torch.rand_like), {CENTRE: "randn_like", SPREAD: "uniform"}),
    "noise alone": (
        (lambda mean, log_var: std(log_var) * torch.randn_like(mean),),
        {CENTRE: "itself", SPREAD: "", REACHED: "mean"},
    ),
    "same at each call": ((with_fixed_noise,), {FRESH: "no seed"}),
    "shared by images": (
        noisy(std, lambda mean: torch.randn_like(mean[:1])), dict.fromkeys((CENTRE, SPREAD, FRESH), "all images")
    ),
    "shared by latents": (noisy(std, lambda mean: torch.randn_like(mean[:, :1])), {FRESH: "all latents"}),
    "sampled without gradient": (
        (lambda mean, log_var: Normal(mean, std(log_var)).sample(),), {REACHED: "no gradient reaches z"}
    ),
    "log_var detached": (noisy(lambda v: std(v.detach())), {REACHED: "log_var"}),
}  # fmt: skip


def kl(mean, log_var):
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)


def kl_by_library(mean, log_var):
    each = kl_divergence(Normal(mean, std(log_var)), Normal(torch.zeros_like(mean), torch.ones_like(mean)))
    return each.sum(1)


def changed(formula, reduce=lambda each: each.sum(1)):
    return (lambda mean, log_var: reduce(0.5 * formula(mean, log_var, log_var.exp())),)


def plain(m, v, var):
    return m**2 + var - 1 - v


BOTH = {LIBRARY: "", MONTE_CARLO: "draws say"}
KL_RIGHT = {
    "by hand": (kl,),
    "the kit's": (lambda mean, log_var: vae.kl_divergence(mean, log_var).sum(1),),
    "by dot products": (lambda m, v: 0.5 * ((m * m).sum(1) + v.exp().sum(1) - m.shape[1] - v.sum(1)),),
    "as in the paper": (lambda m, v: -0.5 * torch.sum(1 + v - m.pow(2) - v.exp(), dim=-1),),
    "loops": (lambda m, v: torch.stack([sum((a**2 + b.exp() - 1 - b) / 2 for a, b in zip(*r)) for r in zip(m, v)]),),
    "einsum": (lambda m, v: (torch.einsum("ij,ij->i", m, m) + (torch.expm1(v) - v).sum(-1)) / 2,),
    "vmap": (torch.func.vmap(lambda m, v: 0.5 * (m @ m + v.exp().sum() - v.sum() - v.numel())),),
    "norm": (lambda m, v: 0.5 * m.norm(dim=1) ** 2 + 0.5 * (v.exp() - v - 1).sum(1),),
    "in float64": (lambda m, v: kl(m.double(), v.double()).to(m),),
    "by the library": (kl_by_library,),
    "log of exp": changed(lambda m, v, var: m**2 + var - 1 - var.log()),
}
KL_WRONG = {
    "summed over the batch": (changed(plain, torch.sum), {ROWS: "whole batch"}),
    "not summed": (changed(plain, lambda each: each), {ROWS: "each feature"}),
    "mean over latents": (changed(plain, lambda each: each.mean(1)), BOTH | {LIBRARY: "mean over the latents"}),
    "no ½": (changed(lambda *a: 2 * plain(*a)), BOTH | {LIBRARY: "½ is missing"}),
    "sign turned": (changed(lambda *a: -plain(*a)), BOTH | {LIBRARY: "sign is flipped"}),
    "no −1": (
        changed(lambda m, v, var: m**2 + var - v), BOTH | {LIBRARY: "−1 is missing", PRIOR: "−1 is missing"}
    ),
    "no variance": (
        changed(lambda m, v, var: m**2 - 1 - v), BOTH | {PRIOR: "var is missing"}
    ),
    "deviation's logarithm": (
        changed(lambda m, v, var: m**2 + var**2 - 1 - 2 * v), BOTH | {LIBRARY: "standard deviation"}
    ),
    "deviation for variance": (
        changed(lambda m, v, var: m**2 + var.sqrt() - 1 - v), BOTH | {LIBRARY: "has the variance"}
    ),
    "mean not squared": (changed(lambda m, v, var: m + var - 1 - v), BOTH | {LIBRARY: "not squared"}),
    "other way round": (
        (lambda m, v: kl_divergence(Normal(0.0, 1.0), Normal(m, std(v))).sum(1),),
        BOTH | {LIBRARY: "other way", TINY: "must grow"},
    ),
    "in bits": (changed(lambda *a: plain(*a) / math.log(2)), BOTH | {LIBRARY: "bits"}),
    "a little added to the variance": (
        changed(lambda m, v, var: m**2 + var - 1 - (var + 1e-12).log()), {TINY: "add nothing"}
    ),
    "log_var limited": ((lambda m, v: kl(m, v.clamp(min=-45)),), {TINY: "limit"}),
    "detached": ((lambda m, v: kl(m, v).detach(),), {KL_REACHED: "no gradient"}),
    "mean detached": ((lambda m, v: kl(m.detach(), v),), {KL_REACHED: "the mean"}),
}  # fmt: skip


def elbo(x, image, mean, log_var, sigma):
    likelihood = Normal(image, sigma).log_prob(x).flatten(1).sum(1)
    return likelihood - kl(mean, log_var), likelihood, kl(mean, log_var)


def elbo_by_hand(x, image, mean, log_var, sigma):
    squared = ((x - image) ** 2).sum((1, 2, 3))
    numbers = x[0].numel()
    likelihood = -squared / (2 * sigma**2) - numbers * math.log(sigma * math.sqrt(2 * math.pi))
    return [likelihood - kl(mean, log_var), likelihood, kl(mean, log_var)]


def with_likelihood(change):
    """The bound with another log p(x | z), from squared error (N,), count of numbers, sigma and the right value."""

    def bound(x, image, mean, log_var, sigma):
        _, right, divergence = elbo(x, image, mean, log_var, sigma)
        wrong = change(((x - image) ** 2).flatten(1).sum(1), x[0].numel(), sigma, right)
        return wrong - divergence, wrong, divergence

    return (bound,)


def with_kl(change):
    def bound(x, image, mean, log_var, sigma):
        _, likelihood, divergence = elbo(x, image, mean, log_var, sigma)
        return likelihood - change(divergence), likelihood, change(divergence)

    return (bound,)


def constant(n, sigma):
    return n * math.log(sigma * math.sqrt(2 * math.pi))


OFF = {LIKELIHOOD: "", EVIDENCE: "mean of your bound"}


def by_likelihood(likelihood, divergence=kl):
    """The bound with log p(x | z) of (x, image, sigma), (N,)."""

    def bound(x, image, mean, log_var, sigma):
        first, second = likelihood(x, image, sigma), divergence(mean, log_var)
        return first - second, first, second

    return (bound,)


def by_nll_loss(x, image, sigma):
    variance = torch.full_like(x, sigma**2)
    return -F.gaussian_nll_loss(image, x, variance, full=True, reduction="none").flatten(1).sum(1)


def from_squares(squares):
    return lambda x, image, sigma: (
        -0.5 * squares(x, image) / sigma**2 - 0.5 * x[0].numel() * math.log(2 * math.pi * sigma**2)
    )


ELBO_RIGHT = {
    "by distributions": (elbo,),
    "by hand": (elbo_by_hand,),
    "gaussian_nll_loss": by_likelihood(by_nll_loss),
    "mse_loss": by_likelihood(from_squares(lambda a, b: F.mse_loss(b, a, reduction="none").sum((1, 2, 3)))),
    "einsum": by_likelihood(from_squares(lambda a, b: torch.einsum("nchw,nchw->n", a - b, a - b)), kl_by_library),
    "loops": by_likelihood(from_squares(lambda a, b: torch.stack([((p - q) ** 2).sum() for p, q in zip(a, b)]))),
    "norm": by_likelihood(from_squares(lambda a, b: torch.linalg.vector_norm(a - b, dim=(1, 2, 3)).square())),
    "cdist": by_likelihood(
        from_squares(lambda a, b: torch.stack([torch.dist(p, q) ** 2 for p, q in zip(a.unbind(), b.unbind())]))
    ),
    "Independent": by_likelihood(lambda x, image, sigma: Independent(Normal(image, sigma), 3).log_prob(x)),
    "by view": by_likelihood(lambda x, image, sigma: Normal(image, sigma).log_prob(x).view(len(x), -1).sum(-1)),
    "in float64": (lambda *given: [each.to(given[0]) for each in elbo(*(g.double() for g in given[:4]), given[4])],),
}
ELBO_WRONG = {
    "two things": (
        (lambda *a: elbo(*a)[:2],),
        dict.fromkeys((THREE, LIKELIHOOD, KL, SUM, EVIDENCE, ELBO_REACHED), "three things")
    ),
    "mean over the batch": (
        (lambda *a: tuple(each.mean() for each in elbo(*a)),), {THREE: "one per image"}
    ),
    "squared error alone": (with_likelihood(lambda s, n, sd, r: -s), OFF | {LIKELIHOOD: "squared error"}),
    "mean squared error": (with_likelihood(lambda s, n, sd, r: -s / n), OFF | {LIKELIHOOD: "mean squared"}),
    "mean over pixels": (with_likelihood(lambda s, n, sd, r: r / n), OFF | {LIKELIHOOD: "mean over the pixels"}),
    "no constant": (with_likelihood(lambda s, n, sd, r: -s / (2 * sd**2)), OFF | {LIKELIHOOD: "constant"}),
    "constant of one number": (
        with_likelihood(lambda s, n, sd, r: r + (n - 1) * constant(1, sd)), OFF | {LIKELIHOOD: "one number"}
    ),
    "constant of the whole batch": (
        by_likelihood(lambda x, image, sigma: Normal(image, sigma).log_prob(x).flatten(1).sum(1)
        - (len(x) - 1) * constant(x[0].numel(), sigma)),
        {THREE: "none count", LIKELIHOOD: "whole batch", EVIDENCE: ""}
    ),
    "sign of the likelihood": (with_likelihood(lambda s, n, sd, r: -r), OFF | {LIKELIHOOD: "sign is flipped"}),
    "σ for σ²": (
        with_likelihood(lambda s, n, sd, r: -s / (2 * sd) - constant(n, sd)), OFF | {LIKELIHOOD: "2σ²"}
    ),
    "no ½": (with_likelihood(lambda s, n, sd, r: -s / sd**2 - constant(n, sd)), OFF | {LIKELIHOOD: "½"}),
    "KL in mean over latents": (with_kl(lambda k: k / 4), {KL: "mean over the latents", EVIDENCE: ""}),
    "KL doubled": (with_kl(lambda k: 2 * k), {KL: "½ is missing", EVIDENCE: ""}),
    "KL added": (
        (lambda *a: (elbo(*a)[1] + elbo(*a)[2], *elbo(*a)[1:]),), {SUM: "subtract", EVIDENCE: ""}
    ),
    "likelihood detached": (
        with_likelihood(lambda s, n, sd, r: r.detach()), {ELBO_REACHED: "image"}
    ),
    "KL detached": (with_kl(lambda k: k.detach()), {ELBO_REACHED: ""}),
    "a loss": ((lambda *a: (-elbo(*a)[0], *elbo(*a)[1:]),), {SUM: "a loss", EVIDENCE: ""}),
}  # fmt: skip

CHECKS = {
    "reparameterisation": (lab03.reparameterisation, DRAWN_RIGHT, DRAWN_WRONG),
    "closed_form_kl": (lab03.closed_form_kl, KL_RIGHT, KL_WRONG),
    "elbo": (lab03.elbo, ELBO_RIGHT, ELBO_WRONG),
}
EACH_RIGHT = [(check, name) for check, (_, right, _) in CHECKS.items() for name in right]
EACH_WRONG = [(check, name) for check, (_, _, wrong) in CHECKS.items() for name in wrong]


@pytest.mark.parametrize(("check", "name"), EACH_RIGHT)
def test_right_solution_has_every_property(prove, check, name):
    function, right, _ = CHECKS[check]
    prove.right(function, right[name])


@pytest.mark.parametrize(("check", "name"), EACH_WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, check, name):
    function, _, wrong = CHECKS[check]
    prove.wrong(function, *wrong[name])


@pytest.mark.parametrize("check", CHECKS)
def test_stub_fails_cleanly_in_every_property(prove, check):
    prove.stub(CHECKS[check][0], arguments=1)


@pytest.mark.parametrize("check", CHECKS)
def test_every_property_is_missed_by_some_wrong_solution(prove, check):
    prove.complete(*CHECKS[check])


@pytest.mark.parametrize("check", CHECKS)
def test_checks_are_the_same_every_time_and_leave_the_generator_alone(check):
    function, right, wrong = CHECKS[check]
    solution = next(iter(wrong.values()))[0]
    torch.manual_seed(1)
    first = function(*solution)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    torch.manual_seed(2)
    assert function(*solution) == first
    assert len(right) >= 2
