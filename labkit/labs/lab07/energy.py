"""Check of the energy distance between two samples (Székely and Rizzo, 2013), without bias."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.checking import Property, dtype, evaluate, normal, number, same_numbers, untouched, weak

Function = Callable[[Tensor, Tensor], Any]
Case = tuple[Tensor, Tensor]
FORMULA = "2 · mean of |a − b| − sum of |a − a'| / (n (n − 1)) − sum of |b − b'| / (m (m − 1))"


def energy_distance(distance: Function) -> list[Property]:
    """Properties of a function: samples (N, d) and (M, d) → 2 E|a − b| − E|a − a'| − E|b − b'|, a number.

    Args:
        distance: a and a' are different rows of one sample, so that samples of one law give 0 on average.
    """

    def asked(*cases: Case) -> Any:
        return same_numbers(distance, _right, cases, ("a", "b"), MISTAKES, FORMULA)

    return evaluate(
        {
            "one number, and the samples stay as they were": weak(
                lambda: (number(distance(*_samples(0)), "it") and None) or untouched(_samples(0), distance)
            ),
            "on a line it is the mean distance across, doubled, less both within": lambda: asked(*_on_a_line()),
            "in many dimensions distances are lengths": lambda: asked(_samples(1), _samples(2, 5, 5, 64)),
            "of samples of unequal size too": lambda: asked(
                _samples(3, 9, 4), _samples(4, 2, 130, shift=2), _samples(5, 140, 3, shift=2)
            ),
            "a sample is not compared with the other row by row": lambda: asked(*_shuffled()),
            "it is linear in the scale, near and far": lambda: asked(*_scaled()),
        }
    )


def _parts(a: Tensor, b: Tensor, power: float = 1, norm: float = 2) -> tuple[float, float, float]:
    """Means of distances across, and within each over pairs of different rows."""

    def far(x: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.vector_norm((x[:, None] - y[None]).double(), norm, dim=2) ** power

    within = [(far(x, x).sum() / (len(x) * (len(x) - 1))).item() for x in (a, b)]
    return far(a, b).mean().item(), *within


def _right(a: Tensor, b: Tensor, **how: float) -> float:
    across, in_a, in_b = _parts(a, b, **how)
    return 2 * across - in_a - in_b


def _of_parts(value: Callable[..., Any]) -> Function:
    return lambda a, b: value(*_parts(a, b), len(a), len(b))


# What a common mistake computes, and what to say of it.
MISTAKES: tuple[tuple[Callable[..., Any], str], ...] = (
    (
        _of_parts(lambda c, x, y, n, m: 2 * c - x * (n - 1) / n - y * (m - 1) / m),
        "each row's distance to itself, 0, counts within: a and a' are different rows, divide by n (n − 1).",
    ),
    (_of_parts(lambda c, x, y, n, m: 2 * c - x / 2 - y / 2), "within a sample each pair counts half."),
    (_of_parts(lambda c, x, y, n, m: 2 * c * n * m - x - y), "the distances across are added up: take their mean."),
    (
        _of_parts(lambda c, x, y, n, m: 2 * c - x * n * (n - 1) - y * m * (m - 1)),
        "the distances within are added up: take their mean.",
    ),
    (_of_parts(lambda c, x, y, n, m: 2 * c - x / n**2 - y / m**2), "within a sample it is divided twice."),
    (_of_parts(lambda c, x, y, n, m: c - x - y), "the distances across are not doubled."),
    (_of_parts(lambda c, x, y, n, m: c - x / 2 - y / 2), "it is half of it: the distances across count twice."),
    (_of_parts(lambda c, x, y, n, m: 2 * c), "the distances within are not subtracted."),
    (_of_parts(lambda c, x, y, n, m: c), "that is the mean distance across alone."),
    (_of_parts(lambda c, x, y, n, m: 2 * c - x), "the distances within b are left out."),
    (_of_parts(lambda c, x, y, n, m: 2 * c - y), "the distances within a are left out."),
    (_of_parts(lambda c, x, y, n, m: 2 * c - 2 * x), "both terms within are those of a."),
    (_of_parts(lambda c, x, y, n, m: 2 * c + x + y), "the distances within are added, not subtracted."),
    (
        _of_parts(lambda c, x, y, n, m: max(2 * c - x - y, 0)),
        "it is cut off at 0: without bias it is negative at times.",
    ),
    (_of_parts(lambda c, x, y, n, m: abs(2 * c - x - y)), "the sign is lost: without bias it is negative at times."),
    (lambda a, b: _right(a, b, power=2), "distances are squared: take their roots."),
    (lambda a, b: _right(a, b, norm=1), "a distance is the length of a − b, not the sum of its absolute values."),
    (lambda a, b: _right(a, b) / a.shape[1] ** 0.5, "a distance is the root of a sum over features, not of a mean."),
    (lambda a, b: 2 * (a.mean(0) - b.mean(0)).norm().item(), "that compares the means: distances come first."),
)


def _samples(seed: int, n: int = 4, m: int = 3, d: int = 5, shift: float = 0.5) -> Case:
    return normal(n, d, seed=seed), 1.5 * normal(m, d, seed=100 + seed) + shift


def _on_a_line() -> list[Case]:
    few = [([0.0, 1.0], [3.0, 5.0]), ([0.0, 2.0], [1.0, 1.0]), ([0.0, 1.0, 5.0], [0.0, 4.0]),
           ([0.0, 0.0, 0.0, 3.0], [1.0, 4.0, 4.0])]  # fmt: skip
    return [tuple(torch.tensor(each, dtype=dtype())[:, None] for each in case) for case in few]


def _shuffled() -> list[Case]:
    """The same rows in another order: 0 less the bias."""
    a = normal(6, 3, seed=6)
    return [(a, a.flip(0)), (a, a.clone())]


def _scaled() -> list[Case]:
    (a, b), (c, d) = _samples(7, 24, 20), _samples(8, 12, 24, 2)
    return [(3e4 * a, 3e4 * b), (c + 20, d + 20), (0.01 * a, 0.01 * b)]
