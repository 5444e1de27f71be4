"""Check of drawing from a hierarchy of latents with a temperature for each level."""

import torch
from torch import Tensor

from labkit.checking import WRITTEN, Function, Missed, Property, as_tensor, close, evaluate, no_nan, normal, weak

ROWS = 4
SIZES = (4, 3, 5, 2)
ONES = (1.0,) * len(SIZES)
WARM = (0.5, 3.5, 0.8, 2.6)
FRESH = "two calls with the same noise differ: use the noise that is given, and draw none."
SCALES = "T multiplies the standard deviation: neither its root nor its square."
ALONE = "T multiplies the deviation alone, not the mean."
# What a common mistake makes of mean, log_std, noise and temperature.
MISTAKES = (
    (
        lambda m, s, e, t: m + t * (s / 2).exp() * e,
        "log_std is the logarithm of the standard deviation, not of the variance: exp(log_std).",
    ),
    (
        lambda m, s, e, t: m + t * (2 * s).exp() * e,
        "exp(2 · log_std) is the variance: the noise is scaled by the deviation, exp(log_std).",
    ),
    (lambda m, s, e, t: m + t * s * e, "log_std is used as if it were the deviation: exp(log_std)."),
    (lambda m, s, e, t: m + t * e, "the noise is not scaled by exp(log_std)."),
    (lambda m, s, e, t: m - t * s.exp() * e, "the noise is subtracted: mean + T_l · exp(log_std) · noise[l]."),
    (lambda m, s, e, t: t * s.exp() * e, "the mean is missing."),
    (lambda m, s, e, t: m + t * s.exp(), "the noise is missing: multiply the deviation by noise[l]."),
    (lambda m, s, e, t: s + t * m.exp() * e, "mean and log_std have changed places: a prior returns the mean first."),
    (lambda m, s, e, t: m + s.exp() * e, "the temperatures are not used."),
    (lambda m, s, e, t: m + t**0.5 * s.exp() * e, SCALES),
    (lambda m, s, e, t: m + t**2 * s.exp() * e, SCALES),
    (lambda m, s, e, t: m + s.exp() * e / t, "the deviation is divided by T: a higher temperature makes it wider."),
    (lambda m, s, e, t: m + (t * s).exp() * e, "T multiplies exp(log_std), not log_std."),
    (lambda m, s, e, t: t * (m + s.exp() * e), ALONE),
    (lambda m, s, e, t: t * m + s.exp() * e, ALONE),
)
# What a prior is handed in the place of the latents above, of (latents, means, noise, what they are at T = 1).
HANDED = (
    (lambda z, m, e, plain: e, "priors[l] is handed the noise: hand it the latents drawn above."),
    (lambda z, m, e, plain: m, "priors[l] is handed the means of the levels above: hand it the latents drawn there."),
    (lambda z, m, e, plain: plain, "priors[l] is handed latents without their temperature: hand it those drawn."),
    (lambda z, m, e, plain: z[::-1], "priors[l] is handed the latents in reverse order: z_0 comes first."),
)


def temperature_per_level(draw: Function) -> list[Property]:
    """Properties of a function (priors, noise, temperatures) → the latents of all levels, a list.

    Args:
        draw: the student's function. priors[l] is a function of the list of latents drawn above, [z_0 … z_{l−1}], to
            mean and log_std (N, M_l); noise[l] is standard normal (N, M_l); temperatures[l] is a number.
    """

    def latents(temperatures: tuple[float, ...], shift: float = 0.0, written: bool = True) -> list[Tensor]:
        noise, given = _noise(), list(temperatures)
        result = draw(_priors(shift), noise, given)
        if not written and not (
            tuple(given) == temperatures and len(noise) == len(SIZES) and _alike(noise, _noise())
        ):
            raise Missed(WRITTEN)
        if result is None:
            raise Missed("it returns None: the `return` is missing.")
        if not isinstance(result, list | tuple) or len(result) != len(SIZES):
            raise Missed(f"return a list of {len(SIZES)} tensors, the latents of each level.")
        return [no_nan(as_tensor(z, f"the latents of level {l}").detach()) for l, z in enumerate(result)]

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
    # The last level's far out, so that a limit shows.
    return [normal(ROWS, size, seed=10 + l) * (5.0 if l == len(SIZES) - 1 else 1.0) for l, size in enumerate(SIZES)]


