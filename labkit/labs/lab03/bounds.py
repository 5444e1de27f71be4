"""Checks of two yardsticks for a trained VAE: what its posteriors add up to, and the importance-weighted bound."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from labkit.checking import (
    Missed,
    Property,
    any_number,
    as_tensor,
    close,
    evaluate,
    explain,
    normal,
    one_per_row,
    results,
    size,
    untouched,
    weak,
)

ROWS, LATENTS, DRAWS = 7, 4, 5
MANY = 40_000  # a variance is then known to 1 %
Function = Callable[..., Any]


def aggregate_variance(parts: Function) -> list[Property]:
    """Properties of a function (mean (N, M), log_var (N, M)) → variance of means, mean of variances, (M,) each.

    Args:
        parts: both over the N images; variances divide by N, so that the law of total variance is exact.
    """

    def both(mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
        names = "the variance of the means", "the mean of the variances"
        return tuple(value.detach() for value in results(parts(mean.clone(), log_var.clone()), *names))

    return evaluate(
        {
            "two parts, one number per latent in each": weak(
                lambda: _two_vectors(both) or untouched(_posteriors(), parts)
            ),
            "the first is the variance of the means over images": lambda: _between(both),
            "the second is the mean of exp(log_var)": lambda: _within(both),
            "their sum is the variance of z drawn for all images": lambda: _total(both),
            "an idle latent, posterior = prior, gives 0 and 1": weak(lambda: _idle(both)),
        }
    )


def importance_weighted(bound: Function) -> list[Property]:
    """Properties of a function (log p(x | z), log p(z), log q(z | x)), each (N, K) → log (1/K Σ w), (N,), in nats.

    Burda, Grosse and Salakhutdinov, arXiv:1509.00519, with weights w = p(x | z) p(z) / q(z | x) of K draws.

    Args:
        bound: the student's function.
    """

    def value(*terms: Tensor) -> Tensor:
        return as_tensor(bound(*(term.clone() for term in terms)), "the bound").detach()

    return evaluate(
        {
            "one number for each image": weak(
                lambda: (
                    one_per_row(value(*_terms()), ROWS, DRAWS, "the bound")
                    or any_number(value, *_terms())
                    or untouched(_terms(), bound)
                )
            ),
            "with K = 1 it is the ELBO's sum": lambda: _single(value),
            "it is the log of the mean weight": lambda: _log_mean(value),
            "where q is exact it is log p(x) with any draws": lambda: _exact(value),
            "a poor q and many draws come near log p(x)": lambda: _near(value),
            "terms of −1,000,000 nats stay finite": weak(lambda: _large(value)),
        }
    )


def _posteriors(rows: int = ROWS) -> tuple[Tensor, Tensor]:
    return 1.5 * normal(rows, LATENTS, seed=1) + 2.0, 0.8 * normal(rows, LATENTS, seed=2) - 1.0


def _wide() -> tuple[Tensor, Tensor]:
    """Posteriors that leave the usual range, of another number of images: nothing is limited, no count written in."""
    mean, log_var = _posteriors(size(200, 300))
    log_var[0] += 20.0
    log_var[:, 1] -= 60.0
    mean *= 50
    mean[:, 2] /= 1e3
    return mean, log_var


def _two_vectors(both: Function) -> str | None:
    known = {
        (): "has one number in all: take it over the images only, dimension 0.",
        (ROWS,): "has a number per image: take it over the images, dimension 0.",
        (ROWS, LATENTS): "is not yet summarised: take its mean over the images, dimension 0.",
        (1, LATENTS): "is a row (1, M): leave out keepdim.",
    }
    for part, name in zip(both(*_posteriors()), ("first", "second"), strict=True):
        if part.shape != (LATENTS,):
            hint = known.get(tuple(part.shape), f"should have shape ({LATENTS},), not {tuple(part.shape)}.")
            return f"the {name} part {hint}"
    return None


def _between(both: Function) -> str | None:
    mean, log_var = _posteriors()
    return explain(
        both(mean, log_var)[0],
        mean.var(0, correction=0),
        [
            (lambda: mean.var(0), "torch divides by N − 1 unless told otherwise: .var(0, correction=0)."),
            (lambda: mean.std(0, correction=0), "that is the standard deviation: .var, not .std."),
            (lambda: mean.square().mean(0), "the mean over images is to be subtracted first: .var(0, …)."),
            (lambda: log_var.exp().mean(0), "the two parts have changed places."),
        ],
        "the first part is mean.var(0, correction=0).",
    ) or _explain_wide(both(*_wide())[0], _wide()[0].var(0, correction=0))


def _within(both: Function) -> str | None:
    mean, log_var = _posteriors()
    return explain(
        both(mean, log_var)[1],
        log_var.exp().mean(0),
        [
            (lambda: log_var.mean(0).exp(), "exp comes before the mean: the variances are averaged."),
            (lambda: log_var.mean(0), "log_var is the logarithm of the variance: exp before the mean."),
            (lambda: (log_var / 2).exp().mean(0), "half of log_var gives standard deviations; no half here."),
            (lambda: mean.var(0, correction=0), "the two parts have changed places."),
        ],
        "the second part is log_var.exp().mean(0).",
    ) or _explain_wide(both(*_wide())[1], _wide()[1].exp().mean(0))


def _explain_wide(got: Tensor, expected: Tensor) -> str | None:
    """What is right for usual posteriors and wrong for `_wide` ones."""
    if close(got / expected, torch.ones(LATENTS)):
        return None
    off = int((got / expected - 1).abs().argmax())
    given = f"{size(200, 300)} images, means of up to 300 and a log_var of −60 to 20"
    said = f"for {given} latent {off} gives {got[off]:.5g}"
    return f"{said}, expected {expected[off]:.5g}: is a value limited, or the number of images written in?"


def _total(both: Function) -> str | None:
    mean, log_var = _posteriors()
    noise = normal(MANY, ROWS, LATENTS, seed=3)
    drawn = (mean + torch.exp(log_var / 2) * noise).flatten(0, 1).var(0, correction=0)
    first, second = both(mean, log_var)
    if first.shape != second.shape:
        return f"parts of shapes {tuple(first.shape)} and {tuple(second.shape)} do not add up."
    total = first + second
    if close(total, drawn, 0.02):
        return None
    got = total.flatten()[0]
    return f"z drawn for all images has variance {drawn[0]:.2f} in latent 0, the parts add up to {got:.2f}."


def _idle(both: Function) -> str | None:
    zeros = torch.zeros(ROWS, LATENTS, dtype=torch.float64)
    first, second = both(zeros, zeros)
    if close(first, torch.zeros(LATENTS)) and close(second, torch.ones(LATENTS)):
        return None
    return "means of 0 and log_var of 0 are the prior itself: nothing varies between images, all of it within."


def _terms(rows: int = ROWS, draws: int = DRAWS) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(scale * normal(rows, draws, seed=seed) for seed, scale in ((4, 3.0), (5, 1.0), (6, 2.0)))


def _single(value: Function) -> str | None:
    likelihood, prior, posterior = _terms(draws=1)
    got = _rows(value, (likelihood, prior, posterior)).flatten()
    return explain(
        got,
        (likelihood + prior - posterior)[:, 0],
        [
            (lambda: (likelihood + prior + posterior)[:, 0], "log q is subtracted: the weight divides by q(z | x)."),
            (lambda: (likelihood - prior + posterior)[:, 0], "the signs of log p(z) and log q(z | x) are flipped."),
            (lambda: likelihood[:, 0], "log p(z) − log q(z | x) is missing."),
            (lambda: (likelihood + prior)[:, 0], "log q(z | x) is missing: the weight divides by it."),
            (lambda: (likelihood - posterior)[:, 0], "log p(z) is missing."),
            (lambda: (likelihood + prior - posterior)[:, 0].exp(), "that is the weight; its logarithm is wanted."),
        ],
        "the logarithm of one weight is log p(x | z) + log p(z) − log q(z | x).",
    )


def _log_mean(value: Function) -> str | None:
    terms = _terms()
    weights = terms[0] + terms[1] - terms[2]
    return explain(
        _rows(value, terms),
        torch.logsumexp(weights, 1) - math.log(DRAWS),
        [
            (lambda: torch.logsumexp(weights, 1), "that is the log of the sum: subtract log K."),
            (lambda: weights.mean(1), "that is the mean of the logs, the ELBO again: exp, then mean, then log."),
            (lambda: weights.max(1).values, "that is the largest weight alone."),
            (lambda: torch.logsumexp(weights, 1) - math.log(ROWS), "K is the number of draws, dimension 1."),
            (lambda: torch.logsumexp(weights, 1) / DRAWS, "the mean is within the logarithm: subtract log K."),
        ],
        "add the terms, then torch.logsumexp(…, 1) − log K.",
    ) or _many_draws(value)


def _many_draws(value: Function) -> str | None:
    # The last draws weigh most.
    terms = tuple(term.sort(1).values if i < 2 else term for i, term in enumerate(_terms(draws=1500)))
    if close(_rows(value, terms), torch.logsumexp(terms[0] + terms[1] - terms[2], 1) - math.log(1500)):
        return None
    return f"it is right of {DRAWS} draws, but not of 1,500: leave none out, and write in no K."


def _rows(value: Function, terms: tuple[Tensor, ...]) -> Tensor:
    """One number per image, even of a function that adds up over images."""
    got = value(*terms)
    if got.shape == (len(terms[0]),):
        return got
    return torch.stack([value(*(term[i : i + 1] for term in terms)).sum() for i in range(len(terms[0]))])


def _model(draws: int, mean: float, spread: float) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Terms of x = z + noise, z and noise standard normal in two dimensions, and the true log p(x)."""
    x = normal(ROWS, 2, seed=7)
    posterior = Normal((mean * x)[:, None], torch.tensor(spread, dtype=torch.float64))
    z = posterior.mean + spread * normal(ROWS, draws, 2, seed=8)
    standard = Normal(torch.zeros((), dtype=torch.float64), 1.0)
    terms = standard.log_prob(x[:, None] - z), standard.log_prob(z), posterior.log_prob(z)
    evidence = MultivariateNormal(torch.zeros(2, dtype=torch.float64), 2 * torch.eye(2, dtype=torch.float64))
    return tuple(term.sum(2) for term in terms), evidence.log_prob(x)


