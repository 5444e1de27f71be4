"""What the parts of a split share, against a count by hand."""

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.faces.faceset import FaceSet, Provenance
from labkit.metrics.splits import prevalence_difference, shared_people


def make(**labels):
    count = len(labels["split"])
    labels["split"] = np.array(labels["split"], np.int8)
    return FaceSet(np.zeros((count, 1, 2, 2), np.uint8), Provenance("toys", False, ""), **labels)


def test_prevalence_by_hand():
    labels = np.array([[1, 0], [0, 0], [1, 1], [0, 1], [1, 1], [1, 1]], bool)
    known = np.array([True, True, True, True, True, False])
    faces = make(split=[0, 0, 1, 1, 2, 0], attributes=labels, attribute_names=("a", "b"), attributes_known=known)
    table = prevalence_difference(faces)
    assert table.loc["a"].tolist() == [0.5, 0.5, 1.0, 0.5]
    assert table.loc["b"].tolist() == [0.0, 1.0, 1.0, 1.0]


def test_prevalence_needs_attributes():
    with pytest.raises(LabkitError, match="no attributes"):
        prevalence_difference(make(split=[0, 1]))


def test_shared_people_against_a_slow_count():
    generator = np.random.default_rng(0)
    identity, split = generator.integers(-1, 30, 90), generator.integers(0, 3, 90)
    slow = sum(len(set(split[identity == person])) > 1 for person in range(30))
    assert 0 < slow < 30 and shared_people(make(split=split, identity=identity)) == slow
