"""Check of the drawn latent of a VAE: z = mean + exp(log_var / 2) · noise (Kingma and Welling, arXiv:1312.6114)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.checking import (
    Hint,
    Missed,
    Property,
    as_tensor,
    close,
    drawing_seed,
    dtype,
    evaluate,
    normal,
    size,
    untouched,
    weak,
)
from labkit.noise import independent, normal_law, normal_noise

ROWS, LATENTS = 6, 4
DRAWS = 40_000  # a standard deviation is then known to 0.4 %
# Of latents from far and near, of narrow and wide posteriors.
MEANS = torch.tensor([0.0, -3e3, 0.5, 1e6], dtype=torch.float64)
LOG_VARS = torch.tensor([-60.0, -0.5, 1.0, 25.0], dtype=torch.float64)
SHARED = "all images share one noise: draw it in the shape of the mean, torch.randn_like(mean)."
Function = Callable[..., Any]


def reparameterisation(reparameterise: Function) -> list[Property]:
    """Properties of a function (mean (N, M), log_var (N, M)) → z (N, M), drawn from N(mean, exp(log_var)).

    Args:
        reparameterise: the student's function; it draws from torch's global generator.
    """

    def draw(mean: Tensor, log_var: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(drawing_seed(0))
            return as_tensor(reparameterise(mean.clone(), log_var.clone()), "z")

    return evaluate(
        {
            "z has the shape of the mean": weak(lambda: _z_shape(draw) or untouched(posterior(), reparameterise)),
            "z lies around the mean": weak(lambda: _centre(draw)),
            "its standard deviation is exp(log_var / 2)": lambda: _spread(draw),
            "each number has its own noise, new at each call": lambda: _fresh(reparameterise),
            "gradients reach the mean and log_var": lambda: _gradients(draw),
        }
    )


def posterior() -> tuple[Tensor, Tensor]:
    """Mean and log-variance, (N, M) each, that all checks of the posterior look at."""
    return normal(ROWS, LATENTS, seed=1), 0.8 * normal(ROWS, LATENTS, seed=2)


def _z_shape(draw: Function) -> str | None:
    for rows in (ROWS, 1):
        got = draw(*(each[:rows] for each in posterior()))
        if got.shape != (rows, LATENTS):
            return f"z should be {(rows, LATENTS)}, not {tuple(got.shape)}."
    return None


def _many(draw: Function) -> Tensor:
    """What is added to the mean, for `DRAWS` rows of one posterior."""
    mean = MEANS.to(dtype()).expand(DRAWS, LATENTS)
    z = draw(mean, LOG_VARS.to(dtype()).expand(DRAWS, LATENTS)).detach()
    if bool(z.isnan().any()):
        negative = bool((LOG_VARS < 0).expand_as(z)[z.isnan()].all()) if z.shape == mean.shape else False
        at = ", just where log_var is negative" if negative else ""
        raise Missed(
            Hint(f"z is NaN{at}.", "a root or logarithm of log_var itself; the root belongs to the variance.")
        )
    return torch.broadcast_to(z, mean.shape) - mean


def _shared(noise: Tensor) -> bool:
    return bool(noise.any()) and close(noise, noise[:1].expand_as(noise))


def _centre(draw: Function) -> str | None:
    noise = _many(draw)
    if _shared(noise):
        return SHARED
    if bool((noise.mean(0).abs() <= 0.03 * noise.std(0)).all()):
        return None
    return "on average z − mean should be 0: add torch.randn_like, not rand, to the mean itself."


def _spread(draw: Function) -> "str | Hint | None":
    noise = _many(draw)
    got = noise.square().mean(0).sqrt()
    if close(got, torch.zeros(LATENTS)):
        return "z is the mean: the noise is missing."
    if _shared(noise):
        return SHARED
    mistakes = {
        "log_var is the logarithm of the variance; halve it before exp, or take the root.": LOG_VARS.exp(),
        "log_var is used as if it were the standard deviation: exp(log_var / 2).": LOG_VARS.abs(),
        "the noise is not scaled: times exp(log_var / 2).": torch.ones(LATENTS),
        "the sign is flipped: exp(+log_var / 2).": torch.exp(-LOG_VARS / 2),
        "rand is uniform between 0 and 1: randn_like is the normal one.": torch.exp(LOG_VARS / 2) / 3**0.5,
    }
    if close(got.log(), LOG_VARS / 2, 0.03):
        return normal_law(noise / torch.exp(LOG_VARS / 2), "the noise")
    found = [hint for hint, wrong in mistakes.items() if close(got, wrong, 0.03)]
    worst = int((got.log() - LOG_VARS / 2).abs().argmax())
    where = (
        f"for log_var = {LOG_VARS[worst]:.3g} z has standard deviation {got[worst]:.3g}, "
        f"expected {math.exp(LOG_VARS[worst] / 2):.3g}."
    )
    return Hint(where, found[0] if found else "the noise should be multiplied by exp(log_var / 2).")


def _fresh(reparameterise: Function) -> str | None:
    mean = torch.zeros(8, size(LATENTS + 1, 2 * LATENTS), dtype=torch.float64)
    log_var = torch.ones_like(mean)  # not 0, where a wrong scale would silence the noise
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(drawing_seed(1))
        first, second = (as_tensor(reparameterise(mean.clone(), log_var.clone()), "z").detach() for _ in "ab")
    if close(first, second):
        return "two calls draw the same: no seed, and no noise made outside the function."
    if close(first, first[:1].expand_as(first)):
        return SHARED
    if close(first, first[:, :1].expand_as(first)):
        return "all latents of an image share one noise: draw it in the shape of the mean."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(drawing_seed(2))
        if not bool(as_tensor(reparameterise(mean[:1].clone(), log_var[:1].clone()), "z").any()):
            return "for one image alone there is no noise."
        big = torch.zeros(2000, LATENTS, dtype=torch.float64)
        noise = [as_tensor(reparameterise(big.clone(), big.clone()), "z").detach() for _ in "ab"]
        # That the law is another one `_spread` tells.
        if not normal_law(noise[0], "") and (hint := independent(*noise)):
            return hint
        return normal_noise(
            lambda: as_tensor(reparameterise(mean.clone(), log_var.clone()), "z").detach() / math.exp(0.5)
        )


def _gradients(draw: Function) -> str | None:
    """z moves with the mean as much, and with log_var by half of what was added to the mean."""
    mean, log_var = (each.requires_grad_() for each in posterior())
    z = draw(mean, log_var)
    if not z.requires_grad:
        return "no gradient reaches z: draw the noise alone, and compute z from mean, log_var and noise."
    found = torch.autograd.grad(z.sum(), (mean, log_var), allow_unused=True)
    for name, gradient in zip(("the mean", "log_var"), found, strict=True):
        if gradient is None or not bool((gradient != 0).all()):
            return f"no gradient reaches {name}: that head would never be trained."
    if z.shape != mean.shape or _spread(draw) is not None:
        return None  # another property tells that
    for name, gradient, right in zip(
        ("the mean", "log_var"), found, (torch.ones_like(z), (z - mean) / 2), strict=True
    ):
        if not close(gradient, right.detach(), 1e-4):
            return f"the gradient of {name} is not that of the formula: is a part of it detached?"
    return None
