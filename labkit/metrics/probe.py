"""Linear probes: what can a line read off a code?"""

import math
from dataclasses import replace

import numpy as np
from scipy.special import stdtrit
from scipy.stats import rankdata

from labkit.errors import LabkitError
from labkit.metrics.scaling import in_unit
from labkit.statistics import ONE_SIDE, Estimate, apart, over, resample

FOLDS = 5
RIDGE = 0.1  # sklearn's C on standardised codes: several hundred of them may meet a few dozen positives


def probe_auc(codes: np.ndarray, wanted: np.ndarray, people: np.ndarray) -> float:
    """Area under the ROC curve of `probe_scores`; 0.5 is guessing, NaN where there are too few to tell."""
    from sklearn.metrics import roc_auc_score

    scores = probe_scores(codes, wanted, people)
    return (
        float(roc_auc_score(np.asarray(wanted, bool), scores))
        if len(scores) and np.isfinite(scores).all()
        else float("nan")
    )


def probe_interval(codes: np.ndarray, wanted: np.ndarray, people: np.ndarray) -> Estimate:
    """The area of `probe_auc` with its error over people, whose pictures are no independent looks."""
    scores = probe_scores(codes, wanted, people)
    if not len(scores) or not np.isfinite(scores).all():
        return over(np.nan, "people")
    return area_over_people(scores, wanted, people)


def area_over_people(scores: np.ndarray, wanted: np.ndarray, people: np.ndarray) -> Estimate:
    """Area under the ROC curve of scores (N,) with its error over people.

    Those of the rarer kind carry nearly all that is known: the interval is as wide as if there were no others, and no
    surer than half of one of them.

    Args:
        wanted: bool (N,).
        people: int (N,), −1 where unknown: then everybody is taken for another person.
    """
    scores, wanted, people = np.asarray(scores, float), np.asarray(wanted, bool), apart(people)
    if wanted.all() or not wanted.any():
        return over(np.nan, "people")

    def area(rows):
        """By ranks (Mann and Whitney), many times as fast as by the curve; NaN without both kinds."""
        ranks, ours = rankdata(scores[rows]), wanted[rows]
        more, less = ours.sum(), (~ours).sum()
        return float((ranks[ours].mean() - (more + 1) / 2) / less) if more and less else math.nan

    found = resample(area, people)
    rarer = min(len(np.unique(people[kind])) for kind in (wanted, ~wanted))
    wider = stdtrit(rarer - 1, 1 - ONE_SIDE) / stdtrit(found.n - 1, 1 - ONE_SIDE) if rarer > 1 else math.nan
    return replace(found, error=float(wider) * max(found.error, 0.5 / rarer))


def probe_scores(codes: np.ndarray, wanted: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Scores (N,) of a logistic regression that never saw the person whom it judges.

    They come from five folds by person; in each, codes are standardised and both kinds weigh alike.

    Args:
        codes: (N, d), for example posterior means.
        wanted: bool (N,).
        people: int (N,), −1 where unknown: then everybody is taken for another person.

    Returns:
        The scores; NaN with fewer than ten images of either kind, or fewer than five people with either.

    Raises LabkitError: lengths that differ, or codes that are not (N, d) or not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes, wanted, people = np.asarray(codes, np.float64), np.asarray(wanted, bool), np.asarray(people)
    if not len(codes) == len(wanted) == len(people):
        raise LabkitError(
            f"probe: {len(codes)} codes, {len(wanted)} labels and {len(people)} people must be as many."
        )
    if codes.ndim != 2 or not np.isfinite(codes).all():
        raise LabkitError(f"probe: codes {codes.shape} must be (N, d) and finite.")
    people = apart(people)
    kinds = wanted, ~wanted
    if min(kind.sum() for kind in kinds) < 2 * FOLDS or min(len(set(people[k])) for k in kinds) < FOLDS:
        return np.full(len(codes), np.nan)
    reader = make_pipeline(StandardScaler(), LogisticRegression(C=RIDGE, class_weight="balanced", max_iter=2000))
    folds = StratifiedGroupKFold(FOLDS)
    return cross_val_predict(reader, in_unit(codes), wanted, groups=people, cv=folds, method="decision_function")
