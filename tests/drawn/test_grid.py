"""A grid of synthetic faces: each factor at its level, everything else at rest."""

import numpy as np
import pytest
import torch

from labkit.drawn import grid_faces
from labkit.drawn.factors import FACTOR_NAMES
from labkit.drawn.grid import FIVE, plain_person
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError


@pytest.fixture(scope="module")
def grid():
    return grid_faces(size=32)


def test_report_c_has_its_five(grid):
    assert grid.factor_names == ("hair_colour", "bangs", "yaw", "hair_volume", "face_width")
    assert grid.sizes == (8, 8, 12, 8, 8) and len(grid) == 49_152 and grid.categorical == ()
    assert not grid.provenance.real and not grid.provenance.stand_in_for
    assert "yaw" in grid.provenance.source and "size=32" in grid.provenance.source


def test_a_face_has_the_levels_it_was_asked_for(grid):
    indices = np.array([[7, 0, 11, 3, 0], [0, 7, 0, 0, 7]])
    factors = plain_person().repeat(2, 1)
    for name, values in {
        "hair_colour": [1.0, 0.0],
        "bangs": [0.0, 1.0],
        "yaw": [0.5, -0.5],
        "hair_volume": [3 / 7, 0.0],
        "face_width": [0.0, 1.0],
    }.items():
        factors[:, FACTOR_NAMES.index(name)] = torch.tensor(values)
    assert torch.equal(grid.images(indices), render(factors, 32))
    np.testing.assert_allclose(grid.values(indices)[0], [1, 0, 0.5, 3 / 7, 0], rtol=1e-6)


@pytest.mark.parametrize("factor", range(5))
def test_every_step_of_every_factor_shows(grid, factor):
    levels = np.full((grid.sizes[factor], 5), 3)
    levels[:, factor] = np.arange(grid.sizes[factor])
    drawn = grid.images(levels).float()
    change = (drawn[1:] - drawn[:-1]).abs().mean((1, 2, 3))
    assert (change > 0.15).all(), change
    assert (drawn[-1] - drawn[0]).abs().mean() > 3


def test_a_face_set_is_what_the_grid_says(grid):
    faces = grid.face_set(40, seed=2)
    assert faces.images.shape == (40, 3, 32, 32) and faces.factor_names == tuple(FIVE)
    indices = grid.sample(40, seed=2)
    assert np.array_equal(faces.images, grid.images(indices).numpy())
    assert np.array_equal(faces.factors, grid.values(indices))
    assert faces.describe().value["kind"] == "SYNTHETIC, drawn by labkit"


def test_all_combinations_are_as_likely(grid):
    small = grid_faces({"yaw": (-0.4, 0.4, 3), "smile": (-1, 1, 4)}, size=16)
    assert sorted(map(tuple, small.sample(12))) == [(i, j) for i in range(3) for j in range(4)]
    counts = np.bincount(grid.sample(20_000)[:, 2], minlength=12)
    np.testing.assert_allclose(counts, 20_000 / 12, rtol=0.1)


@pytest.mark.parametrize(
    "factors",
    [{}, {"hair": (0, 1, 2)}, {"yaw": (0, 1, 4)}, {"yaw": (0.3, -0.3, 4)}, {"yaw": (-0.3, 0.3, 1)}],
)
def test_bad_factors_are_refused(factors):
    with pytest.raises(LabkitError, match="grid_faces"):
        grid_faces(factors)
