"""Check of the KL in three parts: index-code information, total correlation, dimension-wise KL."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from labkit.checking import (
    Hint,
    Missed,
    Property,
    close,
    evaluate,
    explain,
    normal,
    results,
    same_gradients,
    untouched,
    weak,
)

ROWS, LATENTS = 7, 3
MANY = 800  # densities (N, N, M) of so many cross to the grader in one message of 16 MB
NAMES = ("the index-code information", "the total correlation", "the dimension-wise KL")
Function = Callable[..., Any]
# Of a wrong q(z) and, in the same way, of wrong marginals.
OF_LOGS = "the mean is of densities: logsumexp over j, then − log N."
OVER_M = "a mean over m stands where a sum belongs: the logs of all latents add up."
OVER_I = "the mean runs over j, dimension 1."


def kl_in_three(function: Function) -> list[Property]:
    """Properties of (log q(z_i[m] | x_j) (N, N, M), log p(z_i[m]) (N, M)) → three parts of the KL, (N,) each.

    Chen et al., arXiv:1802.04942, equation 2, with all N images in the batch: q(z) is the mean of the N posteriors.

    Args:
        function: the student's; index i is the image that z was drawn from, j the image of the posterior.
    """

    def parts(densities: Tensor, prior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = results(function(densities, prior), *NAMES)
        wrong = [tuple(value.shape) for value in found if value.shape != (len(prior),)]
        if wrong:
            raise Missed(f"each part has one number per image, ({len(prior)},), not {wrong[0]}.")
        return found

    return evaluate(
        {
            "the information is log q(z | x) − log q(z)": lambda: _information(parts),
            "the total correlation is log q(z) − Σ log q(z[m])": lambda: _correlation(parts),
            "the dimension-wise KL is Σ log q(z[m]) − log p(z)": lambda: _dimensions(parts),
            "the three add up to log q(z | x) − log p(z)": lambda: _sum(parts),
            "an independent cloud has a total correlation of about 0": weak(lambda: _independent(parts)),
            "densities of −100,000 nats stay finite": weak(lambda: _large(parts)),
            "gradients reach the densities and the prior": weak(lambda: _gradients(parts)),
        }
    )


def _given(latents: int = LATENTS) -> tuple[Tensor, Tensor]:
    mean, log_var = 1.5 * normal(ROWS, latents, seed=1), 0.6 * normal(ROWS, latents, seed=2) - 1
    noise = normal(ROWS, latents, seed=3)
    # A z that its own narrow posterior makes less likely than others do: its information is negative; and one whose
    # density is above e.
    log_var[-1], noise[-1], log_var[0], noise[0] = -4, 6, -6, noise[0] / 10
    return _densities(mean, log_var, noise)


def _densities(mean: Tensor, log_var: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    width = torch.exp(log_var / 2)
    z = mean + width * noise
    return Normal(mean[None], width[None]).log_prob(z[:, None]), Normal(0.0, 1.0).log_prob(z)


def _known(densities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log q(z | x), log q(z) and Σ log q(z[m]), (N,) each."""
    count = math.log(len(densities))
    own = torch.stack([densities[i, i].sum() for i in range(len(densities))])
    joint = torch.logsumexp(densities.sum(2), 1) - count
    return own, joint, (torch.logsumexp(densities, 1) - count).sum(1)


def _information(parts: Function) -> str | None:
    densities, prior = _given()
    own, joint, marginals = _known(densities)
    count = math.log(ROWS)
    return explain(
        parts(densities, prior)[0],
        own - joint,
        [
            (lambda: joint - own, "its sign is flipped."),
            (lambda: own / LATENTS - joint, OVER_M),
            (lambda: own - torch.logsumexp(densities.mean(2), 1) + count, OVER_M),
            (lambda: own - joint - count, "q(z) is the mean of the posteriors, not their sum: subtract log N."),
            (lambda: own - marginals, "that sets q(z | x) against the product of marginals: take q(z) itself."),
            (lambda: own - densities.sum(2).mean(1), OF_LOGS),
            (lambda: own - (torch.logsumexp(densities.sum(2), 0) - count), OVER_I),
            (lambda: own - prior.sum(1), "that is the whole KL: q(z) is the mean posterior, not the prior."),
            (lambda: joint - marginals, "the parts have changed places."),
        ],
        "log q(z | x) is the diagonal i = j summed over m; log q(z) is logsumexp over j of the sums over m, − log N.",
    )


