"""PCA codes: what they keep, and what they must not have seen."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from labkit.errors import LabkitError
from labkit.faces import FaceSet, Provenance
from labkit.faces.codes import pca_codes, unit_pixels


def some_faces(count: int = 30) -> FaceSet:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (count, 1, 6, 5), np.uint8)
    images[0, 0, 0, 0] = 200
    split = np.repeat(np.array([0, 1, 2], np.int8), count // 3)
    return FaceSet(images, Provenance("noise", real=False, source="a test"), split=split)


def test_parts_partition_the_codes():
    codes = pca_codes(some_faces(), 4)
    assert [len(part) for part in (codes.train, codes.validation, codes.test, codes.known)] == [
        10,
        10,
        10,
        20,
    ]
    np.testing.assert_array_equal(np.concatenate([codes.train, codes.validation]), codes.known)


def test_components_know_nothing_of_the_test_part():
    faces = some_faces()
    changed = faces.images.copy()
    changed[faces.split == 2] = 7
    other = FaceSet(changed, faces.provenance, split=faces.split)
    np.testing.assert_array_equal(pca_codes(faces, 4).known, pca_codes(other, 4).known)


def test_all_components_decode_to_the_images():
    faces = some_faces()
    codes = pca_codes(faces, 20)
    known = codes.is_known
    np.testing.assert_allclose(codes.decode(codes.known), faces.images[known, 0] / 200, atol=1e-5)


def test_a_code_that_is_not_finite_spoils_its_own_image_only():
    codes = pca_codes(some_faces(), 3)
    rows = np.array([[1.0, 2.0, 3.0], [np.inf, 0.0, 0.0], [np.nan, 0.0, 0.0]])
    images = codes.decode(rows)
    np.testing.assert_allclose(images[0].ravel(), codes.pca.inverse_transform(rows[:1])[0])
    assert not np.isfinite(images[1:]).any()


def test_equals_scikit_learn_on_unit_pixels():
    faces = some_faces()
    pixels = unit_pixels(faces)
    assert pixels.max() == 1
    expected = PCA(3, svd_solver="full").fit(pixels[:20]).transform(pixels)
    np.testing.assert_allclose(np.abs(pca_codes(faces, 3).codes), np.abs(expected), atol=1e-5)


@pytest.mark.parametrize("components", [0, 21])
def test_too_many_components_are_refused(components):
    with pytest.raises(LabkitError, match="components"):
        pca_codes(some_faces(), components)
