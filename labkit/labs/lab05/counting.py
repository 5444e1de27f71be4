"""Check of the mutual information of two columns of whole numbers, by counting how often pairs occur."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.checking import Property, evaluate, number, random_numbers, same_numbers, untouched, weak

Function = Callable[[np.ndarray, np.ndarray], Any]
Case = tuple[np.ndarray, np.ndarray]
FORMULA = "sum of p(a, b) · log(p(a, b) / (p(a) p(b))) over the pairs that occur, p as shares of the rows"


def mutual_information(inform: Function) -> list[Property]:
    """Properties of a function: a and b, whole numbers (N,) from 0 → their mutual information in nats, a number.

    Args:
        inform: it counts, and corrects nothing.
    """

    def asked(*cases: Case) -> Any:
        return same_numbers(inform, _right, cases, ("a", "b"), MISTAKES, FORMULA)

    return evaluate(
        {
            "a number, not negative": weak(lambda: _range(inform) or untouched(_columns(0, least=1), inform)),
            "a column tells the whole entropy of itself": lambda: asked(*_same()),
            "independent columns tell nothing of each other": weak(lambda: asked(*_independent())),
            "over a noisy channel it is log 2 less the entropy of the noise": lambda: asked(*_channels()),
            "in a table of any size pairs count by how often they occur": lambda: asked(*map(_columns, range(1, 6))),
            "pairs and levels that never occur add nothing": lambda: asked(*_gaps()),
            "so it is for many rows and levels": lambda: asked(_columns(9, 40_000, 40), _columns(10, 200_000)),
        }
    )


def _entropy(a: np.ndarray, b: np.ndarray | int = 0) -> float:
    share = np.unique(a * (np.max(b) + 1) + b, return_counts=True)[1] / len(a)
    return float(-(share * np.log(share)).sum())


def _right(a: np.ndarray, b: np.ndarray) -> float:
    return _entropy(a) + _entropy(b) - _entropy(a, b)


def _ratios(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares p(a, b) of all pairs of levels, and p(a) p(b)."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    return joint, np.outer(joint.sum(1), joint.sum(0))


def _of_table(term: Function) -> Function:
    return lambda a, b: term(*_ratios(a, b))


def _marginals(of_a: Callable[..., Any], of_b: Callable[..., Any]) -> Function:
    """With other marginals of the table than its sums."""

    def inform(a: np.ndarray, b: np.ndarray) -> float:
        p = _ratios(a, b)[0]
        q = np.outer(of_a(p, axis=1), of_b(p, axis=0))
        return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())

    return inform


MEANS = "a mean stands where a sum belongs: p(a) is the sum of p(a, b) over b, p(b) that over a."
# What a common mistake computes, and what to say of it.
MISTAKES: tuple[tuple[Callable[..., Any], str], ...] = (
    (lambda a, b: _right(a, b) / math.log(2), "that is in bits: nats have the natural logarithm."),
    (lambda a, b: _entropy(a, b), "that is the entropy of both together, not what they share."),
    (lambda a, b: -_entropy(a, b), "p(a, b) stands alone in the logarithm: divide it by p(a) p(b)."),
    (lambda a, b: _entropy(a) + _entropy(b), "the entropy of both together is not subtracted."),
    (lambda a, b: _entropy(a), "that is the entropy of a alone: b does not enter."),
    (lambda a, b: _entropy(b), "that is the entropy of b alone: a does not enter."),
    (lambda a, b: _entropy(a, b) - _entropy(b), "that is the entropy of a left when b is known."),
    (lambda a, b: _entropy(a, b) - _entropy(a), "that is the entropy of b left when a is known."),
    (lambda a, b: _right(a, b) * len(a), "counts stand where shares of the rows belong: divide by N."),
    (lambda a, b: _right(a, b) / max(_entropy(a), _entropy(b)), "it is divided by an entropy: leave it in nats."),
    (lambda a, b: 2 * _right(a, b) / (_entropy(a) + _entropy(b)), "it is divided by entropies: leave it in nats."),
    (_of_table(lambda p, q: (q * np.log(p / q))[p > 0].sum()), "terms are weighed by p(a) p(b), not by p(a, b)."),
    (_of_table(lambda p, q: np.log(p / q)[p > 0].mean()), "each pair counts alike: weigh it by how often it occurs."),
    (_of_table(lambda p, q: np.log(p / q)[p > 0].sum()), "each pair counts alike: weigh it by how often it occurs."),
    (_of_table(lambda p, q: (p * np.log(p / q)).sum()), "0 · log 0 is NaN here: add up only the pairs that occur."),
    (_marginals(np.mean, np.mean), MEANS),
    (_marginals(np.mean, np.sum), MEANS),
    (_marginals(np.sum, np.mean), MEANS),
    (_of_table(lambda p, q: ((p - q) ** 2 / q)[q > 0].sum()), "that is chi-squared over N: take the logarithm."),
)


def _columns(seed: int, rows: int = 40, levels: int = 3, least: int = 0) -> Case:
    """b is a, shifted by noise; all levels occur about as often in a."""
    generator = random_numbers(seed)
    a = least + generator.integers(0, levels, rows)
    return a, np.where(generator.random(rows) < 0.4, generator.integers(0, levels + seed % 3, rows), a)


def _same() -> list[Case]:
    few = [np.array(each) for each in ([0, 1], [0, 0, 0, 1], [2, 0, 1, 1, 2, 2])]
    many = np.arange(900) % 300
    return [*((each, each.copy()) for each in (*few, many)), (few[2], 2 - few[2])]


def _independent() -> list[Case]:
    pairs = [np.meshgrid(a, b) for a, b in (([0, 1], [0, 1]), ([0, 0, 1], [0, 1, 1, 1]), ([0, 1, 0], [3, 2, 5, 5]))]
    return [(a.ravel(), b.ravel()) for a, b in pairs]


def _channels() -> list[Case]:
    """Of 2 n equal bits m of each kind arrive changed."""
    return [
        (np.repeat([0, 1], n), np.tile(np.arange(n) < m, 2).astype(int) ^ np.repeat([0, 1], n))
        for n, m in ((4, 1), (10, 1), (10, 8))
    ]


def _gaps() -> list[Case]:
    few = [(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0])), (np.array([0, 7, 7, 0]), np.array([5, 1, 1, 1]))]
    return [*few, (np.zeros(6, int), np.array([0, 1, 2, 0, 1, 2])), (4 * _columns(7)[0], 9 + _columns(7)[1])]


def _range(inform: Function) -> str | None:
    got = number(inform(*_gaps()[0]), "it")
    return None if got >= 0 else f"it is {got:.4g}, and mutual information is never negative."
