"""Lab 03's checks of the aggregate variance and the importance-weighted bound, on right and wrong solutions."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from labkit.labs import lab03

VECTORS, BETWEEN, WITHIN, TOTAL, IDLE = (
    "two parts, one number per latent in each",
    "the first is the variance of the means over images",
    "the second is the mean of exp(log_var)",
    "their sum is the variance of z drawn for all images",
    "an idle latent, posterior = prior, gives 0 and 1",
)
ROWS, SINGLE, LOG_MEAN, EXACT, NEAR, LARGE = (
    "one number for each image",
    "with K = 1 it is the ELBO's sum",
    "it is the log of the mean weight",
    "where q is exact it is log p(x) with any draws",
    "a poor q and many draws come near log p(x)",
    "terms of −1,000,000 nats stay finite",
)


def parts(mean, log_var):
    return mean.var(0, correction=0), log_var.exp().mean(0)


def parts_by_loops(mean, log_var):
    first = [np.var(column) for column in mean.numpy().T]
    second = [np.mean([math.exp(value) for value in column]) for column in log_var.numpy().T]
    return np.array(first), np.array(second)


def weights(likelihood, prior, posterior):
    return likelihood + prior - posterior


def bound(*terms):
    return torch.logsumexp(weights(*terms), 1) - math.log(terms[0].shape[1])


def bound_by_largest(*terms):
    log_weights = weights(*terms)
    largest = log_weights.max(1, keepdim=True).values
    return (largest + (log_weights - largest).exp().mean(1, keepdim=True).log())[:, 0]


RIGHT_PARTS = {
    "torch": (parts,),
    "loops": (parts_by_loops,),
    "squares": (lambda m, v: (m.pow(2).mean(0) - m.mean(0).pow(2), v.exp().sum(0) / len(v)),),
    "unbiased=False": (lambda m, v: (torch.var(m, dim=0, unbiased=False), torch.mean(torch.exp(v), dim=0)),),
    "var_mean": (lambda m, v: (torch.var_mean(m, 0, correction=0)[0], torch.exp(v / 2).square().mean(0)),),
    "std": (lambda m, v: [m.std(0, correction=0).square(), (v.logsumexp(0) - math.log(len(v))).exp()],),
    "numpy": (lambda m, v: (m.numpy().var(axis=0), np.exp(v.numpy()).mean(axis=0)),),
    "centred": (lambda m, v: ((m - m.mean(0, keepdim=True)).square().mean(0), v.exp().mean(dim=-2)),),
    "cov": (lambda m, v: (torch.cov(m.T, correction=0).diag(), torch.einsum("ij->j", v.exp()) / v.shape[0]),),
    "columns": (
        lambda m, v: tuple(
            torch.stack(p) for p in zip(*((a.var(correction=0), b.exp().mean()) for a, b in zip(m.T, v.T)))
        ),
    ),
    "in float64": (lambda m, v: parts(m.double(), v.double()),),
}
WRONG_PARTS = {
    "one number in all": (
        (lambda m, v: (m.var(correction=0), v.exp().mean()),),
        {VECTORS: "in all", BETWEEN: "mean.var(0", WITHIN: "exp()", TOTAL: "variance", IDLE: "prior itself"},
    ),
    "over the latents": (
        (lambda m, v: (m.var(1, correction=0), v.exp().mean(1)),),
        {VECTORS: "per image", BETWEEN: "mean.var(0", WITHIN: "exp()", TOTAL: "add up", IDLE: "prior itself"},
    ),
    "divides by N − 1": ((lambda m, v: (m.var(0), v.exp().mean(0)),), {BETWEEN: "N − 1", TOTAL: "add up"}),
    "mean of squares": (
        (lambda m, v: (m.square().mean(0), v.exp().mean(0)),),
        {BETWEEN: "subtracted first", TOTAL: "add up"},
    ),
    "exp after the mean": (
        (lambda m, v: (m.var(0, correction=0), v.mean(0).exp()),),
        {WITHIN: "exp comes before", TOTAL: "add up"},
    ),
    "half of log_var": (
        (lambda m, v: (m.var(0, correction=0), (v / 2).exp().mean(0)),),
        {WITHIN: "no half", TOTAL: "add up"},
    ),
    "changed places": (
        (lambda m, v: parts(m, v)[::-1],),
        {BETWEEN: "places", WITHIN: "places", IDLE: "prior"},
    ),
    "the sum alone": (
        (lambda m, v: sum(parts(m, v)),),
        dict.fromkeys((VECTORS, BETWEEN, WITHIN, TOTAL, IDLE), "two things"),
    ),
    "no exp": (
        (lambda m, v: (m.var(0, correction=0), v.mean(0)),),
        {WITHIN: "exp before", TOTAL: "add up", IDLE: "prior itself"},
    ),
}


def bound_by_rows(likelihood, prior, posterior):
    rows = []
    for each in weights(likelihood, prior, posterior):
        total = each[0]
        for value in each[1:]:
            total = torch.logaddexp(total, value)
        rows.append(total - math.log(len(each)))
    return torch.stack(rows)


def bound_in_place(likelihood, prior, posterior):
    total = likelihood.clone()
    total += prior
    total -= posterior
    return total.sub_(math.log(total.shape[1])).logsumexp(-1)


RIGHT_BOUNDS = {
    "logsumexp": (bound,),
    "the largest first": (bound_by_largest,),
    "logaddexp": (bound_by_rows,),
    "in place on a copy": (bound_in_place,),
    "softmax": (lambda *t: (w := weights(*t))[:, 0] - torch.log_softmax(w, 1)[:, 0] - np.log(w.shape[1]),),
    "logcumsumexp": (lambda *t: weights(*t).logcumsumexp(dim=1)[:, -1] - torch.tensor(t[0].size(1)).log(),),
    "scipy": (lambda *t: logsumexp(weights(*t).numpy(), axis=1, b=1 / t[0].shape[1]),),
    "mixture": (lambda *t: torch.logsumexp(weights(*t) - math.log(t[0].shape[1]), dim=1, keepdim=True).squeeze(1),),
    "stacked": (lambda a, b, c: (torch.stack((a, b, -c)).sum(0)).logsumexp(1).sub(math.log(a.shape[-1])),),
    "vmap": (lambda *t: torch.func.vmap(lambda row: row.logsumexp(0) - math.log(len(row)))(weights(*t)),),
    "in float64": (lambda *t: bound(*(each.double() for each in t)),),
}
WRONG_BOUNDS = {
    "the ELBO": ((lambda *t: weights(*t).mean(1),), {LOG_MEAN: "mean of the logs", NEAR: "40,000"}),
    "log of the sum": (
        (lambda *t: torch.logsumexp(weights(*t), 1),),
        {LOG_MEAN: "subtract log K", EXACT: "true posterior", NEAR: "40,000"},
    ),
    "one for the batch": ((lambda *t: bound(*t).mean(),), {ROWS: "whole batch"}),
    "exp without care": ((lambda *t: weights(*t).exp().mean(1).log(),), {LARGE: "logsumexp"}),
    "log q added": (
        (lambda a, b, c: bound(a, b, -c),),
        {SINGLE: "subtracted", LOG_MEAN: "logsumexp", EXACT: "true posterior", NEAR: "40,000"},
    ),
    "likelihood alone": (
        (lambda a, b, c: bound(a, 0 * b, 0 * c),),
        {SINGLE: "missing", LOG_MEAN: "logsumexp", EXACT: "true posterior", NEAR: "40,000"},
    ),
    "best weight alone": (
        (lambda *t: weights(*t).max(1).values,),
        {LOG_MEAN: "largest weight", NEAR: "40,000"},
    ),
    "no return": ((lambda *t: None,), dict.fromkeys((ROWS, SINGLE, LOG_MEAN, EXACT, NEAR, LARGE), "return")),
}
EXERCISES = {
    "aggregate_variance": (lab03.aggregate_variance, RIGHT_PARTS, WRONG_PARTS),
    "importance_weighted": (lab03.importance_weighted, RIGHT_BOUNDS, WRONG_BOUNDS),
}


def cases(column):
    return [
        pytest.param(entry[0], solution, id=f"{exercise}: {name}")
        for exercise, entry in EXERCISES.items()
        for name, solution in entry[column].items()
    ]


@pytest.mark.parametrize(("check", "solution"), cases(1))
def test_right_solution_has_every_property(prove, check, solution):
    prove.right(check, solution)


@pytest.mark.parametrize(("check", "case"), cases(2))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, check, case):
    prove.wrong(check, *case)


@pytest.mark.parametrize("check", [entry[0] for entry in EXERCISES.values()])
def test_stub_fails_cleanly_in_every_property(prove, check):
    prove.stub(check, arguments=1)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_every_property_is_missed_by_some_wrong_solution(prove, exercise):
    prove.complete(*EXERCISES[exercise])
