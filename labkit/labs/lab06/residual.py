"""Check of the KL of a posterior written relative to its prior (Vahdat and Kautz, arXiv:2007.03898)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.distributions import kl_divergence as library_kl

from labkit.checking import (
    Hint,
    Property,
    any_number,
    as_tensor,
    close,
    evaluate,
    explain,
    normal,
    one_per_row,
    row_values,
    same_gradients,
    untouched,
    weak,
)

ROWS, LATENTS, DRAWS = 5, 3, 40_000
Function = Callable[..., Any]


def residual_kl(kl: Function) -> list[Property]:
    """Properties of a function (shift, log_factor, prior_log_std), (N, M) each, → KL (N,) in nats.

    The prior is N(μ, σ²) and the posterior N(μ + Δμ, (σ Δσ)²), with shift = Δμ, log_factor = log Δσ and
    prior_log_std = log σ.
    """

    def value(*parts: Tensor) -> Tensor:
        return as_tensor(kl(*(part.clone() for part in parts)), "the KL").detach()

    return evaluate(
        {
            "one number for each image": weak(
                lambda: one_per_row(value(*_parts()), ROWS, LATENTS, "the KL") or any_number(value, *_parts())
            ),
            "it is 0 where nothing is shifted or scaled": weak(lambda: _at_the_prior(value)),
            "it is that of torch.distributions": lambda: _as_library(value),
            "it is the mean of log q(z) − log p(z) over drawn z": lambda: _monte_carlo(value),
            "log_factor counts however small the factor": weak(lambda: _tiny(value)),
            "gradients reach all three": weak(lambda: _gradients(kl)),
            "what it is given stays as it was": weak(lambda: untouched([4 * part for part in _parts()], kl)),
        }
    )


def _parts() -> tuple[Tensor, Tensor, Tensor]:
    return (normal(ROWS, LATENTS, seed=1), 0.6 * normal(ROWS, LATENTS, seed=2), 0.7 * normal(ROWS, LATENTS, seed=3))


def _rows(value: Function, *parts: Tensor) -> Tensor:
    return row_values(lambda all_three: value(*all_three.chunk(3, 1)), torch.cat(parts, 1))


def _normals(shift: Tensor, log_factor: Tensor, log_std: Tensor, mean: float = 1.5) -> tuple[Normal, Normal]:
    """Posterior and prior, the prior around `mean`."""
    return Normal(mean + shift, (log_std + log_factor).exp()), Normal(torch.full_like(shift, mean), log_std.exp())


def _at_the_prior(value: Function) -> str | None:
    zeros, log_std = torch.zeros(ROWS, LATENTS).double(), _parts()[2]
    halves = [
        (lambda: torch.full((ROWS,), LATENTS / 2), "the −1 is missing: ½(Δμ²/σ² + Δσ² − log Δσ² − 1)."),
        (lambda: torch.full((ROWS,), -LATENTS / 2), "Δσ² is missing: ½(Δμ²/σ² + Δσ² − log Δσ² − 1)."),
    ]
    otherwise = "with Δμ = 0 and Δσ = 1 the posterior is the prior, whatever σ is, and nothing is 0 nats from itself."
    return explain(_rows(value, zeros, zeros, log_std), torch.zeros(ROWS), halves, otherwise)


def _as_library(value: Function) -> str | None:
    shift, log_factor, log_std = _parts()
    expected = library_kl(*_normals(shift, log_factor, log_std)).sum(1)

    def of(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[], Tensor]:
        return lambda: change(shift, log_factor, log_std).sum(1)

    def formula(squared: Tensor, variance: Tensor, log_variance: Tensor) -> Tensor:
        return 0.5 * (squared + variance - 1 - log_variance)

    mistakes = [
        (lambda: -expected, "the sign is flipped: a KL is never negative."),
        (lambda: 2 * expected, "the factor ½ is missing."),
        (lambda: expected / LATENTS, "that is the mean over the latents: sum them, .sum(1)."),
        (lambda: expected + LATENTS / 2, "the −1 is missing: it must be 0 where nothing is shifted or scaled."),
        (
            of(lambda m, f, s: formula(m**2, (2 * f).exp(), 2 * f)),
            "Δμ is not divided by σ: the same shift counts for more where the prior is narrow.",
        ),
        (
            of(lambda m, f, s: formula(m**2 * (2 * s).exp(), (2 * f).exp(), 2 * f)),
            "Δμ is multiplied by σ, not divided: where the prior is narrow the same shift counts for more.",
        ),
        (
            of(lambda m, f, s: formula(m**2 / s.exp(), (2 * f).exp(), 2 * f)),
            "Δμ² is divided by σ; it must be σ², exp(2 · prior_log_std).",
        ),
        (
            of(lambda m, f, s: formula(m**2 / (2 * s).exp(), f.exp(), f)),
            "log_factor is taken for the logarithm of a variance: Δσ² is exp(2 · log_factor).",
        ),
        (
            of(lambda m, f, s: formula(m**2, (2 * (f + s)).exp(), 2 * (f + s))),
            "that is the KL to N(0, 1): here the prior has its own mean and deviation.",
        ),
        (
            of(lambda m, f, s: formula(m**2 / (2 * s).exp(), (2 * (f - s)).exp(), 2 * (f - s))),
            "Δσ is a factor already: do not divide it by σ once more.",
        ),
        (
            lambda: library_kl(*_normals(shift, log_factor, log_std)[::-1]).sum(1),
            "that is KL(p ‖ q), the other way round.",
        ),
    ]
    got = _rows(value, shift, log_factor, log_std)
    hint = explain(got, expected, mistakes, "½ Σ (Δμ²/σ² + Δσ² − log Δσ² − 1) over the latents.")
    if hint and not hint.why:
        hint = hint._replace(why=_terms(got))
    return hint or _any_width(value)


def _terms(got: Tensor) -> str:
    """How often each term of the formula comes, if the answer is made of these terms alone."""
    shift, log_factor, log_std = _parts()
    terms = (shift / log_std.exp()) ** 2, (2 * log_factor).exp(), 2 * log_factor, torch.ones_like(shift)
    columns = torch.stack([each.sum(1) for each in terms], 1).double()
    found = torch.linalg.lstsq(columns, 2 * got).solution
    if not close(columns @ found, 2 * got):
        return ""
    for name, mine, right in zip(("Δμ²/σ²", "Δσ²", "log Δσ²", "the constant"), found.tolist(), (1, 1, -1, -1)):
        if abs(mine - right) > 1e-4:
            return f"in ½ Σ (…) the factor of {name} is {round(mine, 3) + 0:g}, and should be {right}."
    return ""


def _any_width(value: Function) -> str | None:
    # Of another number of latents, and far from the prior.
    shift, log_factor = 100 * normal(ROWS, LATENTS + 2, seed=5), 4 * normal(ROWS, LATENTS + 2, seed=6)
    for log_std in (0.0, -16.0, 8.0):
        widths = torch.full_like(shift, log_std)
        expected = library_kl(*_normals(shift * widths.exp(), log_factor, widths, 0.0)).sum(1)
        if not close(_rows(value, shift * widths.exp(), log_factor, widths), expected):
            return (
                f"it is right, but not far from the prior and for {LATENTS + 2} latents, at prior_log_std = "
                f"{log_std:.0f}: add nothing to σ, limit nothing, and write in no size."
            )
    return None


def _monte_carlo(value: Function) -> str | None:
    shift, log_factor, log_std = (part[:1] for part in _parts())
    posterior, prior = _normals(shift, log_factor, log_std)
    z = posterior.mean + posterior.stddev * normal(DRAWS, LATENTS, seed=4)
    each = (posterior.log_prob(z) - prior.log_prob(z)).sum(1)
    error, estimate = each.std().item() / DRAWS**0.5, each.mean().item()
    got = _rows(value, shift, log_factor, log_std).item()
    if abs(got - estimate) < 4 * error:
        return None
    return f"{DRAWS:,} draws say {estimate:.3f} ± {error:.3f} nats, your formula {got:.3f}."


def _tiny(value: Function) -> str | None:
    zeros = torch.zeros(ROWS, LATENTS).double()
    # Not smaller: torch.distributions takes the square of the deviation, which must not be 0.
    at_20, at_25, at_30 = (_rows(value, zeros, torch.full_like(zeros, -each), zeros) for each in (20.0, 25.0, 30.0))
    if close((at_30 - at_25) / (at_25 - at_20), torch.ones(ROWS)):
        return None
    return (
        "from log_factor = −25 to −30 the KL must grow by as much as from −20 to −25: add nothing to the factor, "
        "limit neither it nor log_factor, and take the logarithm of no ratio that can be 0."
    )


def _gradients(kl: Function) -> Hint | str | None:
    parts = [part.requires_grad_() for part in _parts()]
    value = as_tensor(kl(*parts), "the KL").sum()
    if not value.requires_grad:
        return "no gradient: leave out .item(), .detach() and numpy, and compute with tensors."
    right = library_kl(*_normals(*parts)).sum()
    return same_gradients(value, right, **dict(zip(("shift", "log_factor", "prior_log_std"), parts, strict=True)))
