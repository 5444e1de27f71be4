"""Sharpness on pictures made to have it."""

import numpy as np
import pytest

from labkit.drawn import synthetic_celeba
from labkit.errors import LabkitError
from labkit.metrics.sharpness import regions, relative_sharpness, sharpness


def noise(shape=(4, 3, 64, 64), seed: int = 0) -> np.ndarray:
    """Grey noise: three equal channels."""
    n, c, h, w = shape
    return np.random.default_rng(seed).integers(0, 256, (n, 1, h, w), np.uint8).repeat(c, 1)


def blurred(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Images with a 5 × 5 box blur where `mask` (H, W) is true."""
    padded = np.pad(images.astype(float), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (2, 3))
    return np.where(mask, windows.mean((-1, -2)), images).astype(np.uint8)


def test_of_noise_it_is_twenty_variances():
    """The Laplacian of independent pixels has variance 16 + 4 times theirs."""
    found = sharpness(noise((8, 3, 96, 96)))
    variance = (256**2 - 1) / 12 / 255**2
    assert found.face == pytest.approx(20 * variance, rel=0.05)
    assert found.background == pytest.approx(20 * variance, rel=0.05)


@pytest.mark.parametrize("size", [(64, 64), (64, 48), (128, 128), (218, 178)])
def test_a_blur_is_seen_where_it_is(size):
    images = noise((2, 3, *size))
    for region, mask in zip(("face", "background"), regions(*size)):
        found = relative_sharpness(blurred(images, mask), images)
        other = {"face": "background", "background": "face"}[region]
        assert getattr(found, region) < 0.2
        assert getattr(found, other) == pytest.approx(1)


def test_flat_and_shaded_pictures_have_none():
    ramp = np.arange(64, dtype=np.uint8)
    shaded = (np.ones((2, 3, 64, 64)) * (ramp[:, None] + 2 * ramp)).astype(np.uint8)
    for images in (np.full((2, 3, 64, 64), 9, np.uint8), shaded):
        found = sharpness(images)
        assert found.face == pytest.approx(0, abs=1e-20) and found.background == pytest.approx(0, abs=1e-20)


def test_identical_images_are_as_sharp():
    images = noise()
    found = relative_sharpness(images[::-1], images)
    assert (found.face, found.background) == (pytest.approx(1), pytest.approx(1))


def test_regions_are_apart_and_the_crop_shows_the_same_face():
    face, background = regions(64, 64)
    assert not (face & background).any()
    assert np.argwhere(face)[:, 0].mean() == pytest.approx(0.55 * 64, abs=1)  # rows are counted from the top
    assert 0.25 < face.mean() < 0.4 and 0.2 < background.mean() < 0.5
    full, whole_background = regions(218, 178)
    cropped, cropped_background = regions(178, 178)
    assert (full[20:198] != cropped).mean() < 0.01
    assert (whole_background[20:198] != cropped_background).mean() < 0.02


def test_the_face_of_drawn_faces_is_in_its_region():
    """Where skin is, on average: red above blue, as nowhere in the backgrounds."""
    mean = synthetic_celeba(60, seed=1, cache=False).images.mean(0)
    face, background = regions(64, 64)
    warmth = mean[0] - mean[2]
    assert warmth[face].mean() > 4 * warmth[background].mean()


def test_bad_input_is_refused():
    for wrong in (noise()[:, :1], noise() / 255, noise((1, 3, 4, 4))):
        with pytest.raises(LabkitError, match="sharpness"):
            sharpness(wrong)
    with pytest.raises(LabkitError, match="flat"):
        relative_sharpness(noise(), np.zeros((1, 3, 64, 64), np.uint8))
