"""FaceSet keeps images and labels together, and says what they are."""

import dataclasses

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.faces import TEST, TRAIN, VALIDATION, FaceSet, Provenance

COUNT = 12


def make(**changes):
    """Faces whose every label is a function of the first pixel, so that a mix-up shows."""
    number = np.arange(COUNT)
    images = np.broadcast_to(number[:, None, None, None], (COUNT, 3, 4, 5)).astype(np.uint8)
    values = {
        "images": images,
        "provenance": Provenance("toys", real=False, source="made here"),
        "identity": number // 3,
        "split": (number % 3).astype(np.int8),
        "attributes": np.stack([number % 2 == 0, number > 5], 1),
        "attribute_names": ("even", "large"),
        "attributes_known": number != 7,
        "factors": number[:, None].astype(np.float32) / COUNT,
        "factor_names": ("size",),
    }
    return FaceSet(**(values | changes))


@pytest.mark.parametrize("index", [[5, 2, 2], slice(3, 9, 2), np.arange(COUNT) > 7, np.array([], int)])
def test_subset_keeps_labels_with_their_images(index):
    part = make().subset(index)
    number = part.images[:, 0, 0, 0].astype(int)
    assert list(number) == list(np.arange(COUNT)[index])
    np.testing.assert_array_equal(part.identity, number // 3)
    np.testing.assert_array_equal(part.split, number % 3)
    np.testing.assert_array_equal(part.attributes[:, 0], number % 2 == 0)
    np.testing.assert_array_equal(part.attributes_known, number != 7)
    np.testing.assert_array_equal(part.factors[:, 0], number.astype(np.float32) / COUNT)
    assert part.provenance == make().provenance and part.attribute_names == ("even", "large")


@pytest.mark.parametrize(
    "changes",
    [
        {"images": np.zeros((COUNT, 3, 4, 5))},
        {"images": np.zeros((COUNT, 4, 5), np.uint8)},
        {"identity": np.zeros(COUNT - 1, int)},
        {"identity": np.zeros(COUNT)},
        {"split": np.full(COUNT, 3, np.int8)},
        {"attributes": np.zeros((COUNT, 3), bool)},
        {"attributes": np.zeros((COUNT, 2))},
        {"attribute_names": ("even",)},
        {"attributes_known": np.ones((COUNT, 1), bool)},
        {"factors": np.zeros((COUNT, 2), np.float32)},
    ],
)
def test_what_does_not_fit_together_is_refused(changes):
    with pytest.raises(LabkitError, match="toys"):
        make(**changes)


def test_unknown_labels_have_defaults():
    faces = FaceSet(make().images, Provenance("toys", real=False, source=""))
    assert (faces.identity == -1).all() and (faces.split == TRAIN).all()
    assert faces.attributes is None and faces.factors is None


def test_a_face_set_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().images = None


def test_checksum_tells_images_apart_and_not_their_layout():
    faces = make()
    strided = make(images=np.asfortranarray(faces.images))
    changed = faces.images.copy()
    changed[3, 1, 2, 2] ^= 1
    assert strided.checksum() == faces.checksum() != make(images=changed).checksum()


def test_describe_says_real_or_synthetic_and_what_is_stood_in_for():
    table = make().describe()["value"]
    assert "SYNTHETIC" in table["kind"] and table["stands in for"] == "nothing"
    assert table["train / validation / test"] == "4 / 4 / 4" and table["people"] == "4"
    stand_in = Provenance("synthetic Olivetti", real=False, source="", stand_in_for="Olivetti faces")
    assert make(provenance=stand_in).describe()["value"]["stands in for"] == "Olivetti faces"
    assert stand_in.label == "synthetic stand-in for Olivetti faces"
    real = Provenance("Olivetti faces", real=True, source="", dropped={"not an image": 2})
    table = make(provenance=real).describe()["value"]
    assert "real" in table["kind"] and table["dropped"] == "2 not an image"


def test_parts_are_numbered_as_in_the_contract():
    assert (TRAIN, VALIDATION, TEST) == (0, 1, 2)


def test_the_rows_with_labels_are_known_whatever_is_missing():
    origin = Provenance("test", False, "here")
    images, values = np.zeros((3, 1, 4, 4), np.uint8), np.zeros((3, 1), bool)
    known = np.array([True, False, True])
    labelled = {
        "all": FaceSet(images, origin, attributes=values, attribute_names=("a",)).labelled,
        "some": FaceSet(images, origin, attributes=values, attribute_names=("a",), attributes_known=known).labelled,
        "no table": FaceSet(images, origin).labelled,
    }
    assert {name: rows.tolist() for name, rows in labelled.items()} == {
        "all": [True] * 3, "some": [True, False, True], "no table": [False] * 3
    }  # fmt: skip


def test_a_table_without_a_row_is_described_as_none():
    origin, values = Provenance("test", False, "here"), np.zeros((3, 1), bool)
    for known, said in (([False] * 3, "none"), ([True, False, True], "1, of 2 images"), ([True] * 3, "1")):
        faces = FaceSet(
            np.zeros((3, 1, 4, 4), np.uint8),
            origin,
            attributes=values,
            attribute_names=("a",),
            attributes_known=np.array(known),
        )
        assert faces.describe().value["attributes"] == said
