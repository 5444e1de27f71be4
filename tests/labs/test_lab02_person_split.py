"""Lab 02's check of a split by person, put through right and wrong solutions."""

import numpy as np
import pytest

from labkit.labs import lab02

THREE = "three parts, each an array of positions"
LOST = "no image is lost"
TWICE = "no image stands in two parts"
LEAK = "nobody stands in two parts"
SIZES = "the parts have about the sizes asked for"
SEED = "one seed gives one split, another seed another"


def by_count(identity, shares, seed):
    people = np.random.default_rng(seed).permutation(np.unique(identity))
    cuts = np.round(np.cumsum(shares)[:2] * len(people)).astype(int)
    return tuple(np.flatnonzero(np.isin(identity, part)) for part in np.split(people, cuts))


def by_images(identity, shares, seed):
    """Fills the parts person by person until each has its share of images."""
    people, place, shots = np.unique(identity, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(people))
    before = np.cumsum(shots[order]) - shots[order]
    part = np.searchsorted(np.cumsum(shares)[:2] * len(identity), before, side="right")
    of_person = np.empty(len(people), int)
    of_person[order] = part
    return [np.flatnonzero(of_person[place] == k) for k in range(3)]


def image_by_image(identity, shares, seed):
    order = np.random.default_rng(seed).permutation(len(identity))
    return np.split(order, np.round(np.cumsum(shares)[:2] * len(order)).astype(int))


def cut_images_of_shuffled_people(identity, shares, seed):
    """The images of the people in order, cut where the images say, through a person's shots."""
    people = np.random.default_rng(seed).permutation(np.unique(identity))
    order = np.concatenate([np.flatnonzero(identity == person) for person in people])
    return np.split(order, np.round(np.cumsum(shares)[:2] * len(order)).astype(int))


def rest_lost(identity, shares, seed):
    people = np.random.default_rng(seed).permutation(np.unique(identity))
    a, b, c = (int(share * len(people)) - 7 for share in shares)
    groups = people[:a], people[a : a + b], people[a + b : a + b + c]
    return tuple(np.flatnonzero(np.isin(identity, group)) for group in groups)


def drawn_anew(identity, shares, seed):
    generator, people = np.random.default_rng(seed), np.unique(identity)
    train, *others = by_count(identity, shares, seed)
    test = generator.choice(people, len(people) // 50, replace=False)
    rest = np.setdiff1d(np.arange(len(identity)), np.concatenate([train, others[0]]))
    return train, others[0], np.union1d(rest, np.flatnonzero(np.isin(identity, test)))


def in_order(identity, shares, seed):
    people = np.unique(identity)
    cuts = np.round(np.cumsum(shares)[:2] * len(people)).astype(int)
    return tuple(np.flatnonzero(np.isin(identity, part)) for part in np.split(people, cuts))


def people_for_positions(identity, shares, seed):
    people = np.random.default_rng(seed).permutation(np.unique(identity))
    return np.split(people, np.round(np.cumsum(shares)[:2] * len(people)).astype(int))


def masks(identity, shares, seed):
    return [np.isin(np.arange(len(identity)), part) for part in by_count(identity, shares, seed)]


RIGHT = {"cut by people": (by_count,), "cut by images": (by_images,)}
ALL = (LOST, TWICE, LEAK, SIZES, SEED)
WRONG = {
    "image by image": ((image_by_image,), {LEAK: "not the images"}),
    "cut through a person": ((cut_images_of_shuffled_people,), {LEAK: "cut the list of people"}),
    "rest lost": ((rest_lost,), {LOST: "leaves a rest"}),
    "drawn for each part": ((drawn_anew,), {TWICE: "draw once", LEAK: "more than one part"}),
    "seed not used": ((in_order,), {SEED: "nothing is drawn"}),
    "another seed each time": (
        (lambda identity, shares, seed: by_count(identity, shares, None),), {SEED: "the same seed gave two"}
    ),
    "shares changed places": (
        (lambda identity, shares, seed: by_count(identity, shares[::-1], seed),), {SIZES: "changed places"}
    ),
    "equal parts": (
        (lambda identity, shares, seed: by_count(identity, (1 / 3, 1 / 3, 1 / 3), seed),), {SIZES: "np.cumsum"}
    ),
    "people for positions": (
        (people_for_positions,), {THREE: "names people"} | dict.fromkeys(ALL, "see the first property")
    ),
    "masks": ((masks,), {THREE: "is a mask"}),
    "part numbers": (
        (lambda identity, shares, seed: np.zeros(len(identity), int),),
        {THREE: "one number per image"} | dict.fromkeys(ALL, "see the first property"),
    ),
    "nothing": (
        (lambda identity, shares, seed: None,),
        {THREE: "returns None"} | dict.fromkeys(ALL, "see the first property"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab02.person_split, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab02.person_split, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab02.person_split, arguments=1)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab02.person_split, RIGHT, WRONG)
