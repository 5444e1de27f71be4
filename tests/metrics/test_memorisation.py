"""Memorisation: copies are found, fresh samples are not, and the null distribution is that of shared neighbours."""

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.metrics.memorisation import copying, membership, shrunk


def points(seed, n, features=6):
    return np.random.default_rng(seed).standard_normal((n, features))


def test_copies_are_found_and_fresh_samples_are_not():
    training, held_out = points(0, 60), points(1, 60)
    copies = training[:40] + 0.01 * points(2, 40)
    found = copying(copies, training, held_out)
    assert found.share == 1 and found.excess == 0.5 and found.p < 0.01
    assert found.to_training < 0.05 < found.to_held_out
    assert (found.samples, found.images) == (40, 60)
    of_others = copying(held_out[:40] + 0.01, training, held_out)
    assert of_others.share == 0 and of_others.p > 0.99


def test_share_is_that_of_the_double_loop():
    samples, training, held_out = points(3, 15), points(4, 20), points(5, 20)
    nearer = [
        min(np.linalg.norm(s - t) for t in training) < min(np.linalg.norm(s - h) for h in held_out) for s in samples
    ]
    assert copying(samples, training, held_out).share == pytest.approx(np.mean(nearer))


def test_of_one_population_a_small_p_is_as_rare_as_it_says():
    values = [copying(points(3 * i, 50), points(3 * i + 1, 40), points(3 * i + 2, 40), 200).p for i in range(100)]
    assert 0.005 < np.mean(np.array(values) <= 0.1) < 0.2
    assert 0.4 < np.mean(np.array(values) <= 0.5) < 0.65


def test_samples_that_share_one_neighbour_count_as_one():
    training, held_out = points(6, 30), points(7, 30)
    crowd = np.repeat(training[:1], 50, 0)
    found = copying(crowd, training, held_out)
    assert found.share == pytest.approx(1)
    assert found.null_std == pytest.approx(0.5, abs=0.02)  # a binomial count would have 0.07
    assert found.p == pytest.approx(0.5, abs=0.05)


def test_an_image_on_both_sides_counts_half():
    same = points(8, 10)
    assert copying(same, same, same).share == pytest.approx(0.5)


def test_membership_is_the_share_of_pairs_in_order():
    training, held_out = points(9, 30, 1).ravel() + 0.5, points(10, 20, 1).ravel()
    pairs = [(a > b) + 0.5 * (a == b) for a in training for b in held_out]
    assert membership(training, held_out) == pytest.approx(np.mean(pairs))
    assert membership([2.0, 3.0], [1.0, 0.0]) == 1


def test_shrunk_is_the_mean_of_blocks():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)
    small = shrunk(images, 2)
    assert small.shape == (2, 3, 2, 2)
    assert small[1, 2, 0, 1] == pytest.approx(images[1, 2, :4, 4:].mean())
    assert shrunk(images[:, :, :, :4], 2).shape == (2, 3, 2, 1)


def test_bad_input_is_refused():
    with pytest.raises(LabkitError, match="as many"):
        copying(points(0, 5), points(1, 6), points(2, 7))
    with pytest.raises(LabkitError, match="at least one sample"):
        copying(points(0, 0), points(1, 6), points(2, 6))
    with pytest.raises(LabkitError, match="finite"):
        membership([np.nan], [1.0])
    with pytest.raises(LabkitError, match="height of 5"):
        shrunk(np.zeros((1, 3, 8, 8), np.uint8), 5)
