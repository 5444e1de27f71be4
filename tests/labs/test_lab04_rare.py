"""Lab 04's checks of Wilson's interval and of balancing weights, put through right and wrong solutions."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import beta

from labkit.labs import lab04

TWO, EDGES, SCORE, Z, ARRAYS, COVERAGE = (
    "two limits, the lower one first",
    "none and all of the total leave room on one side",
    "each limit is z standard errors from the share, by its own spread",
    "z is the one handed in",
    "arrays of counts get arrays of limits",
    "95 of 100 intervals hold a rare group's share",
)
PROBABILITY, LOST, GROUP, PERSON, SHOTS, STAY = (
    "a probability for each image, of sum 1",
    "nobody is lost",
    "each group is drawn as often as each other",
    "within a group each person counts the same",
    "a person's images share evenly",
    "groups and people stay as they were",
)


def wilson(count, total, z):
    share, weight = count / total, z**2 / total
    half = np.sqrt(weight * (share * (1 - share) + weight / 4))
    return (share + weight / 2 - half) / (1 + weight), (share + weight / 2 + half) / (1 + weight)


@np.vectorize
def by_roots(count, total, z):
    """Both limits by a search for the share that lies z standard errors off."""
    share = count / total

    def off(p):
        return (share - p) ** 2 - z**2 * p * (1 - p) / total

    low = 0.0 if count == 0 else brentq(off, 0, min(share, 1 - 1e-9), xtol=1e-14)
    return low, 1.0 if count == total else brentq(off, max(share, 1e-9), 1, xtol=1e-14)


def wald(count, total, z):
    half = z * np.sqrt(count / total * (1 - count / total) / total)
    return count / total - half, count / total + half


def clipped_wald(count, total, z):
    low, high = wald(count, total, z)
    return np.maximum(low, 0), np.minimum(high, 1)


def centred(count, total, z):
    low, high = wilson(count, total, z)
    return count / total - (high - low) / 2, count / total + (high - low) / 2


def undivided(count, total, z):
    low, high = wilson(count, total, z)
    return low * (1 + z**2 / total), high * (1 + z**2 / total)


def other_root(part):
    """The second term under the root, z²/4n², times `part`."""

    def limits(count, total, z):
        share, weight = count / total, z**2 / total
        half = np.sqrt(weight * (share * (1 - share) + part * weight / 4))
        return (share + weight / 2 - half) / (1 + weight), (share + weight / 2 + half) / (1 + weight)

    return limits


def one_number_only(count, total, z):
    share, weight = count / total, z**2 / total
    half = math.sqrt(weight * (share * (1 - share) + weight / 4))
    return (share + weight / 2 - half) / (1 + weight), (share + weight / 2 + half) / (1 + weight)


def bayes(count, total, z):
    return beta.ppf(0.025, count + 0.5, total - count + 0.5), beta.ppf(0.975, count + 0.5, total - count + 0.5)


LIMITS_RIGHT = {
    "closed form": (wilson,),
    "by roots": (by_roots,),
}
LIMITS_WRONG = {
    "share ± z standard errors": (
        (wald,),
        {EDGES: "width 0", SCORE: "plain interval", COVERAGE: "too narrow"},
    ),
    "cut to 0 and 1": ((clipped_wald,), {EDGES: "width 0", SCORE: "", COVERAGE: "too narrow"}),
    "always 1.96": ((lambda c, n, z: wilson(c, n, 1.96),), {Z: "not 1.96"}),
    "around the share seen": (
        (centred,),
        {EDGES: "lies between", SCORE: "moves towards", COVERAGE: "too narrow"},
    ),
    "half of the root": (
        (other_root(0),),
        dict.fromkeys((EDGES, SCORE, Z), "is left out") | {COVERAGE: "too narrow"},
    ),
    "four times under the root": (
        (other_root(4),),
        dict.fromkeys((EDGES, SCORE, Z), "z²/n²") | {COVERAGE: "too wide"},
    ),
    "not divided": ((undivided,), {EDGES: "should give", SCORE: "not divided"}),
    "high, low": (
        (lambda c, n, z: wilson(c, n, z)[::-1],),
        dict.fromkeys((TWO, EDGES, Z, COVERAGE), "low, high"),
    ),
    "math.sqrt": ((one_number_only,), {ARRAYS: "the module math"}),
    "of counts": (
        (lambda c, n, z: tuple(n * limit for limit in wilson(c, n, z)),),
        {TWO: "limits of a share", EDGES: "", SCORE: "", COVERAGE: ""},
    ),
    "root of z": (
        (lambda c, n, z: wilson(c, n, math.sqrt(z)),),
        {EDGES: "should give", Z: "where z is squared", COVERAGE: "too narrow"},
    ),
    "another interval": ((bayes,), {EDGES: "should give", SCORE: "at the limit p itself", Z: "not 1.96"}),
}


def weights(group, person):
    shots = np.array([(person == one).sum() for one in person])
    people = np.array([len(np.unique(person[group == one])) for one in group])
    return 1 / (shots * people * len(np.unique(group)))


def by_loops(group, person):
    found = np.zeros(len(group))
    for one in set(group.tolist()):
        members = sorted(set(person[group == one].tolist()))
        for member in members:
            rows = np.flatnonzero(person == member)
            found[rows] = 1 / len(rows) / len(members)
    return found / found.sum()


def by_images(group, person):
    found = np.array([1 / (group == one).sum() for one in group])
    return found / found.sum()


def people_per_image(group, person):
    return np.array([len(np.unique(person[group == one])) / (group == one).sum() for one in group])


def by_people(group, person):
    found = np.array([1 / (person == one).sum() for one in person])
    return found / found.sum()


def first_shot(group, person):
    found = np.zeros(len(group))
    first = np.unique(person, return_index=True)[1]
    found[first] = by_images(group[first], person[first])
    return found


def fewest(group, person):
    """As many people of each group as the smallest has, the others left out."""
    least = min(len(np.unique(person[group == one])) for one in np.unique(group))
    kept = np.concatenate([np.unique(person[group == one])[:least] for one in np.unique(group)])
    found = np.isin(person, kept) / np.array([(person == one).sum() for one in person])
    return found / found.sum()


def sorted_groups(group, person):
    found = weights(group, person)
    group.sort()
    return found


WEIGHTS_RIGHT = {"by fractions": (weights,), "by loops": (by_loops,)}
WEIGHTS_WRONG = {
    "all alike": (
        (lambda g, p: np.full(len(g), 1 / len(g)),),
        {GROUP: "as often as they occur", PERSON: "shots"},
    ),
    "by images": ((by_images,), {PERSON: "shots"}),
    "by people alone": ((by_people,), {GROUP: "the same in all groups"}),
    "by images of both": (
        (lambda g, p: (w := weights(g, p) * people_per_image(g, p)) / w.sum(),),
        {GROUP: "pictures are counted"},
    ),
    "one for each group": ((lambda g, p: weights(g, p) * 3,), {PROBABILITY: "number of groups"}),
    "not divided": ((lambda g, p: 1000 * weights(g, p),), {PROBABILITY: "divide by the sum"}),
    "first shots only": ((first_shot,), {LOST: "images of these people", SHOTS: "first one"}),
    "others left out": ((fewest,), {LOST: "never drawn", PERSON: ""}),
    "root of the size": (
        (lambda g, p: (w := weights(g, p) * np.sqrt([(g == one).sum() for one in g])) / w.sum(),),
        {GROUP: "still more often"},
    ),
    "sorted in place": ((sorted_groups,), {STAY: "writes into"}),
    "a weight for each group alone": (
        (lambda g, p: np.full(3, 1 / 3),),
        dict.fromkeys((PROBABILITY, LOST, GROUP, PERSON, SHOTS), "one per image"),
    ),
}


@pytest.mark.parametrize("name", LIMITS_RIGHT)
def test_right_limits_pass(prove, name):
    prove.right(lab04.wilson_interval, LIMITS_RIGHT[name])


@pytest.mark.parametrize("name", LIMITS_WRONG)
def test_wrong_limits_are_found(prove, name):
    prove.wrong(lab04.wilson_interval, *LIMITS_WRONG[name])


@pytest.mark.parametrize("name", WEIGHTS_RIGHT)
def test_right_weights_pass(prove, name):
    prove.right(lab04.balancing_weights, WEIGHTS_RIGHT[name])


@pytest.mark.parametrize("name", WEIGHTS_WRONG)
def test_wrong_weights_are_found(prove, name):
    prove.wrong(lab04.balancing_weights, *WEIGHTS_WRONG[name])


def test_the_stubs_and_the_number_of_solutions(prove):
    prove.stub(lab04.wilson_interval, 1)
    prove.stub(lab04.balancing_weights, 1)
    prove.complete(lab04.wilson_interval, LIMITS_RIGHT, LIMITS_WRONG)
    prove.complete(lab04.balancing_weights, WEIGHTS_RIGHT, WEIGHTS_WRONG)
