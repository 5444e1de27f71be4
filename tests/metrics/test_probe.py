"""A linear probe: sure where a line tells, guessing where nothing tells, and never judging whom it knows."""

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.metrics.probe import probe_auc

rng = np.random.default_rng(0)
PEOPLE = np.repeat(np.arange(60), 5)
N = len(PEOPLE)


def test_what_a_line_tells_is_read_and_noise_is_not():
    wanted = rng.random(N) < 0.4
    noise = rng.normal(size=(N, 8))
    told = noise + 3.0 * wanted[:, None]
    assert probe_auc(told, wanted, PEOPLE) > 0.99
    assert abs(probe_auc(noise, wanted, PEOPLE) - 0.5) < 0.12


def test_auc_is_that_of_one_known_code():
    """A single code with unit noise and means d apart has AUC Φ(d/√2)."""
    wanted = np.arange(4000) % 2 == 0
    code = rng.normal(size=(4000, 1)) + wanted[:, None]
    assert probe_auc(code, wanted, np.arange(4000)) == pytest.approx(0.760, abs=0.03)


def test_knowing_the_people_does_not_help():
    """Codes that name the person perfectly, and labels that belong to persons by chance."""
    codes = np.eye(60)[PEOPLE] + 0.01 * rng.normal(size=(N, 60))
    wanted = rng.permutation(np.arange(60) % 2 == 0)[PEOPLE]
    assert probe_auc(codes, wanted, np.full(N, -1)) > 0.9  # people unknown: each has been seen
    assert probe_auc(codes, wanted, PEOPLE) < 0.7


def test_scale_of_a_code_does_not_matter():
    wanted = rng.random(N) < 0.5
    codes = rng.normal(size=(N, 3)) + wanted[:, None]
    assert probe_auc(codes * [1e-4, 1.0, 1e4], wanted, PEOPLE) == pytest.approx(
        probe_auc(codes, wanted, PEOPLE), abs=1e-3
    )


def test_too_few_of_a_kind_give_nan():
    codes = rng.normal(size=(N, 3))
    assert np.isnan(probe_auc(codes, np.zeros(N, bool), PEOPLE))
    assert np.isnan(probe_auc(codes, PEOPLE < 3, PEOPLE))  # fifteen images, but of three people


def test_lengths_that_differ_are_refused():
    with pytest.raises(LabkitError, match="as many"):
        probe_auc(np.zeros((N, 2)), np.zeros(N - 1, bool), PEOPLE)
