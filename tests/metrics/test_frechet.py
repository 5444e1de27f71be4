"""The Fréchet distance against its closed form, and the properties it must have on faces."""

import functools

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

from labkit.drawn import sample_factors, synthetic_celeba
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError
from labkit.metrics import frechet
from labkit.metrics.frechet import Extractor, FrechetScore, frechet_distance, oracle_extractor
from labkit.oracle import blur


class _Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


PIXELS = Extractor("pixels", 12, _Pixels())


def clouds(n: int, shift: float, stretch: float, seed: int) -> Tensor:
    """n images of 12 correlated values."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(5).normal(size=(12, 12)) * 0.02 * stretch
    values = 0.5 + shift + rng.normal(size=(n, 12)) @ (mix + 0.02 * np.eye(12))
    return torch.from_numpy(values.clip(0, 1)).reshape(n, 3, 2, 2)


@functools.cache
def faces(seed: int, n: int = 600) -> Tensor:
    return render(sample_factors(seed, torch.arange(n)))


@functools.cache
def extractor() -> Extractor:
    return oracle_extractor()


def test_it_is_the_closed_form_of_two_gaussians():
    a, b = clouds(500, 0.0, 1.0, 1), clouds(400, 0.05, 2.0, 2)
    x, y = (each.float().double().numpy().reshape(len(each), -1) for each in (a, b))
    cx, cy = np.cov(x.T), np.cov(y.T)
    wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx + cy - 2 * sqrtm(cx @ cy).real)
    score = frechet_distance(a, b, PIXELS)
    assert score.distance == pytest.approx(wanted, rel=1e-8)
    assert (score.real, score.generated, score.extractor) == (500, 400, "pixels")


def test_identity_and_symmetry():
    a, b = faces(11), faces(12)
    there, back = (frechet_distance(*pair, extractor()).distance for pair in ((a, b), (b, a)))
    assert there == pytest.approx(back, rel=1e-6)
    assert frechet_distance(a, a, extractor()).distance < 1e-6 * there


def test_it_grows_with_blur():
    real, generated = faces(11), faces(12).float() / 255
    distances = [
        frechet_distance(real, blur(generated, sigma).clamp(0, 1), extractor()).distance
        for sigma in (0.0, 1.5, 2.5, 4.0)  # the oracle is trained not to mind a blur of a pixel
    ]
    assert distances == sorted(distances) and distances[-1] > 2 * distances[0]


def test_fewer_images_make_it_larger():
    """The bias the docstring warns of, between samples of one population."""
    few, many = (frechet_distance(faces(11)[:n], faces(12)[:n], extractor()).distance for n in (150, 600))
    assert few > 1.5 * many


def test_bytes_and_floats_and_batches_make_no_difference(monkeypatch):
    a, b = faces(11)[:200], faces(12)[:200]
    wanted = frechet_distance(a, b, extractor()).distance
    monkeypatch.setattr(frechet, "BATCH", 64)
    assert frechet_distance(a.numpy(), b.float() / 255, extractor()).distance == pytest.approx(wanted, rel=1e-4)


def test_too_few_images_and_grey_ones_are_refused():
    with pytest.raises(LabkitError, match="128 generated images are too few for 128"):
        frechet_distance(faces(11)[:129], faces(12)[:128], extractor())
    with pytest.raises(LabkitError, match="grey"):
        frechet_distance(faces(11)[:, :1], faces(12), extractor())


def test_a_score_carries_the_name_of_its_features():
    name = extractor().name
    assert name == "oracle features (128-d, synthetic faces)"
    score = FrechetScore(1.25, name, 200, 300)
    assert str(score) == f"1.25 in {name}, 200 real and 300 generated"


def test_lite0_tells_faces_from_noise_without_a_download(monkeypatch):
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    extractor = frechet.lite0_extractor()
    assert extractor.name == "EfficientNet-Lite0 pool features (1280-d, ImageNet)"
    faces = torch.from_numpy(synthetic_celeba(12, seed=3, cache=False).images).float() / 255
    noise = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    one, other, far = (extractor(x).mean(0) for x in (faces[:6], faces[6:], noise))
    assert (one - far).norm() > 2 * (one - other).norm()
