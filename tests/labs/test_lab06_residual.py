"""Lab 06's check of the residual KL, put through right and wrong solutions."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from labkit.hvae import groups as hvae_groups
from labkit.labs import lab06

ROWS, PRIOR, LIBRARY, MONTE_CARLO, TINY, REACHED, STAYS = (
    "one number for each image",
    "it is 0 where nothing is shifted or scaled",
    "it is that of torch.distributions",
    "it is the mean of log q(z) − log p(z) over drawn z",
    "log_factor counts however small the factor",
    "gradients reach all three",
    "what it is given stays as it was",
)


def right(shift, log_factor, prior_log_std):
    variance = (2 * prior_log_std).exp()
    return 0.5 * (shift**2 / variance + (2 * log_factor).exp() - 1 - 2 * log_factor).sum(1)


def by_library(shift, log_factor, prior_log_std):
    q = Normal(shift, (log_factor + prior_log_std).exp())
    return kl_divergence(q, Normal(torch.zeros_like(shift), prior_log_std.exp())).sum(1)


def changed(formula, reduce=lambda each: each.sum(1)):
    return (lambda m, f, s: reduce(0.5 * formula(m, f, s)),)


def plain(m, f, s):
    return m**2 * (-2 * s).exp() + (2 * f).exp() - 1 - 2 * f


BOTH = {LIBRARY: "", MONTE_CARLO: "draws say"}
RIGHT = {
    "by hand": (right,),
    "the kit's": (lambda m, f, s: hvae_groups.residual_kl(m, f, s).sum(1),),
    "by dot products": (
        lambda m, f, s: ((m / s.exp()) ** 2 / 2 + torch.expm1(2 * f) / 2 - f) @ torch.ones(m.shape[1]).double(),
    ),
    "by the library": (by_library,),
    "log of exp": changed(lambda m, f, s: plain(m, f, s) + 2 * f - (2 * f).exp().log()),
}
WRONG = {
    "summed over the batch": (changed(plain, torch.sum), {ROWS: "whole batch"}),
    "not summed": (changed(plain, lambda each: each), {ROWS: "each feature"}),
    "mean over latents": (changed(plain, lambda each: each.mean(1)), BOTH | {LIBRARY: "mean over the latents"}),
    "no ½": (changed(lambda *a: 2 * plain(*a)), BOTH | {LIBRARY: "½ is missing"}),
    "sign turned": (changed(lambda *a: -plain(*a)), BOTH | {LIBRARY: "sign is flipped"}),
    "no −1": (changed(lambda *a: plain(*a) + 1), BOTH | {LIBRARY: "−1 is missing", PRIOR: "−1 is missing"}),
    "no variance": (changed(lambda m, f, s: plain(m, f, s) - (2 * f).exp()), BOTH | {PRIOR: "Δσ² is missing"}),
    "shift not divided": (
        changed(lambda m, f, s: plain(m, f, 0 * s)), BOTH | {LIBRARY: "not divided by σ", REACHED: "prior_log_std"}
    ),
    "divided by σ": (changed(lambda m, f, s: plain(m, f, s / 2)), BOTH | {LIBRARY: "must be σ²"}),
    "factor's variance": (changed(lambda m, f, s: plain(m, f / 2, s)), BOTH | {LIBRARY: "exp(2 · log_factor)"}),
    "to the standard normal": (
        changed(lambda m, f, s: plain(m, f + s, 0 * s)), BOTH | {PRIOR: "", LIBRARY: "N(0, 1)"}
    ),
    "factor divided by σ": (changed(lambda m, f, s: plain(m, f - s, s)), BOTH | {PRIOR: "", LIBRARY: "once more"}),
    "other way round": (
        (lambda m, f, s: kl_divergence(Normal(0 * m, s.exp()), Normal(m, (f + s).exp())).sum(1),),
        BOTH | {LIBRARY: "other way", TINY: "must grow"},
    ),
    "a little added to the factor": (
        changed(lambda m, f, s: plain(m, f, s) + 2 * f - ((2 * f).exp() + 1e-12).log()), {TINY: "add nothing"}
    ),
    "a little added to σ²": (
        changed(lambda m, f, s: plain(m, f, 0.5 * ((2 * s).exp() + 1e-8).log())), {LIBRARY: "add nothing to σ"}
    ),
    "log σ limited": ((lambda m, f, s: right(m, f, s.clamp(-5, 5)),), {LIBRARY: "limit nothing"}),
    "log_factor limited": ((lambda m, f, s: right(m, f.clamp(min=-22), s),), {TINY: "limit"}),
    "no shift": (changed(lambda m, f, s: plain(0 * m, f, s)), BOTH | {LIBRARY: "Δμ²/σ² is 0,", REACHED: "shift"}),
    "log Δσ once": (changed(lambda m, f, s: plain(m, f, s) + f), BOTH | {LIBRARY: "log Δσ² is -0.5,"}),
    "in place": ((lambda m, f, s: (right(m, f, s), f.detach().mul_(0))[0],), {STAYS: "writes into"}),
    "detached": ((lambda *a: right(*a).detach(),), {REACHED: "no gradient"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab06.residual_kl, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab06.residual_kl, *WRONG[name])


def test_stub_fails_cleanly_and_every_property_is_missed_by_some_solution(prove):
    prove.stub(lab06.residual_kl, arguments=1)
    prove.complete(lab06.residual_kl, RIGHT, WRONG)
