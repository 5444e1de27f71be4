"""Lab 05's check of mutual information by counting, on right and wrong solutions."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from labkit.labs import lab05

RANGE, SAME, APART, CHANNEL, TABLE, GAPS, MANY = (
    "a number, not negative",
    "a column tells the whole entropy of itself",
    "independent columns tell nothing of each other",
    "over a noisy channel it is log 2 less the entropy of the noise",
    "in a table of any size pairs count by how often they occur",
    "pairs and levels that never occur add nothing",
    "so it is for many rows and levels",
)
VALUES = (SAME, APART, CHANNEL, TABLE, GAPS, MANY)


def entropy(*columns):
    counts = np.unique(np.stack(columns), axis=1, return_counts=True)[1] / len(columns[0])
    return -(counts * np.log(counts)).sum()


def by_entropies(a, b):
    return entropy(a) + entropy(b) - entropy(a, b)


def table_of(a, b):
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    return joint, np.outer(joint.sum(1), joint.sum(0))


def by_torch(a, b):
    joint, apart = map(torch.as_tensor, table_of(a, b))
    return (torch.xlogy(joint, joint) - torch.xlogy(joint, apart)).sum()


def empty_pairs_too(a, b):
    joint, apart = table_of(a, b)
    return (joint * np.log(joint / apart)).sum()


def unweighted(a, b):
    joint, apart = table_of(a, b)
    return np.log(joint / apart)[joint > 0].sum()


def eight_levels(a, b):
    codes = 8 * a + b  # pairs of more levels meet
    return entropy(a) + entropy(b) - entropy(codes)


RIGHT = {"entropies": (by_entropies,), "torch": (by_torch,), "scikit-learn": (mutual_info_score,)}
NOT_ZERO = (SAME, CHANNEL, TABLE, GAPS, MANY)
WRONG = {
    "bits": ((lambda a, b: by_entropies(a, b) / np.log(2),), dict.fromkeys(NOT_ZERO, "bits")),
    "both together": ((entropy,), dict.fromkeys((APART, CHANNEL, TABLE, GAPS, MANY), "of both together")),
    "no margins": ((lambda a, b: -entropy(a, b),), dict.fromkeys(VALUES, "stands alone") | {RANGE: ""}),
    "of a alone": ((lambda a, b: entropy(a),), dict.fromkeys((APART, CHANNEL, TABLE, GAPS, MANY), "a alone")),
    "not subtracted": ((lambda a, b: entropy(a) + entropy(b),), dict.fromkeys(VALUES, "both together")),
    "a share": ((normalized_mutual_info_score,), dict.fromkeys(NOT_ZERO, "")),
    "NaN": ((empty_pairs_too,), dict.fromkeys((SAME, TABLE, GAPS, APART), "0 · log 0") | {RANGE: ""}),
    "unweighted": ((unweighted,), dict.fromkeys(NOT_ZERO, "counts alike")),
    "eight levels": ((eight_levels,), {MANY: ""}),
    "counts": ((lambda a, b: len(a) * by_entropies(a, b),), dict.fromkeys(NOT_ZERO, "")),
    "the sign": ((lambda a, b: -by_entropies(a, b),), dict.fromkeys((RANGE, SAME, CHANNEL, TABLE, GAPS, MANY), "")),
    "nothing": ((lambda a, b: None,), dict.fromkeys((RANGE, *VALUES), "`return` is missing")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab05.mutual_information, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab05.mutual_information, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab05.mutual_information, arguments=1)
    prove.complete(lab05.mutual_information, RIGHT, WRONG)
