"""Traversals: one coordinate moves and no other, rotations keep lengths, and known decoders get known names."""

import numpy as np
import pytest
import torch

from labkit.errors import LabkitError
from labkit.metrics.selectivity import Selectivity, selectivity
from labkit.metrics.traversal import (
    has_meaning,
    moved,
    named_latents,
    random_directions,
    read_traversals,
    summarise,
)

LATENTS, ANCHORS = 6, 12
NAMES = ("red", "green", "blue")


def anchors(seed=0):
    return torch.randn(ANCHORS, LATENTS, generator=torch.Generator().manual_seed(seed))


def colours(mixing):
    """A decoder whose picture is one colour: latents times `mixing` (M, 3), in tenths of the range."""
    return lambda z: (0.1 * z @ mixing)[:, :, None, None].expand(-1, -1, 4, 4)


def read(images):
    return images.mean((2, 3)) / 127.5 - 1


def judged(mixing, directions):
    low, high = read_traversals(colours(mixing), anchors(), directions, read)
    return selectivity(low, high, np.full(3, 0.1))


def test_only_the_coordinate_along_the_direction_is_set():
    z, direction = anchors(), torch.nn.functional.normalize(torch.arange(1.0, 7.0), dim=0)
    after = moved(z, direction, 1.5)
    torch.testing.assert_close(after @ direction, torch.full((ANCHORS,), 1.5))
    across = torch.eye(LATENTS) - torch.outer(direction, direction)
    torch.testing.assert_close(after @ across, z @ across)
    axis = moved(z, torch.eye(LATENTS)[2], -2.0)
    assert (axis[:, 2] == -2).all() and torch.equal(axis[:, [0, 1, 3, 4, 5]], z[:, [0, 1, 3, 4, 5]])


def test_random_directions_are_a_rotation_of_the_active_latents():
    active = np.array([True, False, True, True, False, True])
    directions = random_directions(active, seed=1)
    assert directions.shape == (4, LATENTS)
    assert not directions[:, ~torch.from_numpy(active)].any()
    torch.testing.assert_close(directions @ directions.T, torch.eye(4))
    assert not torch.allclose(directions, random_directions(active, seed=2))
    signs = torch.stack([random_directions(active, seed).diagonal().sign() for seed in range(40)])
    assert (signs.mean(0).abs() < 0.8).all()  # QR alone would fix the signs
    with pytest.raises(LabkitError, match="active"):
        random_directions(np.zeros(3, bool), seed=0)


def test_each_latent_is_named_by_what_it_moves():
    mixing = torch.zeros(LATENTS, 3)
    mixing[0, 0], mixing[1, 1], mixing[3, 2] = 1.0, -1.0, 0.1
    mixing[2] = torch.tensor([1.0, 0.9, 0.0])
    found = judged(mixing, torch.eye(LATENTS))
    table = named_latents(found, NAMES, np.arange(LATENTS) < 5)
    assert list(table["moves"][[0, 1, 3, 5]]) == ["+red", "−green", "+blue", "nothing"]
    assert (table["moves"][2], table["second"][2]) == ("+red", "+green")
    assert table["by"][0] == pytest.approx(4, abs=0.2)  # from −2 to 2, a tenth each, in tenths
    assert list(table["meaning"]) == [True, True, False, False, False, False]  # 2 is mixed, 3 is weak
    assert list(table["active"]) == [True] * 5 + [False]
    assert table.index.name == "latent"


def test_a_rotation_mixes_what_the_axes_keep_apart():
    mixing = torch.cat((torch.eye(3), torch.zeros(3, 3)))
    active = np.arange(LATENTS) < 3
    assert has_meaning(judged(mixing, torch.eye(LATENTS)[:3])).all()
    rotated = [has_meaning(judged(mixing, random_directions(active, seed))).mean() for seed in range(10)]
    assert np.mean(rotated) < 0.7


def test_many_directions_are_read_as_few_are(monkeypatch):
    mixing = torch.randn(LATENTS, 3, generator=torch.Generator().manual_seed(1))
    at_once = read_traversals(colours(mixing), anchors(), torch.eye(LATENTS), read)
    monkeypatch.setattr("labkit.metrics.traversal.READ_AT_ONCE", 2 * ANCHORS)
    in_parts = read_traversals(colours(mixing), anchors(), torch.eye(LATENTS), read)
    assert at_once[0].shape == (LATENTS, ANCHORS, 3)
    for one, other in zip(at_once, in_parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.allclose(at_once[0], at_once[1])


def test_the_summary_weighs_a_direction_by_what_it_moves():
    effect = np.array([[4.0, 1.0, 0.0], [0.0, 2.0, 2.0], [0.01, 0.0, 0.0], [0.0, 0.0, 9.0]])
    found = summarise(Selectivity(effect, np.zeros((4, 3))), np.array([True, True, True, False]))
    assert found["count"] == 3 and found["meaning"] == 1
    assert found["margin"] == pytest.approx((3 + 0 + 0.01) / 6.01)
    assert found["alone"] == pytest.approx(4.01 / 6.01)
    nothing = summarise(Selectivity(np.zeros((2, 3)), np.ones((2, 3))))
    assert nothing == {"count": 2, "meaning": 0, "margin": 0.0, "alone": 0.0}
