"""Check of lab 00's throw-away exercise: the log-density of a standard normal in d dimensions."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal

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
    row_values,
    untouched,
    weak,
)

DIMENSIONS = (3, 1, 100)


def first_check(log_density: Callable[[Tensor], Tensor]) -> list[Property]:
    """Properties of log_density(x): x (N, d) → log N(x; 0, I) in nats, (N,).

    Args:
        log_density: the student's function.
    """

    def value(points: Tensor) -> Tensor:
        return as_tensor(log_density(points.clone()), "the log-density").detach()

    return evaluate(
        {
            "one log-density for each row of x": weak(
                lambda: (
                    one_per_row(value(normal(7, 3)), 7, 3, "the log-density")
                    or any_number(value, normal(7, 3))
                    or untouched([normal(7, 3)], log_density)
                )
            ),
            "it falls from its peak by |x|²/2": lambda: _in_every_dimension(_falls, value),
            "at the origin it is −d/2 · log 2π": lambda: _in_every_dimension(_constant, value),
            "far from the origin it is still finite": weak(lambda: _far(value)),
        }
    )


def _in_every_dimension(test: Callable, value: Callable) -> None:
    """Ask `test` for several d, and say so where only another d fails."""
    for features in DIMENSIONS:
        if hint := test(value, features):
            if features == DIMENSIONS[0]:
                raise Missed(hint)
            raise Missed(f"right for d = {DIMENSIONS[0]} but not for d = {features}: take d from x.shape[1].")


def _falls(value: Callable, features: int) -> str | None:
    x = normal(5, features)
    drop = row_values(value, x) - row_values(value, torch.zeros_like(x))
    squares = x.square()
    return explain(
        drop,
        _reference(x) - _reference(torch.zeros_like(x)),
        [
            (lambda: -squares.mean(1) / 2, "you took the mean over the features; a log-density is their sum."),
            (lambda: squares.sum(1) / 2, "the sign is flipped: the density falls away from the origin, −|x|²/2."),
            (lambda: -squares.sum(1), "the factor ½ is missing: −|x|²/2."),
            (lambda: -x.sum(1) / 2, "x is not squared: −|x|²/2."),
            (lambda: -squares.sum(1).sqrt() / 2, "that is the length of x; its square is needed: −|x|²/2."),
        ],
        "log p(x) − log p(0) should be −|x|²/2, the sum of −x²/2 over the features.",
    )


def _constant(value: Callable, features: int) -> str | None:
    origin = torch.zeros(1, features, dtype=torch.float64)
    expected = _reference(origin)
    return explain(
        row_values(value, origin),
        expected,
        [
            (lambda: 0 * expected, "the constant is missing: the density integrates to one only with −d/2 · log 2π."),
            (lambda: expected / features, "the constant is that of one feature: multiply it by d."),
            (lambda: -expected, "the sign of the constant is flipped: −d/2 · log 2π."),
            (lambda: 2 * expected, "the factor ½ of the constant is missing: −d/2 · log 2π."),
            (lambda: expected / math.log(10), "that is the logarithm to base 10; nats need the natural one."),
        ],
        "log p(0) should be −d/2 · log 2π, with the natural logarithm and d = x.shape[1].",
    )


def _far(value: Callable) -> str | None:
    for x in (60.0, 2000.0):
        points = torch.full((2, 3), x, dtype=torch.float64)
        got, right = value(points), _reference(points)
        if not bool(got.isfinite().all()):
            return (
                f"at x = {x:g}, exp underflows to 0 and its log is −inf: write the logarithm out, never log(exp(…))."
            )
        sound = got.shape == right.shape and not _falls(value, 3) and not _constant(value, 3)
        if sound and not close(got / right, torch.ones(2)):
            return f"at x = {x:g} it is {got[0]:.4g}, expected {right[0]:.4g}: limit nothing, and add nothing to it."
    return None


def _reference(x: Tensor) -> Tensor:
    return Normal(0.0, 1.0).log_prob(x).sum(1)
