"""Nearest neighbours against the slow, obvious way."""

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.metrics.neighbours import nearest


def test_equals_the_double_loop():
    rng = np.random.default_rng(0)
    images, among = rng.random((7, 4, 5)), rng.random((11, 4, 5))
    index, distance = nearest(images, among)
    slow = np.array([[np.sqrt(np.mean((a - b) ** 2)) for b in among] for a in images])
    np.testing.assert_array_equal(index, slow.argmin(1))
    np.testing.assert_allclose(distance, slow.min(1))


def test_a_copy_is_at_distance_zero():
    among = np.random.default_rng(1).integers(0, 255, (5, 1, 8, 8), np.uint8)
    index, distance = nearest(among[::-1], among)
    assert index.tolist() == [4, 3, 2, 1, 0]
    assert not distance.any()


def test_bad_input_is_refused():
    for images, among in ((np.ones((2, 3)), np.ones((2, 4))), (np.ones((2, 3)), np.ones((0, 3)))):
        with pytest.raises(LabkitError, match="nearest"):
            nearest(images, among)
