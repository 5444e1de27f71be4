"""Check of average precision: the precision at each positive's own score, averaged over the positives."""

from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.checking import Property, evaluate, number, random_numbers, same_numbers, untouched, weak

Function = Callable[[np.ndarray, np.ndarray], Any]
Case = tuple[np.ndarray, np.ndarray]
FORMULA = "np.mean([labels[scores >= score].mean() for score in scores[labels]])"


def average_precision(measure: Function) -> list[Property]:
    """Properties of a function: labels bool (N,) and scores (N,), some positive → average precision, a number.

    Args:
        measure: a score as threshold takes all faces that score at least as high.
    """

    def asked(*cases: Case) -> Any:
        return same_numbers(measure, _right, cases, ("labels", "scores"), MISTAKES, FORMULA)

    return evaluate(
        {
            "a number from 0 to 1": weak(lambda: _range(measure) or untouched(_faces(0), measure)),
            "positives on top give 1, at the bottom the least": lambda: asked(*_sorted()),
            "in any order it is the mean precision over the positives": lambda: asked(*map(_faces, range(1, 6))),
            "equal scores share a threshold": lambda: asked(*_tied()),
            "of scores only the order counts": lambda: asked(*_stretched()),
            "so it is for thousands of faces": lambda: asked(_faces(9, 3000)),
        }
    )


def _right(labels: np.ndarray, scores: np.ndarray) -> float:
    """The same by sorting, as thousands of faces want."""
    ranked, positive = np.sort(scores), np.sort(scores[labels])
    chosen = len(ranked) - np.searchsorted(ranked, positive)
    return float(((len(positive) - np.searchsorted(positive, positive)) / chosen).mean())


def _at_ranks(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision at each rank, ties in the order in which they come; and the labels in that order."""
    order = np.argsort(-scores, kind="stable")
    return np.cumsum(labels[order]) / np.arange(1, len(labels) + 1), labels[order]


def _pairs(labels: np.ndarray, scores: np.ndarray) -> float:
    more = scores[labels][:, None] - scores[~labels]
    return float((more > 0).mean() + (more == 0).mean() / 2)


# What a common mistake computes, and what to say of it.
MISTAKES: tuple[tuple[Callable[..., Any], str], ...] = (
    (
        lambda y, s: (lambda precision, ranked: precision[ranked].mean())(*_at_ranks(y, s)),
        "equal scores get ranks one after the other: a threshold takes all faces that score as high.",
    ),
    (lambda y, s: _at_ranks(y, s)[0].mean(), "the mean is over all faces: average over the positives alone."),
    (lambda y, s: _right(y, -s), "thresholds go from the least sure face up: take the surest faces first."),
    (_pairs, "that is the area under the ROC curve: it compares pairs, and does not mind how rare positives are."),
    (lambda y, s: _right(y, s) * y.mean(), "the sum is divided by the number of faces, not of positives."),
    (lambda y, s: y[s >= 0.5].mean(), "that is the precision at one threshold, ½: each positive's score is one."),
    (lambda y, s: y.mean(), "that is the share of positives, the precision of taking all faces."),
    (
        lambda y, s: np.mean([(y & (s >= each)).sum() / y.sum() for each in s[y]]),
        "that is recall: divide by the faces that score at least as high, not by the positives.",
    ),
    (
        lambda y, s: np.mean([y[s > each].mean() for each in s[y]]),
        "the face at the threshold is left out: take those that score at least as high, >=.",
    ),
)


def _faces(seed: int, count: int = 12) -> Case:
    """Labels of which a third are positive, and scores that know a little of them."""
    generator = random_numbers(seed)
    labels = generator.permutation(np.arange(count) < count // 3)
    return labels, 1 / (1 + np.exp(-generator.normal(size=count) - labels))


def _sorted() -> list[Case]:
    scores = np.array([0.9, 0.7, 0.6, 0.2])
    return [(np.array(each, bool), scores.copy()) for each in ([1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [1] * 4)]


def _tied() -> list[Case]:
    few = [(np.array(each, bool), np.array([0.5, 0.5, 0.5, 0.2])) for each in ([1, 0, 0, 0], [0, 0, 1, 1])]
    return [*few, *((labels, scores.round(1)) for labels, scores in map(_faces, (6, 7, 8), (12, 30, 30)))]


def _stretched() -> list[Case]:
    """Logits, which are all 1 where a sigmoid has gone over them; very small and very close scores."""
    logits = np.array([False, True, True, False]), np.array([60.0, 50.0, 45.0, -50.0])
    changes = (lambda s: 40 * np.log(s / (1 - s)), lambda s: 1e-12 * s, lambda s: 0.5 + 1e-9 * s)
    faces = map(_faces, (10, 11, 12))
    return [logits, *((labels, change(s)) for change, (labels, s) in zip(changes, faces, strict=True))]


def _range(measure: Function) -> str | None:
    got = number(measure(*_faces(0)), "it")
    return None if 0 <= got <= 1 else f"it is {got:.4g}, not from 0 to 1: a precision is a share."
