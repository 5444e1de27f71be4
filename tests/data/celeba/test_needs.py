"""Photographs without the labels that a lab needs: a sentence and drawn faces in their place, no error later."""

import numpy as np
import pytest
from celeba_files import _official_attributes, jpegs, write_official

from labkit.data import celeba
from labkit.data.celeba.celeba import LEAST_LABELLED, LEAST_PEOPLE, LEAST_SIDE
from labkit.faces.words import ATTRIBUTES

COUNT = 2 * LEAST_LABELLED
IMAGES = jpegs(COUNT, size=(178, 218))
NEEDS = ("Male", "people")


def write_kind(folder, kind):
    """A CelebA that is just enough for `NEEDS`, or what its kind says."""
    labelled, sides, people = LEAST_LABELLED, LEAST_SIDE, LEAST_PEOPLE
    if kind == "few labels":
        labelled -= 1
    elif kind == "an attribute nobody has":
        sides = 0
    elif kind == "few have it":
        sides -= 1
    elif kind == "few people":
        people -= 1
    values = np.zeros((labelled, len(ATTRIBUTES)), bool)
    values[:sides, ATTRIBUTES.index("Male")] = True
    text = _official_attributes(list(IMAGES)[:labelled], values)
    identity = None if kind == "unknown people" else np.arange(COUNT) % people + 1
    return write_official(
        folder / "celeba",
        IMAGES,
        attributes=None if kind == "no table" else text,
        identity=identity,
        partition=None,
    )


LACKING = {
    "no table": "labels for 0 images",
    "few labels": "labels for 99 images",
    "an attribute nobody has": "0 labelled images with Male and 100 without",
    "few have it": "9 labelled images with Male",
    "few people": "15 known people",
    "unknown people": "0 known people",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)


@pytest.mark.parametrize("kind", LACKING)
def test_what_lacks_is_said_with_the_remedy_and_faces_are_drawn(tmp_path, capsys, kind):
    folder = write_kind(tmp_path, kind)
    faces = celeba(folder, synthetic_n=20, needs=NEEDS)
    said = capsys.readouterr().out
    assert not faces.real and len(faces) == 20 and faces.labelled.all()
    assert f"Your 200 photographs have {LACKING[kind]}" in said and "list_attr_celeba.txt" in said
    assert faces.provenance.stand_in_for == "CelebA" and LACKING[kind] in faces.provenance.source
    assert celeba(folder).real and celeba().real  # for what needs no labels


def test_just_enough_is_enough(tmp_path):
    folder = write_kind(tmp_path, "just enough")
    assert celeba(folder, needs=NEEDS).real
    assert not celeba(folder, synthetic_n=20, needs=("Bald",)).real


def test_people_alone_can_be_needed(tmp_path):
    folder = write_kind(tmp_path, "unknown people")
    assert celeba(folder, needs=("Male",)).real and not celeba(folder, synthetic_n=20, needs=("people",)).real
