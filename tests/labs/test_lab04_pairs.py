"""Lab 04's check of the area under the ROC curve by pairs, on right and wrong solutions."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.metrics import average_precision_score, roc_auc_score

from labkit.labs import lab04

RANGE, APART, PAIRS, TIES, ORDER, MANY = (
    "a number from 0 to 1",
    "all known ones higher give 1, all lower 0",
    "else it is the share of pairs that the known one wins",
    "a tie counts half",
    "of scores only the order counts",
    "so it is for hundreds of images",
)
VALUES = (APART, PAIRS, TIES, ORDER, MANY)


def area(tie=0.5):
    def of(known, unseen):
        return (known[:, None] > unseen).mean() + tie * (known[:, None] == unseen).mean()

    return of


def labelled(known, unseen):
    return np.arange(len(known) + len(unseen)) < len(known), np.append(known, unseen)


def by_torch(known, unseen):
    more = torch.as_tensor(known)[:, None] - torch.as_tensor(unseen)
    return (more.sign() + 1).mean() / 2


def by_loops(known, unseen):
    return sum((k > u) + (k == u) / 2 for k in known for u in unseen) / len(known) / len(unseen)


def by_threshold(known, unseen):
    middle = np.median(np.append(known, unseen))
    return ((known > middle).mean() + (unseen <= middle).mean()) / 2


def sorted_in_place(known, unseen):
    known.sort()
    return area()(known, unseen)


RIGHT = {
    "numpy": (area(),),
    "torch": (by_torch,),
    "loops": (by_loops,),
    "scikit-learn": (lambda known, unseen: roc_auc_score(*labelled(known, unseen)),),
    "Mann and Whitney": (lambda k, u: mannwhitneyu(k, u).statistic / len(k) / len(u),),
}
WRONG = {
    "swapped": ((lambda k, u: area()(u, k),), dict.fromkeys(VALUES, "swapped")),
    "no ties": ((area(0),), {TIES: "ties count nothing"}),
    "ties won": ((area(1),), {TIES: "ties count as won"}),
    "counted": ((lambda k, u: area()(k, u) * len(k) * len(u),), dict.fromkeys((RANGE, *VALUES), "")),
    "per known": ((lambda k, u: area()(k, u) * len(u),), dict.fromkeys((RANGE, *VALUES), "")),
    "from −1": ((lambda k, u: 2 * area()(k, u) - 1,), dict.fromkeys(VALUES, "less that lost")),
    "mean": ((lambda k, u: (k > u.mean()).mean(),), dict.fromkeys((PAIRS, TIES, ORDER, MANY), "the mean")),
    "threshold": ((by_threshold,), dict.fromkeys((APART, PAIRS, TIES, ORDER, MANY), "one threshold")),
    "precision": ((lambda k, u: average_precision_score(*labelled(k, u)),), dict.fromkeys(VALUES, "")),
    "difference": ((lambda k, u: k.mean() - u.mean(),), dict.fromkeys(VALUES, "the means") | {RANGE: ""}),
    "it sorts what it was given": ((sorted_in_place,), {RANGE: "writes into"}),
    "nothing": ((lambda k, u: None,), dict.fromkeys((RANGE, *VALUES), "`return` is missing")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab04.membership_area, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab04.membership_area, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab04.membership_area, arguments=1)
    prove.complete(lab04.membership_area, RIGHT, WRONG)