def _priors(shift: float = 0.0) -> list[Function]:
    """Priors that depend on all latents above, on each level by another weight: mean and log-deviation move."""

    def prior(l: int) -> Function:
        def parameters(above: list[Tensor]) -> tuple[Tensor, Tensor]:
            if len(above) != l:
                raise Missed(
                    f"the prior of level {l} was given {len(above)} levels of latents; give it the {l} above."
                )
            told = sum(z.mean(1, keepdim=True) / (k + 1) for k, z in enumerate(above)) + torch.zeros(ROWS, 1).double()
            first = shift if l == 0 else 0.0
            mean = first + 0.7 * told + normal(1, SIZES[l], seed=20 + l)
            log_std = 1.5 * normal(1, SIZES[l], seed=30 + l).expand(ROWS, -1) + 0.3 * told.tanh()
            if l == len(SIZES) - 1:  # of no usual range, whatever is drawn
                log_std = torch.linspace(8, -8, SIZES[l]).to(mean) + 0.3 * log_std
            return mean.expand(ROWS, -1), log_std

        return parameters

    return [prior(l) for l in range(len(SIZES))]


def _right(
    temperatures: tuple[float, ...],
    shift: float = 0.0,
    mix: Function = lambda m, s, e, t: m + t * s.exp() * e,
    handed: Function = lambda z, m, e, plain: z,
) -> list[Tensor]:
    """The latents, or what a mistake in `mix` or `handed` makes of them."""
    latents, means, plain = [], [], []
    for l, prior in enumerate(_priors(shift)):
        mean, log_std = prior(handed(latents, means, _noise()[:l], plain))
        latents.append(mix(mean, log_std, _noise()[l], temperatures[l]))
        means.append(mean)
        plain.append(mix(mean, log_std, _noise()[l], 1.0))
    return latents


def _named(got: list[Tensor], temperatures: tuple[float, ...]) -> str | None:
    """The hint of the mistake that gives the same latents."""
    for mix, hint in MISTAKES:
        if _alike(got, _right(temperatures, mix=mix)):
            return hint
    return next((hint for handed, hint in HANDED if _alike(got, _right(temperatures, handed=handed))), None)


def _alike(got: list[Tensor], expected: list[Tensor]) -> bool:
    return all(close(a, b) for a, b in zip(got, expected, strict=True))


def _shapes(latents: Function) -> str | None:
    for l, (z, size) in enumerate(zip(latents(ONES), SIZES)):
        if z.shape != (ROWS, size):
            return f"level {l} should be {(ROWS, size)}, as its noise, not {tuple(z.shape)}."
    return None


def _plain(latents: Function) -> str | None:
    got = latents(ONES)
    if _alike(got, _right(ONES)):
        return None
    if hint := _named(got, ONES):
        return hint
    if not _alike(got, latents(ONES)):
        return FRESH
    return "level l should be mean + T_l · exp(log_std) · noise[l], with mean and log_std from priors[l]."


def _cold(latents: Function) -> str | None:
    zeros = (0.0,) * len(SIZES)
    if _alike(latents(zeros), _right(zeros)):
        return None
    if hint := _named(latents(WARM, written=False), WARM):
        return hint
    return "with T = 0 nothing of the noise may be left: multiply it by the temperature, and leave the mean alone."


def _warm(latents: Function) -> str | None:
    got = latents(WARM, written=False)
    if _alike(got, _right(WARM)):
        return None
    if hint := _named(got, WARM):
        return hint
    if _alike(got, _right((WARM[0],) * len(WARM))):
        return "all levels have the first temperature: take temperatures[l]."
    if _alike(got, _right(WARM[::-1])):
        return "the temperatures are used in reverse order."
    return "level l should be mean + T_l · exp(log_std) · noise[l]: does T multiply the deviation alone?"


def _chain(latents: Function) -> str | None:
    if not _alike(latents(ONES), latents(ONES)):
        return FRESH
    moved = [b - a for a, b in zip(latents(ONES), latents(ONES, 2.0), strict=True)]
    expected = [b - a for a, b in zip(_right(ONES), _right(ONES, 2.0), strict=True)]
    if any(bool((change.abs() < 1e-9).all()) for change in moved):
        return _named(latents(ONES), ONES) or (
            "the prior's first level moved, and a level below did not: hand priors[l] the latents, not the noise."
        )
    # The last level's range is no usual one: there the noise alone decides which way it moves.
    if all(bool((a * b > 0).float().mean() > 0.5) for a, b in zip(moved[:-1], expected[:-1], strict=True)):
        return None
    return "when the first level moves, those below must follow: hand priors[l] the latents drawn so far."
