"""Lab 04's check of the diversity of samples, on right and wrong solutions."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from labkit.gan.health import spread
from labkit.labs import lab04

NUMBER, ALIKE, TWO, MANY, EXTREMES, KINDS = (
    "a number, and the images stay as they were",
    "images that are all alike give 0",
    "of two images each it is the ratio of their differences",
    "of more it is the mean over pairs of different images",
    "white and black do not wrap round",
    "two kinds of image are as diverse as their pairs",
)
NOT_ZERO = (TWO, MANY, EXTREMES, KINDS)


def flat(images, kind=float):
    return images.reshape(len(images), -1).astype(kind)


def ratio(of):
    return lambda drawn, real: of(drawn) / of(real)


def pairs(images, change=lambda x: np.sqrt((x**2).mean()), kind=float):
    rows = flat(images, kind)
    return np.mean([change(x - y) for i, x in enumerate(rows) for y in rows[:i]])


def with_itself(images):
    rows = flat(images)
    return np.sqrt(((rows[:, None] - rows) ** 2).mean(2)).mean()


def in_place(drawn, real):
    result = ratio(pairs)(drawn, real)
    drawn[:] = drawn[::-1]
    return result


RIGHT = {
    "loops": (ratio(pairs),),
    "scipy": (ratio(lambda x: pdist(flat(x)).mean() / np.sqrt(x[0].size)),),
    "the monitor's": (ratio(lambda x: spread(torch.from_numpy(x))),),
}
WRONG = {
    "8 bits": ((ratio(lambda x: pairs(x, lambda d: np.sqrt((d.astype(float) ** 2).mean()), np.uint8)),),
               dict.fromkeys(NOT_ZERO, "8 bits")),
    "upside down": ((lambda d, r: np.divide(pairs(r), pairs(d)),), dict.fromkeys((ALIKE, *NOT_ZERO), "")),
    "not divided": ((lambda d, r: pairs(d),), dict.fromkeys(NOT_ZERO, "not divided")),
    "squares": ((ratio(lambda x: pairs(x, lambda d: (d**2).mean())),), dict.fromkeys(NOT_ZERO, "root")),
    "absolute": ((ratio(lambda x: pairs(x, lambda d: np.abs(d).mean())),), dict.fromkeys(NOT_ZERO, "absolute")),
    "with itself": ((ratio(with_itself),), dict.fromkeys((MANY, EXTREMES, KINDS), "itself")),
    "deviation": ((ratio(lambda x: flat(x).std(0).mean()),), dict.fromkeys(NOT_ZERO, "")),
    "contrast": ((ratio(lambda x: flat(x).std()),), dict.fromkeys((ALIKE, *NOT_ZERO), "")),
    "written into": ((in_place,), {NUMBER: "writes into"}),
    "nothing": ((lambda d, r: None,), dict.fromkeys((NUMBER, ALIKE, *NOT_ZERO), "`return` is missing")),
}  # fmt: skip


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab04.diversity, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab04.diversity, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab04.diversity, arguments=1)
    prove.complete(lab04.diversity, RIGHT, WRONG)
