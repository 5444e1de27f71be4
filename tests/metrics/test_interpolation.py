"""Paths between latents."""

import numpy as np
import pytest
import torch

from labkit.errors import LabkitError
from labkit.metrics.interpolation import linear, path_change, spherical


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
