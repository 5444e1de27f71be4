"""How well attributes are told, each against the guess that a reader who has seen only the counts would make."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from labkit.errors import LabkitError
from labkit.statistics import Estimate, above, apart

RESAMPLES = 200
LEAST = 5  # positives and negatives that an attribute needs in each group


def attribute_report(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    *,
    prevalence: np.ndarray,
    people: np.ndarray,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per attribute; what cannot be measured, for want of positives or of negatives, is NaN.

    Columns: `positives` and `images` of the test, `people`, how many the positives show; `accuracy` at a threshold of
    ½ with `accuracy_error`; `majority`, the accuracy of guessing what is more frequent in training;
    `balanced_accuracy`, the mean of the rates at which positives and negatives are told, with `balanced_error`;
    `average_precision` with `precision_error`; `chance`, what a guess reaches on average. Errors are standard
    deviations over resampled people, whose pictures are alike; none is 0, however few were wrong.

    Args:
        labels: bool (N, A).
        scores: probabilities (N, A).
        prevalence: (A,) shares of positives in training.
        people: int (N,), −1 where unknown: then everybody is taken for another person.

    Raises LabkitError: shapes that do not fit, no row, scores that are NaN, or labels that are not true or false.
    """
    labels, scores, people = _yes_or_no("attribute_report", labels), np.asarray(scores, float), apart(people)
    if labels.shape != scores.shape or labels.shape[1:] != (len(names),) or labels.shape[:1] != people.shape:
        raise LabkitError(
            f"attribute_report: labels {labels.shape}, scores {scores.shape}, {len(names)} names and {len(people)} "
            "people do not fit."
        )
    if not len(labels):
        raise LabkitError("attribute_report: no image has known attributes; choose another split.")
    if np.isnan(scores).any():
        raise LabkitError("attribute_report: some scores are NaN; a net that diverged reads nothing, train it anew.")
    draws = _draws(people, seed)
    shares = np.asarray(prevalence, float)
    rows = [_row(labels[:, i], scores[:, i], share, people, draws) for i, share in enumerate(shares)]
    return pd.DataFrame(rows, index=pd.Index(names, name="attribute"))


def precision_gain(
    labels: np.ndarray, scores: np.ndarray, others: np.ndarray, people: np.ndarray, *, seed: int = 0
) -> Estimate:
    """Average precision by `scores` less that by `others`, (N, A) each, as mean over attributes, and its error.

    Attributes that lack positives or negatives are left out; the mean of none is NaN. Other arguments as above.

    Raises LabkitError: as above.
    """
    people, labels = apart(people), _yes_or_no("precision_gain", labels)
    scores, others = (np.asarray(each, float) for each in (scores, others))
    if not labels.shape == scores.shape == others.shape or labels.shape[:1] != people.shape:
        raise LabkitError(
            f"precision_gain: labels {labels.shape}, scores {scores.shape} and {others.shape}, and {len(people)} "
            "people do not fit."
        )
    if np.isnan(scores).any() or np.isnan(others).any():
        raise LabkitError("precision_gain: some scores are NaN; a net that diverged reads nothing, train it anew.")
    draws, found = _draws(people, seed), []
    for truth, one, other in zip(labels.T, scores.T, others.T):
        if truth.any() and not truth.all():
            (value, spread), (less, their) = (_average_precision(truth, each, draws) for each in (one, other))
            found.append((value - less, spread - their))
    count = len(np.unique(people))
    if not found:
        return Estimate(np.nan, np.nan, count, "people")
    values, spreads = zip(*found)
    error = np.nanstd(np.nanmean(spreads, axis=0)) * np.sqrt(count / max(1, count - 1))
    return Estimate(float(np.mean(values)), float(error), count, "people")


def _draws(people: np.ndarray, seed: int) -> np.ndarray:
    """How often each image (N,) is in each of the resamples of whole people, (R, N)."""
    members, place = np.unique(people, return_inverse=True)
    chances = np.full(len(members), 1 / len(members))
    return np.random.default_rng(seed).multinomial(len(members), chances, RESAMPLES)[:, place]


def balanced_accuracy(labels: np.ndarray, told: np.ndarray) -> tuple[float, float]:
    """The mean of the shares of positives and of negatives told right, and its binomial standard error.

    NaN where there are no positives or no negatives.

    Args:
        labels, told: bool (N,).

    Raises LabkitError: they are not true or false.
    """
    labels, told = _yes_or_no("balanced_accuracy", labels), _yes_or_no("balanced_accuracy", told)
    rates, variances = [], []
    for side in (labels, ~labels):
        count = side.sum()
        if not count:
            return np.nan, np.nan
        rate = (told == labels)[side].mean()
        rates.append(rate)
        variances.append(_binomial_variance(rate, count))
    return float(np.mean(rates)), float(np.sqrt(np.sum(variances)) / 2)


def over_chance(report: pd.DataFrame) -> dict[str, Estimate]:
    """Average precision of each measurable attribute less that of a guess, with its error over people."""
    rows = report.dropna(subset=["average_precision"]).iterrows()
    return {
        name: Estimate(row.average_precision - row.chance, row.precision_error, int(row.people), "people")
        for name, row in rows
    }


def learnt(report: pd.DataFrame) -> pd.Series:
    """Bool per measurable attribute: the 95 % interval of its average precision lies above chance."""
    return pd.Series({name: above(found).shown for name, found in over_chance(report).items()}, dtype=bool)


def _yes_or_no(caller: str, values: np.ndarray) -> np.ndarray:
    """Values as bool; 1 and 0 will do, but what is neither would be counted as true.

    Raises LabkitError: there are others.
    """
    values = np.asarray(values)
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise LabkitError(
            f"{caller}: labels, and what was told, must be true or false, not {values.dtype} such as "
            f"{values[~np.isin(values, (0, 1))][0]:g}; CelebA's −1 is no, so pass table > 0, and leave out whom "
            "nobody has labelled."
        )
    return values.astype(bool)


