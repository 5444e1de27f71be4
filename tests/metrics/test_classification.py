"""Classification measures: on cases whose answer is known, and against scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from labkit.errors import LabkitError
from labkit.metrics.classification import (
    _average_precision,
    attribute_report,
    balanced_accuracy,
    by_group,
    guessed_precision,
    learnt,
    precision_gain,
)

RNG = np.random.default_rng(0)
LABELS = RNG.random((300, 4)) < [0.5, 0.1, 0.3, 0.02]
SCORES = np.clip(0.5 + 0.3 * (LABELS - 0.5) + 0.25 * RNG.normal(size=LABELS.shape), 0, 1)
NAMES = ("a", "b", "c", "d")
PREVALENCE = np.array([0.5, 0.1, 0.3, 0.02])


def report(labels=LABELS, scores=SCORES, **options):
    options = {"prevalence": PREVALENCE, "people": np.arange(len(labels))} | options
    return attribute_report(labels, scores, NAMES, **options)


def test_each_measure_agrees_with_scikit_learn():
    table = report()
    for i, name in enumerate(NAMES):
        row, told = table.loc[name], SCORES[:, i] > 0.5
        assert row.accuracy == (told == LABELS[:, i]).mean()
        assert row.balanced_accuracy == pytest.approx(balanced_accuracy_score(LABELS[:, i], told))
        assert row.average_precision == pytest.approx(average_precision_score(LABELS[:, i], SCORES[:, i]))
        assert row.positives == LABELS[:, i].sum() and row.images == 300
        assert row.chance == guessed_precision(LABELS[:, i].sum(), len(LABELS))


def test_majority_is_that_of_training_not_of_the_test():
    labels = np.zeros((10, 4), bool)
    labels[:8, 0] = True
    table = report(labels, np.full((10, 4), 0.2), prevalence=np.array([0.4, 0.6, 0.1, 0.1]))
    assert table.majority.tolist() == [pytest.approx(0.2), 0.0, 1.0, 1.0]


def test_what_cannot_be_measured_is_nan_and_nothing_crashes():
    labels = LABELS.copy()
    labels[:, 1], labels[:, 2] = False, True
    table = report(labels)
    unmeasured = table.loc[["b", "c"], ["balanced_accuracy", "average_precision"]]
    assert unmeasured.isna().all(axis=None) and table.accuracy.notna().all()
    assert list(learnt(table).index) == ["a", "d"]


def test_no_images_or_shapes_that_do_not_fit_are_refused():
    with pytest.raises(LabkitError, match="no image"):
        report(LABELS[:0], SCORES[:0])
    with pytest.raises(LabkitError, match="do not fit"):
        report(LABELS, SCORES[:5])
    with pytest.raises(LabkitError, match="5 people do not fit"):
        report(people=np.arange(5))


def test_a_guess_is_not_called_learnt_and_knowledge_is():
    assert learnt(report())[["a", "b", "c"]].all()
    guesses = [learnt(report(scores=np.random.default_rng(s).random(LABELS.shape))).sum() for s in range(20)]
    assert np.mean(guesses) / 4 < 0.15


@pytest.mark.parametrize("shots", [1, 5])
def test_errors_are_about_the_spread_over_repeated_tests(shots):
    """Accuracy, balanced accuracy and average precision of fresh tests; all shots of a person look alike."""
    generator, found = np.random.default_rng(1), []
    for _ in range(150):
        labels = generator.random((150, 1)) < 0.3
        scores = 0.5 + 0.3 * (labels - 0.5) + 0.25 * generator.normal(size=labels.shape)
        labels, scores, people = (np.repeat(each, shots, axis=0) for each in (labels, scores, np.arange(150)))
        found.append(attribute_report(labels, scores, ("a",), prevalence=np.array([0.3]), people=people).iloc[0])
    for value, error in (
        ("accuracy", "accuracy_error"),
        ("balanced_accuracy", "balanced_error"),
        ("average_precision", "precision_error"),
    ):
        spread = np.std([row[value] for row in found])
        assert np.mean([row[error] for row in found]) == pytest.approx(spread, rel=0.2)


def test_what_ten_shots_of_one_person_show_is_not_learnt():
    """Glasses that one person wears, told on each of the ten shots: the unit is people."""
    labels, people = np.zeros((300, 4), bool), np.arange(300) // 10
    labels[:10, 0] = labels[:150, 1] = True
    table = report(labels, labels + 0.0, people=people)
    assert table.average_precision[["a", "b"]].tolist() == [1.0, 1.0]
    assert table.people[["a", "b"]].tolist() == [1, 15] and table.precision_error["b"] > 0
    assert learnt(table).to_dict() == {"a": False, "b": True}


@pytest.mark.parametrize("shots", [1, 5])
def test_the_error_of_a_gain_is_its_spread_over_repeated_tests(shots):
    generator, found = np.random.default_rng(5), []
    for _ in range(100):
        labels = generator.random((100, 3)) < 0.4
        one, other = (0.4 * labels + size * generator.normal(size=labels.shape) for size in (0.3, 0.4))
        labels, one, other, people = (np.repeat(each, shots, axis=0) for each in (labels, one, other, np.arange(100)))
        found.append(precision_gain(labels, one, other, people))
    assert np.mean([each.error for each in found]) == pytest.approx(np.std([each.value for each in found]), rel=0.3)
    assert {(each.n, each.unit) for each in found} == {(100, "people")}
    one, other = (np.mean([average_precision_score(*pair) for pair in zip(labels.T, s.T)]) for s in (one, other))
    assert found[-1].value == pytest.approx(one - other)


def test_balanced_accuracy_is_blind_to_how_many_there_are():
    labels, told = np.repeat([True, False], [10, 90]), np.repeat([True, False, True, False], [9, 1, 18, 72])
    value, _ = balanced_accuracy(labels, told)
    assert value == pytest.approx(0.85)
    again, _ = balanced_accuracy(np.tile(labels, 3)[:210], np.tile(told, 3)[:210])
    assert again == pytest.approx(0.85)
    assert np.isnan(balanced_accuracy(np.zeros(5, bool), np.zeros(5, bool))).all()


def test_groups_are_measured_apart_on_the_attributes_that_all_have():
    generator = np.random.default_rng(2)
    groups, people = np.repeat(["x", "y"], 400), np.arange(800) // 10
    labels = generator.random((800, 3)) < [0.4, 0.5, 0.0]
    wrong = generator.random((800, 3)) < np.where(groups == "x", 0.1, 0.3)[:, None]
    table = by_group(labels, labels ^ wrong, groups, people)
    assert table.balanced_accuracy["x"] == pytest.approx(0.9, abs=0.03)
    assert table.balanced_accuracy["y"] == pytest.approx(0.7, abs=0.04)
    assert table.attributes.tolist() == [2, 2] and table.people.tolist() == [40, 40]
    first = [balanced_accuracy_score(labels[:400, i], (labels ^ wrong)[:400, i]) for i in (0, 1)]
    assert table.balanced_accuracy["x"] == pytest.approx(np.mean(first))
    with pytest.raises(LabkitError, match="no attribute"):
        by_group(labels[:, 2:], labels[:, 2:], groups, people)


def test_error_of_a_group_knows_that_shots_of_a_person_are_alike():
    """All shots of a person are told right, or all wrong: ten times as many images say no more."""
    generator = np.random.default_rng(3)
    labels = np.stack([np.arange(600) % 2 == 0], 1)
    wrong = np.repeat(generator.random(60) < 0.3, 10)[:, None]
    table = by_group(labels, labels ^ wrong, np.full(600, "x"), np.arange(600) // 10)
    assert table.error["x"] == pytest.approx(np.sqrt(0.3 * 0.7 / 60), rel=0.3)


def test_resampled_average_precision_is_scikit_learns_with_weights():
    labels, scores = LABELS[:, 0], SCORES[:, 0].round(1)  # with many equal scores
    draws = np.random.default_rng(4).multinomial(300, np.full(300, 1 / 300), 20)
    _, values = _average_precision(labels, scores, draws)
    slow = [average_precision_score(labels, scores, sample_weight=draw) for draw in draws]
    assert values == pytest.approx(slow)


@pytest.mark.parametrize(("positives", "images"), [(1, 1), (1, 7), (2, 5), (3, 6), (2, 8)])
def test_a_guess_reaches_what_all_orders_reach_on_average(positives, images):
    orders = [np.isin(np.arange(images), chosen) for chosen in itertools.combinations(range(images), positives)]
    scores = -np.arange(images, dtype=float)
    mean = np.mean([average_precision_score(order, scores) for order in orders])
    assert guessed_precision(positives, images) == pytest.approx(mean, abs=1e-12)


def test_a_rare_attribute_is_guessed_better_than_its_share():
    assert guessed_precision(2, 100) == pytest.approx(0.0614, abs=2e-4)
    assert guessed_precision(50_000, 100_000) == pytest.approx(0.5, abs=1e-4)
    assert np.isnan(guessed_precision(0, 0))
