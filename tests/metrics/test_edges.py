"""At the edges (equal values, one row, huge and tiny scales, NaN) a metric gives what it says, or a sentence."""

import numpy as np
import pytest
import torch

from labkit.errors import LabkitError
from labkit.metrics import imbalance
from labkit.metrics.baselines import baseline_nll
from labkit.metrics.classification import (
    attribute_report,
    balanced_accuracy,
    by_group,
    guessed_precision,
    precision_gain,
)
from labkit.metrics.disentanglement import code_table, dci, factor_vae_score, higgins_score, mig, sap
from labkit.metrics.feature_reader import agreement
from labkit.metrics.interpolation import path_shape, spherical, typical_difference
from labkit.metrics.likelihood import shares
from labkit.metrics.manifold import manifold_score
from labkit.metrics.memorisation import copying
from labkit.metrics.neighbours import nearest
from labkit.metrics.probe import probe_auc
from labkit.metrics.scaling import in_unit
from labkit.metrics.vector_arithmetic import Pool

rng = np.random.default_rng(0)
ROWS = rng.normal(size=(30, 3))
FACTORS = rng.integers(0, 4, (400, 3)).astype(float)
LABELS = rng.random((30, 2)) < 0.4
BELONGS, PEOPLE = np.arange(30) < 9, np.arange(30)
NAN = np.full((30, 3), np.nan)
OF = {"prevalence": [0.4, 0.4], "people": PEOPLE}
MEASURES = (higgins_score, factor_vae_score, mig, sap, dci)
REFUSED = {
    "scores that are NaN": lambda: attribute_report(LABELS, NAN[:, :2], ["a", "b"], **OF),
    "labels of −1 and 1": lambda: attribute_report(2.0 * LABELS - 1, ROWS[:, :2], ["a", "b"], **OF),
    "labels that are NaN": lambda: balanced_accuracy(np.array([1.0, np.nan]), np.array([True, False])),
    "gain of labels of −1 and 1": lambda: precision_gain(
        2 * LABELS.astype(int) - 1, ROWS[:, :2], ROWS[:, :2], PEOPLE
    ),
    "gain of NaN": lambda: precision_gain(LABELS, NAN[:, :2], ROWS[:, :2], PEOPLE),
    "gain of other rows": lambda: precision_gain(LABELS, ROWS[:-1, :2], ROWS[:, :2], PEOPLE),
    "gain of few people": lambda: precision_gain(LABELS, ROWS[:, :2], ROWS[:, :2], PEOPLE[:3]),
    "told −1": lambda: by_group(LABELS, 2 * LABELS - 1, np.full(len(LABELS), "x"), PEOPLE),
    "no images": lambda: by_group(LABELS[:0], LABELS[:0], np.array([]), np.array([])),
    "a count that is NaN": lambda: imbalance.wilson(np.nan, 10),
    "an infinite total": lambda: imbalance.wilson(1, np.inf),
    "another number of people": lambda: imbalance.amplification(BELONGS, BELONGS, PEOPLE[:7]),
    "a range beyond all numbers": lambda: imbalance.distribution(np.array([1e308, -1e308]), np.zeros(1)),
    "values too near for bins": lambda: imbalance.distribution(np.full(5, 1e20), np.full(4, 1e20)),
    "features without a column": lambda: manifold_score(ROWS[:, :0], ROWS[:, :0]),
    "images that are NaN": lambda: nearest(NAN, ROWS),
    "samples that are NaN": lambda: copying(NAN, ROWS[:15], ROWS[15:]),
    "codes that are NaN": lambda: probe_auc(NAN, BELONGS, PEOPLE),
    "codes without a column": lambda: probe_auc(ROWS[:, 0], BELONGS, PEOPLE),
    "a feature that never varies": lambda: baseline_nll(*3 * [np.c_[ROWS, np.ones(30)]]),
    "too few rows": lambda: baseline_nll(ROWS[:5], ROWS, ROWS),
    "features that are NaN": lambda: baseline_nll(ROWS, ROWS, NAN),
    "no latents": lambda: code_table(FACTORS[:, :0], FACTORS),
    "a path that is NaN": lambda: path_shape(NAN),
    "a path without end": lambda: path_shape(np.array([[0.0, 1.0], [np.inf, 2.0]])),
    "differences of NaN": lambda: typical_difference(NAN),
    "no log-probabilities": lambda: shares(np.array([])),
    "readings that are NaN": lambda: Pool(torch.zeros(30, 4), NAN, ("a", "b", "c")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_answer_is_refused_in_a_sentence(name):
    with pytest.raises(LabkitError):
        REFUSED[name]()


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1e307])
def test_no_metric_of_disentanglement_minds_the_scale(scale):
    expected = [measure(code_table(FACTORS, FACTORS)).score for measure in MEASURES]
    for codes, factors in ((FACTORS * scale, FACTORS), (FACTORS, FACTORS * scale), (FACTORS, 5 + 1e-9 * FACTORS)):
        assert [measure(code_table(codes, factors)).score for measure in MEASURES] == pytest.approx(
            expected, abs=0.02
        )


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1e307])
def test_neither_probe_nor_agreement_minds_the_scale(scale):
    people, codes = np.arange(60), rng.random((60, 2))
    codes[:, 0] += people % 2
    assert probe_auc(codes * scale, people % 2 == 1, people) == probe_auc(in_unit(codes), people % 2 == 1, people)
    np.testing.assert_allclose(agreement(ROWS * scale, ROWS), 1)


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1 / 3])
def test_what_never_varies_agrees_with_nothing(value):
    for rows in (7, 20, 37):
        same = np.full((rows, 1), value)
        assert agreement(same, 2 * same) == 0 == agreement(same, rng.random((rows, 1)))


@pytest.mark.parametrize("away", [1e4, 1e7, 1e8])
def test_the_nearest_is_found_far_from_zero(away):
    images, among = rng.normal(size=(20, 4)), rng.normal(size=(40, 4))
    np.testing.assert_array_equal(nearest(images + away, among + away)[0], nearest(images, among)[0])
    assert len(nearest(images[:0], among)[0]) == 0


def test_an_order_without_a_positive_has_no_precision():
    assert np.isnan(guessed_precision(0, 10)) and guessed_precision(1, 1) == 1
    report = attribute_report(LABELS & False, ROWS[:, :2], ["a", "b"], **OF)
    assert report[["average_precision", "chance"]].isna().all(None)


def test_from_the_origin_a_path_is_straight():
    end = torch.tensor([3.0, -1.0])
    for path in (spherical(0 * end, end, 4), spherical(end, 0 * end, 4).flip(0)):
        torch.testing.assert_close(path, torch.linspace(0, 1, 4)[:, None] * end)