def _correlation(parts: Function) -> str | None:
    densities, prior = _given()
    own, joint, marginals = _known(densities)
    count = math.log(ROWS)
    information, correlation, _ = parts(densities, prior)
    of_logs = close(information, own - densities.sum(2).mean(1))
    over_i = torch.logsumexp(densities.sum(2), 0) - (torch.logsumexp(densities, 0) - count).sum(1) - count
    return explain(
        correlation,
        joint - marginals,
        [
            (lambda: over_i, OVER_I),
            (lambda: joint - marginals / LATENTS, OVER_M),
            (lambda: torch.logsumexp(densities.mean(2), 1) - count - marginals, OVER_M),
            *([(lambda: torch.zeros(ROWS), OF_LOGS)] if of_logs else []),
            (lambda: marginals - joint, "its sign is flipped."),
            (
                lambda: joint - marginals + (1 - LATENTS) * count,
                "the log N is missing, once in log q(z) and once in each marginal.",
            ),
            (
                lambda: joint - marginals - LATENTS * count,
                "each marginal is a mean as well: subtract log N for each m.",
            ),
            (lambda: joint - marginals + count, "log q(z) is a mean: subtract log N there too."),
            (lambda: joint - prior.sum(1), "the product of marginals of q is wanted, not the prior."),
            (lambda: torch.zeros(ROWS), "the marginals are logsumexp over j first, for each m, then the sum over m."),
            (lambda: own - joint, "the parts have changed places."),
            (lambda: marginals - prior.sum(1), "the parts have changed places."),
        ],
        "Σ_m log q(z[m]): for each m logsumexp over j, − log N, and only then the sum over m.",
    ) or _more_latents(parts)


def _more_latents(parts: Function) -> str | None:
    densities, prior = _given(LATENTS + 3)
    _, joint, marginals = _known(densities)
    if close(parts(densities, prior)[1], joint - marginals):
        return None
    return f"it is right of {LATENTS} latents, but not of {LATENTS + 3}: write in no size."


def _dimensions(parts: Function) -> str | None:
    densities, prior = _given()
    own, joint, marginals = _known(densities)
    count = math.log(ROWS)
    log_p = prior.sum(1)
    return explain(
        parts(densities, prior)[2],
        marginals - log_p,
        [
            (lambda: log_p - marginals, "its sign is flipped."),
            (lambda: marginals / LATENTS - log_p, OVER_M),
            (lambda: densities.mean(1).sum(1) - log_p, OF_LOGS),
            (lambda: (torch.logsumexp(densities, 0) - count).sum(1) - log_p, OVER_I),
            (lambda: marginals - log_p + LATENTS * count, "each marginal is a mean: subtract log N for each m."),
            (lambda: marginals - log_p / LATENTS, "log p(z) is a mean over m: it is the sum."),
            (lambda: joint - log_p, "the product of marginals of q is wanted, not q(z)."),
            (lambda: own - log_p, "that is the whole KL: take the marginals of q in the place of q(z | x)."),
            (lambda: joint - marginals, "the parts have changed places."),
        ],
        "it is Σ_m log q(z[m]) − Σ_m log p(z[m]).",
    )


def _gradients(parts: Function) -> Hint | None:
    densities, prior = (each.requires_grad_() for each in _given())
    own, joint, marginals = _known(densities)
    right = own - joint, joint - marginals, marginals - prior.sum(1)
    for got, wanted in zip(parts(densities, prior), right, strict=True):
        if close(got.detach(), torch.zeros(ROWS)):
            continue  # what is always 0 has no gradient; that it is 0 another property tells
        if hint := same_gradients(got, wanted, densities=densities, log_prior=prior):
            return hint
    return None


def _sum(parts: Function) -> str | None:
    densities, prior = _given()
    expected = _known(densities)[0] - prior.sum(1)  # first: an answer may write into what it is given
    total = sum(parts(densities, prior))
    if close(total, expected):
        return None
    return f"for image 0 they add up to {total[0]:.2f}, and log q(z | x) − log p(z) is {expected[0]:.2f}."


def _independent(parts: Function) -> str | None:
    mean, width = normal(MANY, 2, seed=4), torch.full((MANY, 2), 2 * math.log(0.3), dtype=torch.float64)
    found = parts(*_densities(mean, width, normal(MANY, 2, seed=5)))[1].mean()
    if abs(found) < 0.06:
        return None
    return f"latents that know nothing of each other have {found:.2f} nats: both q(z) and its marginals are means."


def _large(parts: Function) -> str | None:
    densities, prior = _given()

    def known(given: Tensor, prior: Tensor) -> tuple[Tensor, ...]:
        own, joint, marginals = _known(given)
        return own - joint, joint - marginals, marginals - prior.sum(1)

    if hint := untouched([densities, prior], parts):
        return hint
    low = prior - 50
    # Images far apart from each other as well: what is subtracted first must be each image's own.
    apart = densities - 1000 * torch.arange(float(ROWS)).to(densities)[:, None, None]
    apart[-1, -1] -= 1000  # and one far from its own posterior, whose information is as negative
    far = parts(densities - 1e5, low)
    if not all(bool(each.isfinite().all()) for each in (*far, *parts(apart, low))):
        return "exp of −100,000 is 0 and its log is not finite: torch.logsumexp keeps it finite."
    # What is wrong of ordinary densities already has its hint; the tolerance is what float32 resolves of 300,000.
    right = [close(*pair) for pair in zip(parts(densities, prior), known(densities, prior), strict=True)]
    pairs = [*zip(right, far, known(densities - 1e5, low)), *zip(right, parts(apart, low), known(apart, low))]
    if any(near and not torch.allclose(got, wanted, rtol=1e-5, atol=0.1) for near, got, wanted in pairs):
        return "exp of −100,000 is 0, and a limit or a constant added only hides it: use torch.logsumexp."
    return None
