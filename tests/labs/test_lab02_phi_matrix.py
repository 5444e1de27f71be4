"""Lab 02's check of the phi coefficient, put through right and wrong solutions."""

import numpy as np
import pytest

from labkit.labs import lab02

SHAPE = "one number for every pair, (A, A)"
EXTREMES = "always together gives 1, never together −1"
INDEPENDENT = "independent attributes give 0"
SYMMETRIC = "the order of a pair does not matter"
REFERENCE = "every pair agrees with scikit-learn"
CONSTANT = "an attribute that never varies gives 0"


def moments(labels):
    """Share of both minus the product of the shares: covariance (A, A); and standard deviations (A,)."""
    values = labels.astype(float)
    share = values.mean(0)
    return values.T @ values / len(values) - np.outer(share, share), np.sqrt(share * (1 - share))


def by_shares(labels):
    covariance, spread = moments(labels)
    scale = np.outer(spread, spread)
    return np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)


def by_corrcoef(labels):
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.corrcoef(labels.T.astype(float)))


def cosine(labels):
    values = labels.astype(float)
    length = np.linalg.norm(values, axis=0)
    scale = np.outer(length, length)
    return np.divide(values.T @ values, scale, out=np.zeros_like(scale), where=scale > 0)


def one_sided(labels):
    covariance, spread = moments(labels)
    return np.divide(covariance, (spread**2)[:, None], out=np.zeros_like(covariance), where=spread[:, None] > 0)


def bools_multiplied(labels):
    share, spread = labels.mean(0), moments(labels)[1]
    with np.errstate(all="ignore"):
        return np.nan_to_num(((labels.T @ labels) / len(labels) - np.outer(share, share)) / np.outer(spread, spread))


def agreement(labels):
    return (labels[:, :, None] == labels[:, None]).mean(0)


RIGHT = {"by shares": (by_shares,), "by corrcoef": (by_corrcoef,)}
WRONG = {
    "images for attributes": (
        (lambda labels: np.nan_to_num(np.corrcoef(labels.astype(float))),),
        {SHAPE: "transpose", **dict.fromkeys((EXTREMES, INDEPENDENT, SYMMETRIC, REFERENCE, CONSTANT), "first")},
    ),
    "covariance": ((lambda labels: moments(labels)[0],), {EXTREMES: "divide the covariance", REFERENCE: "got"}),
    "divided by variances": (
        (lambda labels: (m := moments(labels))[0] / np.outer(m[1] ** 2, m[1] ** 2).clip(1e-12),),
        {EXTREMES: "both variances", REFERENCE: "both variances"},
    ),
    "product of bools": (
        (bools_multiplied,),
        dict.fromkeys((EXTREMES, REFERENCE), "product of bools") | {CONSTANT: ""},
    ),
    "not centred": (
        (cosine,),
        {EXTREMES: "subtract the mean", INDEPENDENT: "by chance", REFERENCE: "got", CONSTANT: "tells nothing"},
    ),
    "one standard deviation squared": ((one_sided,), {SYMMETRIC: "square root", REFERENCE: "got"}),
    "sign lost": ((lambda labels: np.abs(by_shares(labels)),), {EXTREMES: "keep the sign", REFERENCE: "signs"}),
    "squared": (
        (lambda labels: by_shares(labels) ** 2,), {EXTREMES: "keep the sign", REFERENCE: "phi squared"}
    ),
    "NaN": (
        (lambda labels: np.corrcoef(labels.T.astype(float)),), {CONSTANT: "0/0"}
    ),
    "share of agreement": (
        (agreement,),
        {EXTREMES: "subtract the mean", INDEPENDENT: "by chance", REFERENCE: "got", CONSTANT: "tells nothing"},
    ),
    "nothing": (
        (lambda labels: None,),
        dict.fromkeys((SHAPE, EXTREMES, INDEPENDENT, SYMMETRIC, REFERENCE, CONSTANT), "returns None"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab02.phi_matrix, RIGHT[name])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab02.phi_matrix, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab02.phi_matrix, arguments=1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab02.phi_matrix, RIGHT, WRONG)
