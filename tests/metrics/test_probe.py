"""A linear probe: sure where a line tells, guessing where nothing tells, and never judging whom it knows."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from labkit.errors import LabkitError
from labkit.metrics.probe import area_over_people, probe_auc
from labkit.statistics import above, below

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


@pytest.mark.parametrize(("people", "wearers"), [(40, 5), (200, 5), (40, 20)])
def test_an_area_that_is_the_bar_is_seldom_found_beyond_it(people, wearers):
    """Of few who wear glasses little is known, however many wear none."""
    wanted, draw, beyond = np.arange(people) < wearers, np.random.default_rng(1), []
    for _ in range(100):
        scores = draw.normal(size=people) + 0.9539 * wanted  # Φ(0.9539 / √2) = 0.75
        found = area_over_people(scores, wanted, np.arange(people))
        assert found.n == people
        beyond.append(above(found, 0.75).shown or below(found, 0.75).shown)
    assert np.mean(beyond) <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


def test_an_area_by_ranks_is_that_under_the_curve():
    wanted, scores = rng.random(N) < 0.3, rng.integers(0, 5, N).astype(float)  # with ties
    assert area_over_people(scores, wanted, PEOPLE).value == pytest.approx(roc_auc_score(wanted, scores))


def test_an_area_without_a_mistake_is_not_certain():
    wanted = np.arange(20) < 10
    found = area_over_people(np.where(wanted, 1.0, 0.0), wanted, np.full(20, -1))
    assert found.value == 1 and found.error > 0
    assert np.isnan(area_over_people(np.zeros(20), np.zeros(20, bool), np.arange(20)).value)


def test_lengths_that_differ_are_refused():
    with pytest.raises(LabkitError, match="as many"):
        probe_auc(np.zeros((N, 2)), np.zeros(N - 1, bool), PEOPLE)