def _exact(value: Function) -> str | None:
    terms, evidence = _model(DRAWS, mean=0.5, spread=math.sqrt(0.5))
    got = _rows(value, terms)
    if close(got, evidence):
        return None
    return f"for x = z + noise and its true posterior, log p(x) is {evidence[0]:.3f}, not {got[0]:.3f}."


def _near(value: Function) -> str | None:
    small = value(*_terms())
    if small.shape not in ((ROWS,), ()):  # seen in small: with many draws a table of all pairs fills the memory
        raise Missed(f"the result is {tuple(small.shape)}, not one number for each image, ({ROWS},).")
    terms, evidence = _model(MANY, mean=0.2, spread=1.0)
    got = _rows(value, terms)
    if close(got, evidence, 0.05):
        return None
    return f"with {MANY:,} draws from a poor q it should come near log p(x) = {evidence[0]:.3f}, got {got[0]:.3f}."


def _large(value: Function) -> str | None:
    # Each image by another amount: the largest of a whole batch is of no use to the others.
    low = (1e6 + 400.0 * torch.arange(ROWS))[:, None]
    for draw, shift in ((0, low), (DRAWS - 1, low), (0, -low)):
        terms = _terms()
        # Neither an image's mean, nor a fixed draw, nor one of the terms alone says what to subtract.
        for term, by in zip(terms, (2000.0, -4000.0, -5000.0), strict=True):
            term[:, draw] += by
        got = _rows(value, (terms[0] - shift.to(terms[0].dtype), *terms[1:]))
        if not bool(got.isfinite().all()):
            return (
                "exp(−1,000,000) is 0 on a computer, and log 0 infinite: torch.logsumexp takes the largest weight of "
                "each image out first."
            )
        if not close(got + shift[:, 0], _rows(value, terms), 0.05):  # float32 has no more digits of such numbers
            return "a million nats less, or more, in every term should give a million less, or more."
    return None
