"""Splits hold out what they say, and nothing leaks."""

from itertools import combinations

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.faces import (
    TEST,
    TRAIN,
    VALIDATION,
    FaceSet,
    Provenance,
    split_by_image,
    split_by_person,
    split_stratified,
)

PEOPLE, SHOTS = 7, 5
SHUFFLED = np.random.default_rng(3).permutation(np.repeat(np.arange(PEOPLE), SHOTS))


def make(identity=SHUFFLED):
    images = np.zeros((len(identity), 1, 2, 2), np.uint8)
    return FaceSet(images, Provenance("toys", real=False, source=""), identity=identity)


def spread(faces):
    """The largest difference of an attribute's share between two parts."""
    return np.ptp([faces.attributes[faces.split == part].mean(0) for part in range(3)], axis=0).max()


@pytest.mark.parametrize("held_out, validation", [(1, 0), (2, 1), (0, 0), (3, 1)])
def test_by_image_holds_out_the_same_number_of_each_person(held_out, validation):
    faces = split_by_image(make(), held_out, validation, seed=1)
    for person in range(PEOPLE):
        parts = np.bincount(faces.split[faces.identity == person], minlength=3)
        assert parts.tolist() == [SHOTS - held_out - validation, validation, held_out]


@pytest.mark.parametrize("held_out, validation", [(1, 0), (2, 3), (0, 0)])
def test_by_person_keeps_people_apart(held_out, validation):
    faces = split_by_person(make(), held_out, validation, seed=1)
    people = [set(faces.identity[faces.split == part]) for part in (TRAIN, VALIDATION, TEST)]
    assert [len(group) for group in people] == [PEOPLE - held_out - validation, validation, held_out]
    assert len(set.union(*people)) == PEOPLE


@pytest.mark.parametrize("split", [split_by_image, split_by_person])
def test_the_seed_decides(split):
    first, again, other = (split(make(), 2, 1, seed=seed).split for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_by_image_does_not_always_hold_out_the_same_place():
    ordered = make(np.repeat(np.arange(PEOPLE), SHOTS))
    place = np.flatnonzero(split_by_image(ordered, 1).split == TEST) % SHOTS
    assert len(set(place)) > 1


@pytest.mark.parametrize(
    "split, options",
    [
        (split_by_image, {"held_out": SHOTS}),
        (split_by_image, {"held_out": 2, "validation": 3}),
        (split_by_image, {"held_out": -1}),
        (split_by_person, {"held_out": PEOPLE}),
        (split_by_person, {"held_out": 3, "validation": 4}),
    ],
)
def test_holding_out_everything_is_refused(split, options):
    with pytest.raises(LabkitError, match="hold out fewer"):
        split(make(), **options)


@pytest.mark.parametrize("split", [split_by_image, split_by_person])
def test_unknown_people_are_refused(split):
    identity = SHUFFLED.copy()
    identity[4] = -1
    with pytest.raises(LabkitError, match="no known person"):
        split(make(identity))


FEW = np.array([0.5, 0.3, 0.1, 0.05, 0.02])
MANY = np.linspace(0.02, 0.6, 40)


def labelled(count=1500, known=None, shares=FEW):
    """Independent labels of given prevalence."""
    labels = np.random.default_rng(1).random((count, len(shares))) < shares
    images = np.zeros((count, 1, 2, 2), np.uint8)
    names = tuple(map(str, range(len(shares))))
    provenance = Provenance("toys", real=False, source="")
    return FaceSet(images, provenance, attributes=labels, attribute_names=names, attributes_known=known)


@pytest.mark.parametrize("shares", [FEW, MANY, np.full(40, 0.5)], ids=["few", "many", "all frequent"])
def test_stratified_beats_random_and_keeps_the_sizes(shares):
    faces = labelled(shares=shares)
    dealt = split_stratified(faces, 0.1, 0.1, seed=2)
    assert np.bincount(dealt.split).tolist() == [1200, 150, 150]
    worst = spread(dealt)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(dealt.split)
        shuffled = FaceSet(
            faces.images,
            faces.provenance,
            split=order,
            attributes=faces.attributes,
            attribute_names=faces.attribute_names,
        )
        assert worst < 0.5 * spread(shuffled)


def test_a_single_attribute_is_dealt_exactly():
    faces = labelled()
    faces = FaceSet(faces.images, faces.provenance, attributes=np.arange(1500)[:, None] < 300, attribute_names=("a",))
    dealt = split_stratified(faces, 0.2, 0.1, seed=0)
    assert np.bincount(dealt.split[:300]).tolist() == [210, 30, 60]


def test_near_the_best_of_all_splits_of_a_tiny_set():
    """Against every way of holding out 3 of 12 images: at most twice the least squared excess, over many tables."""
    for seed in range(20):
        labels = np.random.default_rng(seed).random((12, 3)) < 0.4
        faces = FaceSet(
            np.zeros((12, 1, 2, 2), np.uint8),
            Provenance("toys", real=False, source=""),
            attributes=labels,
            attribute_names=("a", "b", "c"),
        )
        centred = labels - labels.mean(0)
        every = [np.square(centred[list(held)].sum(0)).sum() for held in combinations(range(12), 3)]
        dealt = split_stratified(faces, held_out=0.25, validation=0.0, seed=seed)
        got = np.square(centred[dealt.split == TEST].sum(0)).sum()
        assert got <= 2 * min(every) + 1e-9


def test_rows_without_labels_are_only_trained_on():
    known = np.arange(1500) % 3 > 0
    dealt = split_stratified(labelled(known=known))
    assert (dealt.split[~known] == TRAIN).all()
    assert np.bincount(dealt.split[known]).tolist() == [800, 100, 100]


def test_stratified_follows_its_seed():
    first, again, other = (split_stratified(labelled(), seed=seed).split for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_stratified_refuses():
    with pytest.raises(LabkitError, match="no attributes"):
        split_stratified(make())
    with pytest.raises(LabkitError, match="nothing to train on"):
        split_stratified(labelled(), 0.6, 0.4)
