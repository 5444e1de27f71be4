"""Check of the area under the ROC curve: how often a known image scores higher than an unseen one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.checking import Property, evaluate, number, random_numbers, same_numbers, untouched, weak

Function = Callable[[np.ndarray, np.ndarray], Any]
Case = tuple[np.ndarray, np.ndarray]
FORMULA = "(known[:, None] > unseen).mean() + (known[:, None] == unseen).mean() / 2"


def membership_area(area: Function) -> list[Property]:
    """Properties of a function: scores (N,) of known and (M,) of unseen images → area under the curve, a number.

    Args:
        area: the share of pairs, one of each kind, in which the known one scores higher; ties count half.
    """

    def asked(*cases: Case) -> Any:
        return same_numbers(area, _right, cases, ("known", "unseen"), MISTAKES, FORMULA)

    return evaluate(
        {
            "a number from 0 to 1": weak(lambda: _range(area) or untouched(_scores(9, 40, 30), area)),
            "all known ones higher give 1, all lower 0": lambda: asked(*_apart()),
            "else it is the share of pairs that the known one wins": lambda: asked(*map(_scores, range(1, 6))),
            "a tie counts half": lambda: asked(*_tied()),
            "of scores only the order counts": lambda: asked(*_stretched()),
            "so it is for hundreds of images": lambda: asked(_scores(9, 400, 300)),
        }
    )


def _right(known: np.ndarray, unseen: np.ndarray, tie: float = 0.5) -> float:
    more = np.subtract.outer(known, unseen)
    return float((more > 0).mean() + tie * (more == 0).mean())


def _beyond(middle: Callable[..., Any]) -> Function:
    """The share told right by one threshold."""
    return lambda k, u: ((k > middle(k, u)).mean() + (u <= middle(k, u)).mean()) / 2


ALONE = "each known score meets one unseen one alone: compare all pairs."
# What a common mistake computes, and what to say of it.
MISTAKES: tuple[tuple[Callable[..., Any], str], ...] = (
    (lambda k, u: _right(u, k), "the sides are swapped: count the pairs that the known image wins."),
    (lambda k, u: _right(k, u, 0.0), "ties count nothing: two equal scores are a coin toss, so they count half."),
    (lambda k, u: _right(k, u, 1.0), "ties count as won: two equal scores are a coin toss, so they count half."),
    (lambda k, u: 2 * _right(k, u) - 1, "that is the share of pairs won less that lost: chance would be 0, not ½."),
    (lambda k, u: _right(k, u) * len(u), "the sum is over pairs: divide by N · M, not by N."),
    (lambda k, u: _right(k, u) * len(k), "the sum is over pairs: divide by N · M, not by M."),
    (lambda k, u: _right(k, u) * len(k) * len(u), "that counts pairs: divide by their number, N · M."),
    (lambda k, u: (np.sort(k)[: len(u)] > np.sort(u)[: len(k)]).mean(), ALONE),
    (lambda k, u: (k[: len(u)] > u[: len(k)]).mean(), ALONE),
    (lambda k, u: (k > u.mean()).mean(), "it compares with the mean of the unseen scores: compare all pairs."),
    (lambda k, u: (k > np.median(u)).mean(), "it compares with the middle of the unseen scores: compare all pairs."),
    (_beyond(lambda k, u: np.median(np.append(k, u))), "that is the share told right by one threshold."),
    (_beyond(lambda k, u: 0.0), "that is the share told right by the threshold 0."),
    (lambda k, u: k.mean() - u.mean(), "that is the difference of the means: it depends on the scores' scale."),
)


def _scores(seed: int, known: int = 5, unseen: int = 3) -> Case:
    generator = random_numbers(seed)
    return generator.normal(size=known + seed % 3) + 0.5, generator.normal(size=unseen + seed % 2)


def _apart() -> list[Case]:
    low, high = np.array([-2.0, -1.5, 0.1]), np.array([0.5, 3.0])
    return [(high, low), (low, high), (np.array([0.0, 2.0]), np.array([1.0]))]


def _tied() -> list[Case]:
    few = [(np.ones(3), np.ones(2)), (np.array([0.0, 1.0, 1.0]), np.array([1.0, 2.0]))]
    return [*few, *((k.round(), u.round()) for k, u in map(_scores, (6, 7, 8), (9, 30, 12), (8, 9, 40)))]


def _stretched() -> list[Case]:
    """Large scores as of errors, tiny ones, and ones that are nearly equal."""
    changes = (lambda s: 1e5 * s - 1e6, lambda s: 1e-12 * s, lambda s: 0.5 + 1e-9 * s)
    return [(c(k), c(u)) for c, (k, u) in zip(changes, (_scores(s, 9, 7) for s in (10, 11, 12)), strict=True)]


def _range(area: Function) -> str | None:
    got = number(area(np.array([2.0, 1.0, 3.0]), np.array([0.0, 1.5])), "it")
    return None if 0 <= got <= 1 else f"it is {got:.4g}, not from 0 to 1: it is a share of pairs."
