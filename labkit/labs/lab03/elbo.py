"""Checks of a VAE's KL and of its bound (Kingma and Welling, arXiv:1312.6114)."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal
from torch.distributions import kl_divergence as library_kl

from labkit.checking import (
    Hint,
    Property,
    any_number,
    as_tensor,
    close,
    dtype,
    evaluate,
    explain,
    normal,
    one_per_row,
    results,
    row_values,
    same_gradients,
    size,
    untouched,
    weak,
)
from labkit.labs.lab03.drawing import DRAWS, LATENTS, ROWS, Function, posterior

SIGMA, WIDE, NARROW = 0.3, 3.0, 0.002  # torch's gaussian_nll_loss takes no variance below 1e-6
SMALLEST = {torch.float64: -300.0, torch.float32: -75.0}  # a log_var whose variance is still a number
ORDER = "the order is wrong: the ELBO, log p(x | z), the KL."
FAR = ((1e3, 1.0), (1.0, 25.0), (0.02, 0.03))  # scales of means and log-variances: far from the prior, nearly it


def closed_form_kl(kl: Function) -> list[Property]:
    """Properties of a function (mean (N, M), log_var (N, M)) → KL(N(mean, exp(log_var)) ‖ N(0, I)), (N,), in nats.

    Args:
        kl: the student's function.
    """

    def value(mean: Tensor, log_var: Tensor) -> Tensor:
        return as_tensor(kl(mean.clone(), log_var.clone()), "the KL").detach()

    return evaluate(
        {
            "one number for each image": weak(
                lambda: (
                    one_per_row(value(*posterior()), ROWS, LATENTS, "the KL")
                    or any_number(value, *posterior())
                    or untouched(posterior(), kl)
                )
            ),
            "it is 0 where the posterior is the prior": weak(lambda: _at_the_prior(value)),
            "it is that of torch.distributions": lambda: _as_library(value),
            "it is the mean of log q(z) − log p(z) over drawn z": lambda: _monte_carlo(value),
            "log_var counts however small the variance": weak(
                lambda: _tiny_variance(value) or _wide_posterior(value)
            ),
            "gradients reach the mean and log_var": weak(lambda: _kl_gradients(kl)),
        }
    )


def elbo(bound: Function) -> list[Property]:
    """Properties of a function (x, image, mean, log_var, sigma) → ELBO, log p(x | z), KL, each (N,), in nats.

    Args:
        bound: the student's function; x and image are (N, C, H, W), mean and log_var (N, M), and
            p(x | z) = N(x; image, sigma² I).
    """

    def terms(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        found = results(bound(*arguments), "the ELBO", "log p(x | z)", "the KL")
        return tuple(value.detach() for value in found)

    return evaluate(
        {
            "three terms, each with one number per image": weak(
                lambda: (
                    _three_rows(terms)
                    or any_number(lambda *batch: terms(*batch, SIGMA), *_batch())
                    or untouched(_batch(), lambda *batch: bound(*batch, SIGMA))
                )
            ),
            "log p(x | z) is the log-density of a Gaussian": lambda: _likelihood(terms),
            "the KL is that of torch.distributions": lambda: _elbo_kl(terms),
            "the terms add up": weak(lambda: _sum(terms)),
            "where the posterior is exact, its mean is log p(x)": lambda: _evidence(terms),
            "gradients reach the image, the mean and log_var": weak(lambda: _elbo_gradients(bound)),
        }
    )


def _kl_gradients(kl: Function) -> Hint | None:
    mean, log_var = (each.requires_grad_() for each in posterior())
    value, right = as_tensor(kl(mean, log_var), "the KL"), _reference(mean, log_var)
    total, exact = (value, right) if value.shape == right.shape else (value.sum(), right.sum())
    return same_gradients(total, exact, **{"the mean": mean, "log_var": log_var})


def _elbo_gradients(bound: Function) -> Hint | None:
    x, image, mean, log_var = _batch()
    for each in (image, mean, log_var):
        each.requires_grad_()
    names = "the ELBO", "log p(x | z)", "the KL"
    found = [each.sum() for each in results(bound(x, image, mean, log_var, SIGMA), *names)]
    likelihood, kl = Normal(image, SIGMA).log_prob(x).sum(), _reference(mean, log_var).sum()
    posterior_only = {"the mean": mean, "log_var": log_var}
    return (
        same_gradients(found[0], likelihood - kl, image=image, **posterior_only)
        or same_gradients(found[1], likelihood, image=image)
        or same_gradients(found[2], kl, **posterior_only)
    )


def _at_the_prior(value: Function) -> str | None:
    zeros = torch.zeros(ROWS, LATENTS, dtype=torch.float64)
    got = row_values(lambda mean: value(mean, torch.zeros_like(mean)), zeros)
    return explain(
        got,
        torch.zeros(ROWS),
        [
            (lambda: torch.full((ROWS,), LATENTS / 2.0), "the −1 is missing: ½(mean² + var − 1 − log var)."),
            (lambda: torch.full((ROWS,), -LATENTS / 2.0), "var is missing: ½(mean² + var − 1 − log var)."),
        ],
        "mean 0 and variance 1 are the prior itself, and nothing is 0 nats from itself.",
    )


def _rows(value: Function, mean: Tensor, log_var: Tensor) -> Tensor:
    """One KL per row, even of a function that adds up what it should not."""
    return row_values(lambda both: value(*both.chunk(2, 1)), torch.cat((mean, log_var), 1))


def _reference(mean: Tensor, log_var: Tensor) -> Tensor:
    return library_kl(Normal(mean, torch.exp(log_var / 2)), Normal(0.0, 1.0)).sum(1)


def _as_library(value: Function) -> str | None:
    mean, log_var = posterior()
    return _kl_hint(_rows(value, mean, log_var), mean, log_var)


def _kl_hint(got: Tensor, mean: Tensor, log_var: Tensor) -> str | None:
    expected, variance = _reference(mean, log_var), log_var.exp()
    return explain(
        got,
        expected,
        [
            (lambda: -expected, "the sign is flipped: a KL is never negative."),
            (lambda: 2 * expected, "the factor ½ is missing."),
            (lambda: expected / LATENTS, "that is the mean over the latents: sum them, .sum(1)."),
            (
                lambda: expected + LATENTS / 2,
                "the −1 is missing: ½(mean² + var − 1 − log var), and it must be 0 at the prior.",
            ),
            (
                lambda: 0.5 * (mean.square() + variance.square() - 1 - 2 * log_var).sum(1),
                "log_var is taken for the logarithm of the standard deviation: var is exp(log_var).",
            ),
            (
                lambda: 0.5 * (mean.square() + (log_var / 2).exp() - 1 - log_var).sum(1),
                "exp(log_var / 2) is the standard deviation; the formula has the variance.",
            ),
            (lambda: 0.5 * (mean + variance - 1 - log_var).sum(1), "the mean is not squared."),
            (lambda: 0.5 * (mean.abs() + variance - 1 - log_var).sum(1), "the mean is not squared."),
            (lambda: 0.5 * (variance - 1 - log_var).sum(1), "mean² is missing."),
            (lambda: 0.5 * (mean.square() - 1 - log_var).sum(1), "var is missing."),
            (lambda: 0.5 * (mean.square() + variance - 1).sum(1), "log var is missing."),
            (lambda: 0.5 * (mean.square() + variance - 1 + log_var).sum(1), "log var is subtracted, not added."),
            (lambda: expected + LATENTS, "the 1 is subtracted, not added."),
            (
                lambda: library_kl(Normal(0.0, 1.0), Normal(mean, torch.exp(log_var / 2))).sum(1),
                "that is KL(p ‖ q), the other way round.",
            ),
            (lambda: expected / math.log(2), "that is in bits: use the natural logarithm."),
        ],
        "½ Σ (mean² + var − 1 − log var) with var = exp(log_var), summed over the latents.",
    )


def _monte_carlo(value: Function) -> str | None:
    mean, log_var = (each[:1] for each in posterior())
    drawn_from = Normal(mean, torch.exp(log_var / 2))
    z = mean + torch.exp(log_var / 2) * normal(DRAWS, LATENTS, seed=3)
    each = (drawn_from.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1)
    error = each.std().item() / DRAWS**0.5
    got, estimate = _rows(value, mean, log_var).item(), each.mean().item()
    if abs(got - estimate) < 4 * error:
        return None
    return f"{DRAWS:,} draws say {estimate:.3f} ± {error:.3f} nats, your formula {got:.3f}."


def _tiny_variance(value: Function) -> str | None:
    mean = torch.zeros(ROWS, LATENTS, dtype=dtype())
    # Not smaller: torch.distributions takes the square of the deviation, which must not be 0.
    low = [each * SMALLEST[dtype()] / 3 for each in (1, 2, 3)]
    first, second, third = (_rows(value, mean, torch.full_like(mean, each)) for each in low)
    if close((third - second) / (second - first), torch.ones(ROWS)):
        return None
    return (
        f"from log_var = {low[1]:.0f} to {low[2]:.0f} the KL must grow by as much as from {low[0]:.0f} to "
        f"{low[1]:.0f}: add nothing to the variance, limit neither it nor log_var, and take the logarithm of no "
        "ratio that can be 0."
    )


def _wide_posterior(value: Function) -> str | None:
    """What is right for usual posteriors must be so for unusual ones, of another number of latents."""
    if _as_library(value) is not None:
        return None  # another property tells that
    latents = size(5 * LATENTS, 9 * LATENTS)
    for scales in FAR:
        mean, log_var = _unusual(ROWS + 3, latents, *scales)
        if not close(_rows(value, mean, log_var), _reference(mean, log_var)):
            return f"for {latents} latents, {_reach(*scales)}, it is off: limit nothing, and write no size in."
    return None


def _unusual(rows: int, latents: int, of_means: float, of_log_vars: float) -> tuple[Tensor, Tensor]:
    mean, log_var = of_means * normal(rows, latents, seed=11), of_log_vars * normal(rows, latents, seed=12)
    # Narrow alone, since the variance of a wide one would hide what is wrong; in float32 it must not become 0.
    log_var[0] = -log_var[0].abs() - (3 * of_log_vars if dtype() == torch.float64 else 0)
    return mean, log_var


def _reach(mean: float, log_var: float) -> str:
    return f"means within ±{3 * mean:g} and a log_var within ±{3 * log_var:g}"


def _batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = 0.5 * normal(ROWS, 3, 4, 5, seed=4)
    return x, x + SIGMA * normal(ROWS, 3, 4, 5, seed=5), *posterior()


def _three_rows(terms: Function) -> str | None:
    for value, name in zip(terms(*_batch(), SIGMA), ("the ELBO", "log p(x | z)", "the KL"), strict=True):
        if value.shape != (ROWS,):
            return f"{name} should have shape ({ROWS},), one per image, not {tuple(value.shape)}."
    return None


def _in_rows(terms: Function, which: int, sigma: float = SIGMA) -> Tensor:
    """One number per image, even of a function that adds up over the batch."""
    batch = _batch()
    each = [terms(*(part[i : i + 1] for part in batch), sigma)[which].sum() for i in range(ROWS)]
    return torch.stack(each)


def _order(terms: Function) -> Hint | None:
    """The hint if the three are not in their order."""
    _, _, mean, log_var = _batch()
    exact = _reference(mean, log_var)
    for i, place in enumerate(("first", "second")):
        if explain(_in_rows(terms, i), exact) is None:
            return Hint(f"the {place} of the three is the KL.", ORDER)
    x, image, _, _ = _batch()
    likelihood = Normal(image, SIGMA).log_prob(x).flatten(1).sum(1)
    if all(close(_in_rows(terms, i), right) for i, right in enumerate((likelihood, likelihood - exact))):
        return Hint("the first of the three is log p(x | z).", ORDER)
    return None


def _likelihood(terms: Function) -> "str | Hint | None":
    if wrong := _order(terms):
        return wrong
    x, image, _, _ = _batch()
    expected = Normal(image, SIGMA).log_prob(x).flatten(1).sum(1)
    squared, numbers = (x - image).square().flatten(1).sum(1), x[0].numel()
    constant = numbers * (math.log(SIGMA) + 0.5 * math.log(2 * math.pi))
    wide = Normal(image, WIDE).log_prob(x).flatten(1).sum(1)
    return (
        explain(
            _in_rows(terms, 1),
            expected,
            [
                (lambda: -expected, "the sign is flipped: log p(x | z) falls as the error grows."),
                (lambda: -squared / (2 * SIGMA**2), "the constant −N log(σ√(2π)) is missing."),
                (lambda: -squared, "that is the squared error: −‖x − image‖² / (2σ²) − N log(σ√(2π))."),
                (lambda: -squared / numbers, "that is the mean squared error: log-densities add up over pixels."),
                (lambda: expected / numbers, "that is the mean over the pixels: their log-densities add up."),
                (
                    lambda: -squared / numbers / (2 * SIGMA**2) - constant,
                    "the squared error is a mean over the pixels: it is their sum.",
                ),
                (lambda: -squared / (2 * SIGMA) - constant, "divide by 2σ², not by 2σ."),
                (lambda: -squared / SIGMA**2 - constant, "the factor ½ before the squared error is missing."),
                (
                    lambda: expected + (numbers - 1) * constant / numbers,
                    "the constant is that of one number: each of the C·H·W has its own.",
                ),
            ],
            "−‖x − image‖² / (2σ²) − N log(σ√(2π)), summed over the N = C·H·W numbers of an image.",
        )
        or explain(_in_rows(terms, 1, WIDE), wide, otherwise=f"it must hold for σ = {WIDE} as well.")
        or _far(terms, 1)
    )


def _far(terms: Function, which: int) -> str | None:
    """One of the terms for images of another size, far apart and near: nothing is limited or written in."""
    latents = size(LATENTS + 1, 2 * LATENTS)
    for apart, sigma, scales in zip((1e4, 1.0, NARROW), (NARROW, 30.0, NARROW), FAR, strict=True):
        x, image = (apart * normal(ROWS + 1, 1, 3, size(2, 6), seed=seed) for seed in (9, 10))
        mean, log_var = _unusual(ROWS + 1, latents, *scales)
        got = terms(x, image, mean, log_var, sigma)
        likelihood, kl = Normal(image, sigma).log_prob(x).flatten(1).sum(1), _reference(mean, log_var)
        right = (likelihood - kl, likelihood, kl)[which]
        if got[which].shape == right.shape and not close(got[which], right):
            other_rows = (len(x) - 1) * x[0].numel() * math.log(sigma * math.sqrt(2 * math.pi))
            if which < 2 and close(got[which], right - other_rows):
                return "N counts the numbers of the whole batch: one image has C·H·W."
            return (
                f"for images {tuple(x.shape[1:])} up to {4 * apart:g} apart, σ = {sigma:g} and {latents} latents, "
                f"{_reach(*scales)}, it is off: limit nothing, and write no size in."
            )
    return None


def _elbo_kl(terms: Function) -> "str | Hint | None":
    _, _, mean, log_var = _batch()
    return _order(terms) or _kl_hint(_in_rows(terms, 2), mean, log_var) or _far(terms, 2)


def _sum(terms: Function) -> "str | Hint | None":
    if wrong := _order(terms):
        return wrong
    total, likelihood, kl = (_in_rows(terms, i) for i in range(3))
    wrong = explain(
        total,
        likelihood - kl,
        [
            (lambda: likelihood + kl, "the KL is a price: subtract it."),
            (lambda: kl - likelihood, "that is the negative ELBO, a loss; the bound itself is log p(x | z) − KL."),
        ],
        "the ELBO should be log p(x | z) − KL.",
    )
    # A part that is off is another property's fault.
    return wrong or (None if _far(terms, 1) or _far(terms, 2) else _far(terms, 0))


def _evidence(terms: Function) -> str | None:
    """A linear decoder x = Wz, whose posterior and evidence are known."""
    weight = torch.linalg.qr(normal(3, 2, seed=6))[0]  # columns at right angles: the posterior is diagonal
    x = normal(1, 3, seed=7)
    variance = torch.full((2,), 1 / (1 + 1 / SIGMA**2), dtype=torch.float64)
    mean = variance * (x @ weight) / SIGMA**2
    z = mean + variance.sqrt() * normal(DRAWS // 10, 2, seed=8)
    count = len(z)
    pictures = (x.expand(count, 3).reshape(count, 3, 1, 1), (z @ weight.T).reshape(count, 3, 1, 1))
    spread = mean.expand(count, 2), variance.log().expand(count, 2)
    each = terms(*pictures, *spread, SIGMA)[0]
    got = each.mean().item() if each.shape == (count,) else each.sum().item()
    covariance = weight @ weight.T + SIGMA**2 * torch.eye(3).double()
    exact = MultivariateNormal(torch.zeros(3).double(), covariance).log_prob(x).item()
    if abs(got - exact) < 0.1:
        return None
    return f"for a linear decoder log p(x) is known to be {exact:.2f} nats; the mean of your bound is {got:.2f}."
