"""Paths between latents."""

import numpy as np
import pytest
import torch

from labkit.errors import LabkitError
from labkit.metrics.interpolation import linear, path_change, path_shape, spherical, typical_difference


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(16, dtype=torch.float64, generator=generator) for _ in range(2))


@pytest.mark.parametrize("path", [linear, spherical])
def test_both_ends_are_included(path):
    a, b = pair()
    points = path(a, b, 7)
    assert points.shape == (7, 16)
    torch.testing.assert_close(points[0], a)
    torch.testing.assert_close(points[-1], b)
    torch.testing.assert_close(path(b, a, 7), points.flip(0))


def test_linear_steps_are_equal():
    steps = linear(*pair(), 6).diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand_as(steps))


def test_spherical_keeps_the_radius_and_the_angular_speed():
    a, b = pair()
    a, b = 3 * a / a.norm(), 3 * b / b.norm()
    points = spherical(a, b, 9)
    torch.testing.assert_close(points.norm(dim=1), torch.full((9,), 3.0, dtype=torch.float64))
    cosines = (points[1:] * points[:-1]).sum(1)
    torch.testing.assert_close(cosines, cosines[:1].expand_as(cosines))
    assert linear(a, b, 9).norm(dim=1)[4] < 2.9


@pytest.mark.parametrize("end", [1.0, -1.0, 0.0])
def test_spherical_of_parallel_latents_is_finite(end):
    a, _ = pair()
    points = spherical(a, end * a, 5)
    assert points.isfinite().all()
    torch.testing.assert_close(points[-1], end * a)


def test_path_change_of_equal_steps():
    path = np.linspace(0, 1, 5)[:, None, None] * np.ones((1, 3, 3))
    np.testing.assert_allclose(path_change(path), 0.25)


def test_bad_input_is_refused():
    a, b = pair()
    for wrong in ((a, b, 1), (a, b[:3], 5), (a[None], b[None], 5)):
        with pytest.raises(LabkitError, match="interpolation"):
            linear(*wrong)


def test_the_shape_of_known_paths():
    even = np.linspace(0, 1, 5)[:, None, None, None] * np.ones((1, 3, 4, 4))
    shape = path_shape(even)
    assert (shape.change, shape.length, shape.largest_step) == pytest.approx((1, 1, 1))
    assert shape.straightness == pytest.approx(1)
    jump = path_shape((even > 0.5).astype(float))
    assert (jump.change, jump.length, jump.largest_step) == pytest.approx((1, 1, 4))
    there_and_back = path_shape(np.concatenate([even, even[::-1]]))
    assert (there_and_back.change, there_and_back.length) == pytest.approx((0, 2))
    assert there_and_back.straightness == 0
    still = path_shape(np.ones((6, 3, 4, 4), np.uint8))
    assert (still.change, still.length, still.largest_step, still.straightness) == (0, 0, 1, 1)
    around_a_corner = path_shape(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    assert around_a_corner.straightness == pytest.approx(np.sqrt(2) / 2)


def test_uint8_paths_do_not_wrap():
    assert path_shape(np.array([[200], [100], [0]], np.uint8)).change == 200


def test_typical_difference_of_noise():
    images = np.random.default_rng(0).normal(size=(300, 3, 20, 20))
    assert typical_difference(images) == pytest.approx(np.sqrt(2), rel=0.01)
    assert typical_difference(np.array([[0.0], [1.0]])) == 1  # never a picture with itself
    assert typical_difference(np.ones((5, 4), np.uint8)) == 0
    for wrong in (typical_difference, path_shape):
        with pytest.raises(LabkitError, match="at least two"):
            wrong(images[:1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e20, 1e30])
def test_the_arc_has_no_unit(scale, dtype):
    start, end = torch.tensor([3.0, 1.0, -2.0], dtype=dtype), torch.tensor([-1.0, 2.0, 0.5], dtype=dtype)
    torch.testing.assert_close(spherical(start * scale, end * scale, 5) / scale, spherical(start, end, 5))
