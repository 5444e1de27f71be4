"""Lab 01's check of an interval over people, on right and wrong solutions."""

import numpy as np
import pytest
import torch
from scipy import stats

from labkit.labs import lab01
from labkit.statistics import over

ENDS, SINGLE, TEN, ALIKE, FAR = (
    "two ends, the lower one first",
    "of one shot each it is Student's interval",
    "ten shots of each person tell no more than their mean",
    "people count alike, however many shots they have",
    "far below 0 too",
)
VALUES = (SINGLE, TEN, ALIKE, FAR)


def means(values, people):
    return np.array([values[people == one].mean() for one in np.unique(people)])


def interval(ddof=1, root=True, quantile=lambda n: stats.t.ppf(0.975, n - 1), centre=np.mean):
    def of(values, people):
        each = means(values, people)
        reach = quantile(len(each)) * each.std(ddof=ddof) / (np.sqrt(len(each)) if root else 1)
        return centre(each) - reach, centre(each) + reach

    return of


def by_shots(values, people):
    return interval()(values, np.arange(len(values)))


def by_torch(values, people):
    x, (_, place) = torch.as_tensor(values), np.unique(people, return_inverse=True)
    place = torch.as_tensor(place)
    each = torch.zeros(int(place.max()) + 1).double().index_add(0, place, x) / torch.bincount(place)
    reach = stats.t.ppf(0.975, len(each) - 1) * each.std() / len(each) ** 0.5
    return torch.stack([each.mean() - reach, each.mean() + reach])


def around_shots(values, people):
    low, high = interval()(values, people)
    return low + values.mean() - (low + high) / 2, high + values.mean() - (low + high) / 2


def sorted_in_place(values, people):
    result = interval()(values, people)
    people.sort()
    return result


RIGHT = {
    "numpy": (interval(),),
    "torch": (by_torch,),
    "the kit's": (lambda values, people: over(means(values, people), "people").interval(),),
    "scipy": (
        lambda values, people: stats.t.interval(
            0.95, len(set(people)) - 1, means(values, people).mean(), stats.sem(means(values, people))
        ),
    ),
}
WRONG = {
    "shots": ((by_shots,), dict.fromkeys((TEN, ALIKE, FAR), "each shot counts")),
    "around the shots": ((around_shots,), dict.fromkeys((ALIKE, FAR), "many shots count more")),
    "1.96": ((interval(quantile=lambda n: stats.norm.ppf(0.975)),), dict.fromkeys(VALUES, "1.96")),
    "n degrees": ((interval(quantile=lambda n: stats.t.ppf(0.975, n)),), dict.fromkeys(VALUES, "n − 1")),
    "90 %": ((interval(quantile=lambda n: stats.t.ppf(0.95, n - 1)),), dict.fromkeys(VALUES, "90 %")),
    "one standard error": ((interval(quantile=lambda n: 1.0),), dict.fromkeys(VALUES, "standard error")),
    "divides by n": ((interval(ddof=0),), dict.fromkeys(VALUES, "divides by n")),
    "no root": ((interval(root=False),), dict.fromkeys(VALUES, "one person")),
    "around the median": ((interval(centre=np.median),), dict.fromkeys(VALUES, "")),
    "the upper end first": ((lambda v, p: interval()(v, p)[::-1],), dict.fromkeys((ENDS, *VALUES), "")),
    "one number": ((lambda v, p: v.mean(),), dict.fromkeys((ENDS, *VALUES), "two things")),
    "it sorts what it was given": ((sorted_in_place,), {ENDS: "writes into"}),
    "nothing": ((lambda v, p: None,), dict.fromkeys((ENDS, *VALUES), "`return` is missing")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab01.interval_over_people, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab01.interval_over_people, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab01.interval_over_people, arguments=1)
    prove.complete(lab01.interval_over_people, RIGHT, WRONG)
