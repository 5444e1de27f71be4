"""Sets of drawn faces: numbering, identities, and the shape of Olivetti."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from labkit.drawn.factors import FACTOR_NAMES, FACTORS, PERSON
from labkit.drawn.shots import more_people, synthetic_olivetti
from labkit.faces.faceset import TEST

drawn = functools.cache(synthetic_olivetti)


@pytest.fixture
def olivetti():
    return drawn(0)


def column(faces, name: str) -> np.ndarray:
    return faces.factors[:, FACTOR_NAMES.index(name)]


def test_olivetti_has_olivettis_shape(olivetti):
    assert olivetti.images.shape == (400, 1, 64, 64) and olivetti.images.dtype == np.uint8
    assert olivetti.identity.tolist() == [person for person in range(40) for _ in range(10)]
    assert not olivetti.split.any()
    assert not olivetti.real and olivetti.provenance.stand_in_for == "Olivetti faces"
    assert "stand-in" in olivetti.provenance.label
    assert olivetti.images.min() < 25 and olivetti.images.max() > 230


def test_olivetti_is_the_same_every_time(olivetti):
    again = synthetic_olivetti()
    assert again.checksum() == olivetti.checksum()
    assert drawn(1).checksum() != olivetti.checksum()


def test_people_keep_their_factors_and_shots_differ(olivetti):
    shots = olivetti.factors.reshape(40, 10, -1)
    for k, factor in enumerate(FACTORS):
        spread = np.ptp(shots[:, :, k], axis=1)
        if factor.scope == PERSON and factor.name != "glasses":
            assert not spread.any(), factor.name
    for name in ("yaw", "pitch", "light_azimuth", "smile", "eye_open"):
        assert (np.ptp(shots[:, :, FACTOR_NAMES.index(name)], axis=1) > 0).all(), name
    images = olivetti.images.reshape(400, -1)
    assert len(np.unique(images, axis=0)) == 400


def test_more_people_are_strangers(olivetti):
    crowd = more_people(olivetti, 55)
    assert np.array_equal(np.unique(crowd.identity, return_counts=True), [range(40, 95), [10] * 55])
    assert (crowd.split == TEST).all()
    everyone = olivetti.joined(crowd)
    assert len(np.unique(everyone.factors[::10], axis=0)) == 95  # nobody twice
    assert np.array_equal(everyone.attributes[400:], crowd.attributes)


def test_of_photographs_there_are_no_more_people(olivetti):
    photographs = replace(olivetti, provenance=replace(olivetti.provenance, real=True))
    for none in (more_people(photographs, 55), more_people(olivetti, 0)):
        assert len(none) == 0 and olivetti.joined(none).checksum() == olivetti.checksum()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_olivetti_people_are_diverse(seed):
    faces = drawn(seed)
    worn = column(faces, "glasses").reshape(40, 10).mean(1)
    assert (worn > 0).sum() >= 6
    assert ((worn > 0) & (worn < 1)).sum() >= 6
    for name in ("beard", "moustache"):
        assert (column(faces, name).reshape(40, 10)[:, 0] > 0.3).sum() >= 4, name
    assert np.ptp(column(faces, "skin_tone")) > 0.5


def test_pca_of_olivetti_is_not_trivial(olivetti):
    pixels = olivetti.images.reshape(400, -1) / 255
    centred = pixels - pixels.mean(0)
    variance = np.linalg.eigvalsh(centred @ centred.T)[::-1]
    components = int(np.sum(np.cumsum(variance) / variance.sum() < 0.9)) + 1
    assert 20 <= components <= 120


def test_people_can_be_told_apart(olivetti):
    """The nearest other picture is mostly of the same person, as on the real set (about 97 %)."""
    pixels = olivetti.images.reshape(400, -1) / 255
    square = (pixels**2).sum(1)
    distance = square[:, None] + square - 2 * pixels @ pixels.T
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(1)
    assert np.mean(olivetti.identity[nearest] == olivetti.identity) > 0.7
