"""Readers of drawn faces and of photographs: they keep what they read, and the control moves one thing at a time."""

import numpy as np
import pytest

from labkit.drawn import synthetic_celeba
from labkit.errors import LabkitError
from labkit.faces import TEST
from labkit.metrics.feature_reader import (
    FeatureReader,
    agreement,
    attribute_reader,
    oracle_reader,
    true_moves,
)


@pytest.fixture(scope="module")
def faces():
    return synthetic_celeba(300, cache=False)


@pytest.fixture(scope="module")
def oracle(faces):
    return oracle_reader(faces)


def test_agreement_is_the_squared_correlation():
    generator = np.random.default_rng(0)
    one = generator.normal(size=(50, 3))
    other = np.stack((2 - 3 * one[:, 0], generator.normal(size=50), np.ones(50)), 1)
    expected = [1.0, np.corrcoef(one[:, 1], other[:, 1])[0, 1] ** 2, 0.0]
    np.testing.assert_allclose(agreement(one, other), expected, atol=1e-12)


def test_the_oracle_keeps_what_it_reads(faces, oracle):
    assert {"yaw", "bangs", "hair_colour", "hair_volume", "face_width"} <= set(oracle.names)
    assert not {"nose_point", "beard_cover"} & set(oracle.names)
    read = oracle.read(faces.images[:40])
    assert read.shape == (40, len(oracle.names))
    truth = faces.factors[:40, faces.factor_names.index("yaw")]
    assert np.corrcoef(read[:, oracle.names.index("yaw")], truth)[0, 1] > 0.95
    seen = oracle.sees(faces.images)
    glasses = oracle.attributes.index("Eyeglasses")
    assert (seen[:, glasses] == faces.attributes[:, glasses]).mean() > 0.98


@pytest.mark.parametrize(("count", "names"), [(1, "c"), (2, "bc"), (3, "abcd")])
def test_a_reader_keeps_at_least_so_many_and_the_best(count, names):
    quality = np.array([0.1, 0.6, 0.8, 0.1])
    reader = FeatureReader(lambda images: images, tuple("abcd"), quality, 0.7, lambda images: images > 0, ())
    assert "".join(reader.at_least(count).names) == names and reader.names == ["c"]
    np.testing.assert_array_equal(reader.at_least(2).read(np.arange(8).reshape(2, 4)), [[1, 2], [5, 6]])


def test_moving_one_factor_is_read_as_that_factor(faces, oracle):
    found = true_moves(oracle, faces.factors, 6)
    assert found.effect.shape == (len(oracle.names), len(oracle.names))
    for name in ("yaw", "skin_tone", "glasses", "background_light", "hair_volume"):
        row = oracle.names.index(name)
        assert found.top[row] == row and found.effect[row, row] > 1, name


def test_photographs_are_not_read_by_the_oracle(faces):
    unknown = faces.subset(np.arange(20))
    object.__setattr__(unknown, "factors", None)
    with pytest.raises(LabkitError, match="attribute_reader"):
        oracle_reader(unknown)


def test_a_classifier_is_measured_on_other_people(faces, monkeypatch):
    trained = {}

    def batches(some, names, **options):
        trained["people"] = {int(i) for i in some.identity[some.split == 0]}
        trained["measured"] = {int(i) for i in some.identity[some.split == 1]}
        trained["judged"] = {int(i) for i in some.identity[some.split == TEST]}

    monkeypatch.setattr("labkit.metrics.feature_reader.classifier.batches", batches)
    monkeypatch.setattr("labkit.metrics.feature_reader.fit", lambda *_, **__: None)
    reader = attribute_reader(faces, width=4, epochs=1)
    parts = list(trained.values())  # whoever says when to stop must not judge
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == len(set(faces.identity))
    assert reader.all_names == faces.attribute_names == reader.attributes
    assert reader.quality.shape == (len(faces.attribute_names),) and (reader.quality <= 1).all()
    logits = reader.read_all(faces.images[:5])
    assert np.isfinite(logits).all()
    people = faces.identity % 8 == 7
    images, labels = faces.images[people], faces.attributes[people]
    np.testing.assert_allclose(reader.sees(images).mean(0), labels.mean(0), atol=1.5 / len(labels))