def _row(
    labels: np.ndarray, scores: np.ndarray, prevalence: float, people: np.ndarray, draws: np.ndarray
) -> dict[str, float]:
    told = scores > 0.5
    right, accuracy = told == labels, float((told == labels).mean())
    balanced, balanced_error = balanced_accuracy(labels, told)
    precision, precisions = _average_precision(labels, scores, draws)
    shown = len(np.unique(people[labels]))
    with np.errstate(invalid="ignore"):  # a draw without positives, or without negatives
        accuracies = (draws @ right) / draws.sum(1)
        sides = [(draws @ (right & side)) / (draws @ side.astype(float)) for side in (labels, ~labels)]
    return {
        "positives": int(labels.sum()),
        "images": len(labels),
        "people": shown,
        "accuracy": accuracy,
        # Never narrower than of as many images of different people, which is not 0 where all were right.
        "accuracy_error": max(float(accuracies.std()), float(np.sqrt(_binomial_variance(accuracy, len(labels))))),
        "majority": float((labels == (prevalence > 0.5)).mean()),
        "balanced_accuracy": balanced,
        "balanced_error": max(balanced_error, _spread(np.mean(sides, 0), shown)),
        "average_precision": precision,
        "precision_error": max(_spread(precisions, shown), 0.5 / max(1, shown)) if precision >= 0 else np.nan,
        "chance": guessed_precision(int(labels.sum()), len(labels)),
    }


def _spread(values: np.ndarray, people: int) -> float:
    """Standard deviation over resamples; that of a bootstrap of few people is too narrow by √((n − 1) / n)."""
    known = values[np.isfinite(values)]
    return float(known.std() * np.sqrt(people / max(1, people - 1))) if len(known) else np.nan


def guessed_precision(positives: int, images: int) -> float:
    """Expected average precision of a random order: above the share of positives where they are few.

    With P positives of N images and H the N-th harmonic number it is (H + (P − 1)(N − H)/(N − 1)) / N: at rank k an
    image is positive with probability P/N, and each of the k − 1 before it with (P − 1)/(N − 1). NaN without any.
    """
    if not positives or images < 2:
        return 1.0 if positives else np.nan
    harmonic = float((1 / np.arange(1, images + 1)).sum())
    return (harmonic + (positives - 1) * (images - harmonic) / (images - 1)) / images


def _binomial_variance(rate: float, count: int) -> float:
    """Of a rate observed on `count` images (Agresti and Coull 1998): not zero where all or none were right."""
    shrunk = (rate * count + 2) / (count + 4)
    return shrunk * (1 - shrunk) / (count + 4)


def _average_precision(labels: np.ndarray, scores: np.ndarray, draws: np.ndarray) -> tuple[float, np.ndarray]:
    """Average precision, and what it is under each of the weights of the images in `draws` (R, N), (R,)."""
    if labels.all() or not labels.any():
        return np.nan, np.full(len(draws), np.nan)
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # equal scores share a threshold
    weights = draws[:, order].astype(np.float64)
    found, chosen = (np.cumsum(each, 1)[:, ends] for each in (weights * labels[order], weights))
    with np.errstate(invalid="ignore"):  # a draw without positives, or a threshold above all that was drawn
        precision = np.nan_to_num(found / chosen)
        values = (np.diff(found, axis=1, prepend=0) * precision).sum(1) / found[:, -1]
    return float(average_precision_score(labels, scores)), values


def by_group(
    labels: np.ndarray, told: np.ndarray, groups: np.ndarray, people: np.ndarray, *, seed: int = 0
) -> pd.DataFrame:
    """Balanced accuracy of each group of images: the mean over attributes that can be measured in every group.

    Columns: `images`, `people`, `balanced_accuracy`, `error` (standard deviation over resampled people), and
    `attributes`, how many are in the mean.

    Args:
        labels, told: bool (N, A), what is and what was told.
        groups: (N,) names of groups.
        people: int (N,): shots of one person are no independent observations.

    Raises LabkitError: no images, values that are not true or false, or no attribute that has enough of both in every
        group.
    """
    labels, told = _yes_or_no("by_group", labels), _yes_or_no("by_group", told)
    if not len(labels):
        raise LabkitError("by_group: there are no images.")
    names = np.unique(groups)
    counts = np.array([(labels[groups == name].sum(0), (~labels[groups == name]).sum(0)) for name in names])
    usable = (counts >= LEAST).all((0, 1))
    if not usable.any():
        raise LabkitError("by_group: no attribute has positives and negatives in every group; use more images.")
    people, rows = apart(people), {}
    for name in names:
        here = groups == name
        right, true = (told == labels)[here][:, usable], labels[here][:, usable]
        weights = _draws(people[here], seed)
        value = _mean_balanced(right, true, np.ones((1, len(right))))[0]
        spread = np.nanstd(_mean_balanced(right, true, weights))
        rows[name] = {
            "images": len(right),
            "people": len(np.unique(people[here])),
            "balanced_accuracy": float(value),
            "error": float(spread),
            "attributes": int(usable.sum()),
        }
    return pd.DataFrame(rows).T.astype({"images": int, "people": int, "attributes": int})


def _mean_balanced(right: np.ndarray, true: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over attributes of the balanced accuracy, once for each row of image weights (R, N)."""
    with np.errstate(invalid="ignore"):
        sides = [(weights @ (right & side)) / (weights @ side.astype(float)) for side in (true, ~true)]
    return np.nanmean(np.mean(sides, 0), axis=1)
