"""Lab 02's check of average precision, on right and wrong solutions."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from labkit.labs import lab02

RANGE, ENDS, ANY, TIES, ORDER, MANY = (
    "a number from 0 to 1",
    "positives on top give 1, at the bottom the least",
    "in any order it is the mean precision over the positives",
    "equal scores share a threshold",
    "of scores only the order counts",
    "so it is for thousands of faces",
)
VALUES = (ENDS, ANY, TIES, ORDER, MANY)


def solution(labels, scores):
    return np.mean([labels[scores >= each].mean() for each in scores[labels]])


def by_torch(labels, scores):
    y, s = torch.as_tensor(labels), torch.as_tensor(scores)
    chosen = s[None] >= s[y][:, None]
    return ((chosen & y).sum(1) / chosen.sum(1)).mean()


def by_curve(labels, scores):
    precision, recall, _ = precision_recall_curve(labels, scores)
    return -(np.diff(recall) * precision[:-1]).sum()


def by_ranks(labels, scores):
    ranked = labels[np.argsort(-scores, kind="stable")]
    return (ranked.cumsum() / np.arange(1, len(ranked) + 1))[ranked].mean()


def over_all(labels, scores):
    ranked = labels[np.argsort(-scores, kind="stable")]
    return (ranked.cumsum() / np.arange(1, len(ranked) + 1)).mean()


def strictly_more(labels, scores):
    return np.mean([labels[scores > each].mean() if (scores > each).any() else 1 for each in scores[labels]])


def sorted_in_place(labels, scores):
    result = solution(labels, scores)
    scores.sort()
    return result


RIGHT = {
    "thresholds": (solution,),
    "torch": (by_torch,),
    "curve": (by_curve,),
    "scikit-learn": (average_precision_score,),
}
WRONG = {
    "ranks": ((by_ranks,), {TIES: "equal scores"}),
    "all faces": ((over_all,), dict.fromkeys(VALUES, "the positives alone")),
    "from below": ((lambda y, s: solution(y, -s),), dict.fromkeys(VALUES, "least sure")),
    "ROC": ((lambda y, s: roc_auc_score(y, s) if len(set(y)) > 1 else 1.0,), dict.fromkeys(VALUES, "")),
    "half": (
        (lambda y, s: y[s >= 0.5].mean() if (s >= 0.5).any() else 0.0,),
        {ENDS: "one threshold", ANY: "one threshold", TIES: "", ORDER: "", MANY: "one threshold"},
    ),
    "prevalence": ((lambda y, s: y.mean(),), dict.fromkeys(VALUES, "share of positives")),
    "more, not as many": ((strictly_more,), dict.fromkeys(VALUES, "")),
    "divided by N": ((lambda y, s: solution(y, s) * y.mean(),), dict.fromkeys(VALUES, "number of faces")),
    "a sigmoid over the scores": ((lambda y, s: solution(y, 1 / (1 + np.exp(-s))),), {ORDER: ""}),
    "in per cent": ((lambda y, s: 100 * solution(y, s),), dict.fromkeys((RANGE, *VALUES), "")),
    "it sorts what it was given": ((sorted_in_place,), {RANGE: "writes into"}),
    "nothing": ((lambda y, s: None,), dict.fromkeys((RANGE, *VALUES), "`return` is missing")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab02.average_precision, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab02.average_precision, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab02.average_precision, arguments=1)
    prove.complete(lab02.average_precision, RIGHT, WRONG)
