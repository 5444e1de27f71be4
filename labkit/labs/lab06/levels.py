"""Check of drawing from a hierarchy of latents with a temperature for each level."""

import torch
from torch import Tensor

from labkit.checking import Function, Missed, Property, as_tensor, close, evaluate, normal, weak

ROWS = 4
SIZES = (2, 3, 5)
WARM = (0.5, 1.5, 0.8)
FRESH = "two calls with the same noise differ: use the noise that is given, and draw none."


def temperature_per_level(draw: Function) -> list[Property]:
    """Properties of a function (priors, noise, temperatures) → the latents of all levels, a list.

    Args:
        draw: the student's function. priors[l] is a function of the list of latents drawn above, [z_0 … z_{l−1}], to
            mean and log_std (N, M_l); noise[l] is standard normal (N, M_l); temperatures[l] is a number.
    """

    def latents(temperatures: tuple[float, ...], shift: float = 0.0) -> list[Tensor]:
        result = draw(_priors(shift), _noise(), list(temperatures))
        if not isinstance(result, list | tuple) or len(result) != len(SIZES):
            raise Missed(f"return a list of {len(SIZES)} tensors, the latents of each level.")
        return [as_tensor(z, f"the latents of level {l}").detach() for l, z in enumerate(result)]

    return evaluate(
        {
            "a tensor of latents for each level": weak(lambda: _shapes(latents)),
            "at temperature 1 they are mean + exp(log_std) · noise": lambda: _plain(latents),
            "at temperature 0 each level is its prior's mean": weak(lambda: _cold(latents)),
            "each level has its own temperature": lambda: _warm(latents),
            "a level's prior sees the latents drawn above it": lambda: _chain(latents),
        }
    )


def _noise() -> list[Tensor]:
    return [normal(ROWS, size, seed=10 + l) for l, size in enumerate(SIZES)]


def _priors(shift: float = 0.0) -> list[Function]:
    """Priors that depend on all latents above: their mean over the latents moves mean and log-deviation."""

    def prior(l: int) -> Function:
        def parameters(above: list[Tensor]) -> tuple[Tensor, Tensor]:
            if len(above) != l:
                raise Missed(
                    f"the prior of level {l} was given {len(above)} levels of latents; give it the {l} above."
                )
            told = sum(z.mean(1, keepdim=True) for z in above) if l else torch.zeros(ROWS, 1).double()
            first = shift if l == 0 else 0.0
            mean = first + 0.7 * told + normal(1, SIZES[l], seed=20 + l)
            return mean.expand(ROWS, -1), 0.3 * told.tanh() + 1.5 * normal(1, SIZES[l], seed=30 + l).expand(ROWS, -1)

        return parameters

    return [prior(l) for l in range(len(SIZES))]


def _right(temperatures: tuple[float, ...], shift: float = 0.0, scale: Function = torch.exp) -> list[Tensor]:
    latents: list[Tensor] = []
    for prior, noise, t in zip(_priors(shift), _noise(), temperatures):
        mean, log_std = prior(latents)
        latents.append(mean + t * scale(log_std) * noise)
    return latents


def _alike(got: list[Tensor], expected: list[Tensor]) -> bool:
    return all(close(a, b) for a, b in zip(got, expected, strict=True))


def _shapes(latents: Function) -> str | None:
    for l, (z, size) in enumerate(zip(latents((1.0, 1.0, 1.0)), SIZES)):
        if z.shape != (ROWS, size):
            return f"level {l} should be {(ROWS, size)}, as its noise, not {tuple(z.shape)}."
    return None


def _plain(latents: Function) -> str | None:
    ones = (1.0, 1.0, 1.0)
    got = latents(ones)
    if _alike(got, _right(ones)):
        return None
    if _alike(got, _right(ones, scale=lambda s: torch.exp(s / 2))):
        return "log_std is the logarithm of the standard deviation, not of the variance: exp(log_std)."
    if _alike(got, _right(ones, scale=lambda s: torch.exp(2 * s))):
        return "exp(2 · log_std) is the variance: the noise is scaled by the deviation, exp(log_std)."
    if _alike(got, _right(ones, scale=lambda s: s)):
        return "log_std is used as if it were the deviation: exp(log_std)."
    if _alike(got, _right(ones, scale=torch.ones_like)):
        return "the noise is not scaled by exp(log_std)."
    if not _alike(got, latents(ones)):
        return FRESH
    return "level l should be mean + T_l · exp(log_std) · noise[l], with mean and log_std from priors[l]."


def _cold(latents: Function) -> str | None:
    zeros = (0.0, 0.0, 0.0)
    if _alike(latents(zeros), _right(zeros)):
        return None
    return "with T = 0 nothing of the noise may be left: multiply it by the temperature, and leave the mean alone."


def _warm(latents: Function) -> str | None:
    got = latents(WARM)
    if _alike(got, _right(WARM)):
        return None
    if _alike(got, _right((1.0,) * 3)):
        return "the temperatures are not used."
    if _alike(got, _right((WARM[0],) * 3)):
        return "all levels have the first temperature: take temperatures[l]."
    if _alike(got, _right(WARM[::-1])):
        return "the temperatures are used in reverse order."
    if _alike(got, _right(tuple(t**0.5 for t in WARM))) or _alike(got, _right(tuple(t**2 for t in WARM))):
        return "T multiplies the standard deviation: neither its root nor its square."
    return "level l should be mean + T_l · exp(log_std) · noise[l]: does T multiply the deviation alone?"


def _chain(latents: Function) -> str | None:
    if not _alike(latents((1.0,) * 3), latents((1.0,) * 3)):
        return FRESH
    moved = [b - a for a, b in zip(latents((1.0,) * 3), latents((1.0,) * 3, 2.0), strict=True)]
    expected = [b - a for a, b in zip(_right((1.0,) * 3), _right((1.0,) * 3, 2.0), strict=True)]
    if any(bool((change.abs() < 1e-9).all()) for change in moved):
        return "the prior's first level moved, and a level below did not: hand priors[l] the latents, not the noise."
    if all(bool((a * b > 0).float().mean() > 0.5) for a, b in zip(moved, expected, strict=True)):
        return None
    return "when the first level moves, those below must follow: hand priors[l] the latents drawn so far."
