"""Synthetic CelebA: numbering, parts, attributes and the cache of pixels."""

import functools
import sys

import numpy as np
import pytest
import torch

from labkit.data import synthetic_celeba as module_or_function
from labkit.data.celeba_names import ATTRIBUTES
from labkit.data.celeba_size import SIZES, parse_size
from labkit.data.factors import FACTOR_NAMES
from labkit.data.synthetic_attributes import RULES, SYNTHETIC_ATTRIBUTES, attributes_of
from labkit.data.synthetic_celeba import cached_files, synthetic_celeba
from labkit.data.synthetic_people import celeba_factors
from labkit.errors import LabkitError

MANY = torch.arange(40_000)


@functools.cache
def labels(skin_tone="celeba"):
    factors = celeba_factors(0, MANY, 0 * MANY, skin_tone).numpy()
    return factors, attributes_of(factors)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    return tmp_path / "synthetic"


def phi(one, other):
    columns = [labels()[1][:, SYNTHETIC_ATTRIBUTES.index(name)] for name in (one, other)]
    return np.corrcoef(*columns)[0, 1]


def test_exported():
    assert module_or_function is synthetic_celeba


def test_face_i_is_the_same_for_every_n():
    few, many = (synthetic_celeba(n, seed=3, cache=False) for n in (13, 47))
    for name in ("images", "factors", "attributes", "identity", "split"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:13], err_msg=name)
    assert (synthetic_celeba(13, seed=4, cache=False).images != few.images).any()


def test_ten_shots_and_no_person_in_two_parts():
    faces = synthetic_celeba(3000, size="64", cache=True)
    assert (np.bincount(faces.identity) == 10).all() and len(np.bincount(faces.identity)) == 300
    assert all(len(set(faces.split[faces.identity == person])) == 1 for person in range(300))
    np.testing.assert_allclose(np.bincount(faces.split, minlength=3) / 3000, (0.8, 0.1, 0.1), atol=0.05)
    assert faces.provenance.stand_in_for == "CelebA" and not faces.real


@pytest.mark.parametrize("word", SIZES)
def test_sizes(word):
    height, width = parse_size(word)
    assert synthetic_celeba(2, size=word, cache=False).images.shape == (2, 3, height, width)


def test_a_crop_is_the_middle_of_the_square():
    square, cut = (synthetic_celeba(3, size=size, cache=False).images for size in ("64", "64x48"))
    np.testing.assert_array_equal(cut, square[..., 8:56])


def test_bad_arguments_are_refused():
    for options in ({"size": "65"}, {"skin_tone": "green"}, {"n": 0}):
        with pytest.raises(LabkitError):
            synthetic_celeba(**{"n": 2, **options})


def test_names_are_celebas_in_order():
    assert len(SYNTHETIC_ATTRIBUTES) >= 24
    assert [ATTRIBUTES.index(name) for name in SYNTHETIC_ATTRIBUTES] == sorted(
        ATTRIBUTES.index(name) for name in SYNTHETIC_ATTRIBUTES
    )


@pytest.mark.parametrize(
    "name, factor, threshold",
    [
        ("Eyeglasses", "glasses", 0.5),
        ("Male", "masculine", 0.5),
        ("Smiling", "smile", 0.35),
        ("Wearing_Hat", "hat", 0.5),
    ],
)
def test_attributes_agree_with_factors(name, factor, threshold):
    factors, attributes = labels()
    expected = factors[:, FACTOR_NAMES.index(factor)] > threshold
    np.testing.assert_array_equal(attributes[:, SYNTHETIC_ATTRIBUTES.index(name)], expected)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_prevalence_is_near_celebas(rule):
    """Within 6 points, and within a factor of two."""
    share = labels()[1][:, SYNTHETIC_ATTRIBUTES.index(rule.name)].mean()
    assert abs(share - rule.real) < 0.06 and 0.5 < share / rule.real < 2


@pytest.mark.parametrize(
    "one, other, sign, least",
    [
        ("No_Beard", "Mustache", -1, 0.4),
        ("Goatee", "Mustache", 1, 0.2),
        ("Wearing_Lipstick", "Heavy_Makeup", 1, 0.6),
        ("Gray_Hair", "Receding_Hairline", 1, 0.07),
        ("Gray_Hair", "Young", -1, 0.3),
        ("Wearing_Earrings", "Male", -1, 0.2),
        ("Heavy_Makeup", "Male", -1, 0.5),
        ("Blond_Hair", "Male", -1, 0.1),
        ("Smiling", "Mouth_Slightly_Open", 1, 0.1),
    ],
)
def test_correlations(one, other, sign, least):
    assert sign * phi(one, other) > least


def test_skin_tones():
    at = FACTOR_NAMES.index("skin_tone")
    tones = np.linspace(0, 1, 11)
    balanced = np.histogram(labels("balanced")[0][:, at], tones)[0] / len(MANY)
    np.testing.assert_allclose(balanced, 0.1, atol=0.01)
    light = labels()[0][:, at]
    np.testing.assert_allclose([np.mean(light < 0.35), np.mean(light > 0.65)], [0.8, 0.1], atol=0.02)


def test_cached_equals_drawn_and_is_mapped(own_cache):
    drawn = synthetic_celeba(600, cache=False)
    for _ in range(2):
        cached = synthetic_celeba(600)
        assert isinstance(cached.images, np.memmap)
        np.testing.assert_array_equal(cached.images, drawn.images)
    (entry,) = cached_files()
    assert entry[1] == 600 and list(own_cache.iterdir()) == [entry[0]]


def test_the_cache_is_read(own_cache):
    synthetic_celeba(3)
    path = cached_files()[0][0]
    np.save(path, np.zeros((3, 3, 64, 64), np.uint8))
    assert not synthetic_celeba(3).images.any()


def test_a_stale_recipe_is_not_read(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["labkit.data.synthetic_celeba"], "DRAWN_BY", ("render.py",))
        synthetic_celeba(3)
        np.save(cached_files()[0][0], np.zeros((3, 3, 64, 64), np.uint8))
    assert synthetic_celeba(3).images.any()


def test_a_cut_file_is_drawn_anew():
    whole = synthetic_celeba(3).images.copy()
    path = cached_files()[0][0]
    path.write_bytes(path.read_bytes()[:500])
    np.testing.assert_array_equal(synthetic_celeba(3).images, whole)


def test_a_folder_that_cannot_be_written(own_cache):
    own_cache.write_text("a file where the folder should be")
    assert synthetic_celeba(3).images.any()
