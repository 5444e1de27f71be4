"""Lab 05's check of the KL in three parts, on right and wrong solutions."""

import math

import pytest
import torch

from labkit.labs import lab05

INFORMATION, CORRELATION, DIMENSIONS, SUM, INDEPENDENT, LARGE, REACHED = (
    "the information is log q(z | x) − log q(z)",
    "the total correlation is log q(z) − Σ log q(z[m])",
    "the dimension-wise KL is Σ log q(z[m]) − log p(z)",
    "the three add up to log q(z | x) − log p(z)",
    "an independent cloud has a total correlation of about 0",
    "densities of −100,000 nats stay finite",
    "gradients reach the densities and the prior",
)


def terms(d, joint_count=1, marginal_count=1):
    count = math.log(len(d))
    own = d.diagonal().sum(0)
    joint = torch.logsumexp(d.sum(2), 1) - joint_count * count
    return own, joint, (torch.logsumexp(d, 1) - marginal_count * count).sum(1)


def solution(**options):
    def parts(densities, log_prior):
        own, joint, marginals = terms(densities, **options)
        return own - joint, joint - marginals, marginals - log_prior.sum(1)

    return parts


def by_loops(densities, log_prior):
    def log_mean(values):
        largest = values.max(0).values
        return largest + (values - largest).exp().mean(0).log()

    rows = []
    for i, density in enumerate(densities):
        joint, product = log_mean(density.sum(1)), log_mean(density).sum()
        rows.append((density[i].sum() - joint, joint - product, product - log_prior[i].sum()))
    return [torch.stack(column) for column in zip(*rows)]


def exp_without_care(d, p):
    joint, marginals = d.sum(2).exp().mean(1).log(), d.exp().mean(1).log().sum(1)
    return d.diagonal().sum(0) - joint, joint - marginals, marginals - p.sum(1)


def exp_limited(d, p):
    joint, marginals = (each.exp().mean(1).clamp_min(1e-30).log() for each in (d.sum(2), d))
    return d.diagonal().sum(0) - joint, joint - marginals.sum(1), marginals.sum(1) - p.sum(1)


def logs_averaged(d, p):
    own, joint, marginals = d.diagonal().sum(0), d.sum(2).mean(1), d.mean(1).sum(1)
    return own - joint, joint - marginals, marginals - p.sum(1)


def over_draws(d, p):
    count = math.log(len(d))
    own, joint = d.diagonal().sum(0), torch.logsumexp(d.sum(2), 0) - count
    marginals = (torch.logsumexp(d, 0) - count).sum(1)
    return own - joint, joint - marginals, marginals - p.sum(1)


def q_detached(d, p):
    own, joint, marginals = terms(d)
    return own - joint.detach(), joint - marginals, marginals - p.sum(1)


RIGHT = {"logsumexp": (solution(),), "loops": (by_loops,)}
ALL = (INFORMATION, CORRELATION, DIMENSIONS, SUM, INDEPENDENT, LARGE, REACHED)
WRONG = {
    "no log N": (
        (solution(joint_count=0, marginal_count=0),),
        {INFORMATION: "log N", CORRELATION: "log N", DIMENSIONS: "log N", INDEPENDENT: "means"},
    ),
    "no log N in q(z)": (
        (solution(joint_count=0),),
        {INFORMATION: "log N", CORRELATION: "there too", INDEPENDENT: "means"},
    ),
    "no log N in the marginals": (
        (solution(marginal_count=0),),
        {CORRELATION: "each m", DIMENSIONS: "each m", INDEPENDENT: "means"},
    ),
    "signs turned": (
        (lambda d, p: [-part for part in solution()(d, p)],),
        {INFORMATION: "sign", CORRELATION: "sign", DIMENSIONS: "sign", SUM: "add up"},
    ),
    "logs averaged": (
        (logs_averaged,),
        dict.fromkeys((INFORMATION, CORRELATION, DIMENSIONS), "mean is of densities"),
    ),
    "over the draws": ((over_draws,), dict.fromkeys((INFORMATION, CORRELATION, DIMENSIONS), "runs over j")),
    "exp without care": ((exp_without_care,), {LARGE: "logsumexp"}),
    "exp, limited": ((exp_limited,), {LARGE: "only hides it"}),
    "changed places": (
        (lambda d, p: [solution()(d, p)[k] for k in (1, 0, 2)],),
        {INFORMATION: "places", CORRELATION: "places", INDEPENDENT: "means"},
    ),
    "the prior for q(z)": (
        (lambda d, p: (d.diagonal().sum(0) - p.sum(1), *solution()(d, p)[1:]),),
        {INFORMATION: "whole KL", SUM: "add up"},
    ),
    "one for the batch": (
        (lambda d, p: [part.mean() for part in solution()(d, p)],),
        dict.fromkeys(ALL, "one number per image"),
    ),
    "detached": ((lambda d, p: [part.detach() for part in solution()(d, p)],), {REACHED: "no gradient"}),
    "densities detached": ((lambda d, p: solution()(d.detach(), p),), {REACHED: "no gradient"}),
    "q(z) detached": ((q_detached,), {REACHED: "detached"}),
    "the sum alone": ((lambda d, p: sum(solution()(d, p)),), dict.fromkeys(ALL, "three things")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab05.kl_in_three, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab05.kl_in_three, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab05.kl_in_three, arguments=1)
    prove.complete(lab05.kl_in_three, RIGHT, WRONG)
