"""Lab 07's check of the energy distance, on right and wrong solutions."""

import pytest
import torch
from scipy.spatial.distance import cdist, pdist

from labkit.labs import lab07

NUMBER, LINE, MANY, SIZES, ROWS, SCALE = (
    "one number, and the samples stay as they were",
    "on a line it is the mean distance across, doubled, less both within",
    "in many dimensions distances are lengths",
    "of samples of unequal size too",
    "a sample is not compared with the other row by row",
    "it is linear in the scale, near and far",
)
VALUES = (LINE, MANY, SIZES, ROWS, SCALE)


def energy(far=torch.cdist, itself=False, across=2):
    def distance(a, b):
        within = [far(x, x).sum() / (len(x) * (len(x) - (not itself))) for x in (a, b)]
        return across * far(a, b).mean() - within[0] - within[1]

    return distance


def by_scipy(a, b):
    a, b = a.numpy(), b.numpy()
    return 2 * cdist(a, b).mean() - pdist(a).mean() - pdist(b).mean()


def by_loops(a, b):
    def mean(rows, others, same):
        far = [(x - y).norm() for i, x in enumerate(rows) for j, y in enumerate(others) if not same or i != j]
        return sum(far) / len(far)

    return 2 * mean(a, b, False) - mean(a, a, True) - mean(b, b, True)


def squared(a, b):
    return torch.cdist(a, b) ** 2


def by_rows(a, b):
    n = min(len(a), len(b))
    return 2 * (a[:n] - b[:n]).norm(dim=1).mean() - torch.pdist(a).mean() - torch.pdist(b).mean()


def centred(a, b):
    a -= a.mean(0)
    b -= b.mean(0)
    return energy()(a, b)


RIGHT = {
    "torch": (energy(),),
    "pdist": (lambda a, b: 2 * torch.cdist(a, b).mean() - torch.pdist(a).mean() - torch.pdist(b).mean(),),
    "scipy": (by_scipy,),
    "loops": (by_loops,),
}
WRONG = {
    "itself": ((energy(itself=True),), dict.fromkeys(VALUES, "itself")),
    "not doubled": ((energy(across=1),), dict.fromkeys(VALUES, "not doubled")),
    "squared": ((energy(squared),), dict.fromkeys(VALUES, "squared")),
    "city blocks": (
        (energy(lambda a, b: torch.cdist(a, b, p=1)),),
        dict.fromkeys((MANY, SIZES, ROWS, SCALE), "length"),
    ),
    "across alone": ((lambda a, b: torch.cdist(a, b).mean(),), dict.fromkeys(VALUES, "alone")),
    "row by row": ((by_rows,), dict.fromkeys(VALUES, "")),
    "means": ((lambda a, b: 2 * (a.mean(0) - b.mean(0)).norm(),), dict.fromkeys(VALUES, "the means") | {ROWS: ""}),
    "cut off": ((lambda a, b: energy()(a, b).clamp_min(0),), dict.fromkeys((LINE, ROWS), "")),
    "root": ((lambda a, b: energy()(a, b).abs().sqrt(),), dict.fromkeys(VALUES, "")),
    "centred in place": ((centred,), dict.fromkeys((NUMBER, LINE, MANY, SIZES, SCALE), "")),
    "one per row": ((lambda a, b: torch.cdist(a, b).mean(1),), dict.fromkeys((NUMBER, *VALUES), "")),
    "nothing": ((lambda a, b: None,), dict.fromkeys((NUMBER, *VALUES), "`return` is missing")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab07.energy_distance, right)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab07.energy_distance, *WRONG[name])


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab07.energy_distance, arguments=1)
    prove.complete(lab07.energy_distance, RIGHT, WRONG)
