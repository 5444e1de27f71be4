"""Fitting classifiers: unknown rows never count, augmentation resumes exactly, a head learns on frozen features."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labkit.classifier import training as classifier
from labkit.classifier.augment import StrongAugmentation
from labkit.classifier.nets import ResNet18
from labkit.classifier.training import (
    attribute_loss,
    batches,
    held_out,
    labelled,
    predict_logits,
    trunk_features,
    update,
)
from labkit.errors import LabkitError
from labkit.faces import TEST, TRAIN, VALIDATION, FaceSet, Provenance, ResidentBatches
from labkit.fit import fit

NAMES = ("Bright", "Red")


@pytest.fixture(scope="module")
def faces():
    """Images whose first attribute is their brightness and whose second is their redness; a third are unlabelled."""
    generator = np.random.default_rng(0)
    bright, red = generator.random((2, 90)) < 0.5
    images = generator.integers(0, 60, (90, 3, 32, 32), dtype=np.uint8) + 90 * bright[:, None, None, None]
    images[:, 0] += (80 * red[:, None, None]).astype(np.uint8)
    return FaceSet(
        images.astype(np.uint8),
        Provenance("squares", False, "made up"),
        split=np.repeat([TRAIN, VALIDATION, TEST], [60, 15, 15]).astype(np.int8),
        attributes=np.stack([bright, red], 1),
        attribute_names=NAMES,
        attributes_known=np.arange(90) % 3 > 0,
    )


def trained(faces, *, epochs=2, batch_size=16, augment=False, model=None, **options):
    torch.manual_seed(0)
    model = model or ResNet18(2, width=8)
    step = update(model, rate=3e-3, epochs=epochs, augment=augment)
    pairs = batches(faces, NAMES, batch_size=batch_size)
    return fit(model, step, pairs, epochs=epochs, validate=held_out(faces, NAMES), progress=False, **options)


def test_labelled_gives_the_rows_and_columns_asked_for(faces):
    images, labels = labelled(faces, TRAIN, ("Red",))
    rows = [i for i in range(60) if i % 3]
    assert np.array_equal(images, faces.images[rows])
    assert np.array_equal(labels[:, 0], faces.attributes[rows, 1])
    with pytest.raises(LabkitError, match="'Blue'"):
        labelled(faces, TRAIN, ("Blue",))


def test_rows_with_unknown_attributes_never_count(faces):
    other = faces.attributes.copy()
    other[~faces.attributes_known] = ~other[~faces.attributes_known]
    pixels = faces.images.copy()
    pixels[~faces.attributes_known] = 255
    first, second = trained(faces), trained(replace(faces, attributes=other, images=pixels))
    assert first.history.loss.tolist() == second.history.loss.tolist()
    assert first.history.validation.tolist() == second.history.validation.tolist()
    for a, b in zip(first.model.parameters(), second.model.parameters()):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("batch_size", "sizes"), [(13, [13] * 3), (16, [16, 16, 8]), (39, [39]), (64, [40])])
def test_a_last_image_alone_is_left_out(faces, batch_size, sizes):
    assert len(labelled(faces, TRAIN, NAMES)[0]) == 40
    model, seen = ResNet18(2, width=8), []
    model.register_forward_pre_hook(lambda model, images: seen.append(len(images[0])) if model.training else None)
    trained(faces, epochs=1, batch_size=batch_size, model=model)
    assert seen == sizes


def test_it_learns_what_can_be_learnt(faces):
    result = trained(faces, epochs=12)
    images, labels = labelled(faces, TEST, NAMES)
    assert ((predict_logits(result.model, images) > 0).numpy() == labels).mean() > 0.9


def test_loss_is_the_mean_cross_entropy_and_the_auxiliary_head_counts_two_fifths():
    logits, other, labels = torch.randn(5, 2), torch.randn(5, 2), torch.tensor([[0.0, 1.0]] * 5)
    mean = -(labels * F.logsigmoid(logits) + (1 - labels) * F.logsigmoid(-logits)).mean()
    assert torch.allclose(attribute_loss(logits, labels), mean)
    both = attribute_loss((logits, other), labels)
    assert torch.allclose(both, mean + 0.4 * attribute_loss(other, labels))


def test_an_augmented_run_resumes_to_the_same_bits(faces, tmp_path):
    whole = trained(faces, augment=True, epochs=3)
    before = torch.random.get_rng_state()
    with pytest.MonkeyPatch.context() as patch:
        calls, real = [], classifier.attribute_loss

        def stop_midway(logits, labels):
            calls.append(1)
            if len(calls) == 8:
                raise KeyboardInterrupt
            return real(logits, labels)

        patch.setattr(classifier, "attribute_loss", stop_midway)
        with pytest.raises(KeyboardInterrupt):
            trained(faces, augment=True, epochs=3, run_dir=tmp_path / "run", checkpoint_seconds=0.0)
    resumed = trained(faces, augment=True, epochs=3, run_dir=tmp_path / "run")
    for a, b in zip(whole.model.parameters(), resumed.model.parameters()):
        assert torch.equal(a, b)
    assert torch.equal(before, torch.random.get_rng_state())


def test_no_label_to_learn_from_is_said(faces):
    with pytest.raises(LabkitError, match="no training image"):
        trained(replace(faces, attributes_known=np.zeros(90, bool)))
    with pytest.raises(LabkitError, match="watch needs validate"):
        trained(replace(faces, split=np.full(90, TRAIN, np.int8)), watch="validation")
    assert "validation" not in trained(replace(faces, split=np.full(90, TRAIN, np.int8))).history


def test_stopping_keeps_the_best_epoch(faces):
    result = trained(faces, epochs=4, watch="validation")
    assert result.best_epoch == result.history.validation.idxmin() + 1


def test_augmentation_keeps_shape_and_range_and_draws_from_torchs_generator():
    images = torch.rand(10, 3, 32, 32)
    torch.manual_seed(1)
    first = StrongAugmentation()(images)
    assert first.shape == images.shape and first.min() >= 0 and first.max() <= 1
    second = StrongAugmentation()(images)
    torch.manual_seed(1)
    assert torch.equal(StrongAugmentation()(images), first)
    assert (second - first).abs().mean() > 0.01
    same = StrongAugmentation()(images[:1].expand(8, -1, -1, -1))
    assert torch.equal(same[0], same[3]) and not torch.equal(same[0], same[4])


def test_augmentation_is_the_same_where_a_training_computes_in_bf16():
    images = torch.rand(8, 3, 32, 32)
    torch.manual_seed(1)
    expected = StrongAugmentation()(images)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(StrongAugmentation()(images), expected)


class Trunk(nn.Module):
    """Features: the mean of each channel."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def features(self, images):
        return images.mean((2, 3))


def test_a_head_learns_on_frozen_features(faces):
    torch.manual_seed(0)
    model = Trunk()
    images, labels = labelled(faces, TRAIN, NAMES)
    features = trunk_features(model, images)
    assert torch.allclose(features, torch.tensor(images).float().mean((2, 3)) / 255)
    before = torch.random.get_rng_state()
    views = trunk_features(model, images, views=2, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert views.shape == (2 * len(images), 3) and not torch.allclose(views[: len(images)], features, atol=1e-3)
    assert torch.equal(views, trunk_features(model, images, views=2, seed=3))
    assert not torch.equal(views, trunk_features(model, images, views=2, seed=4))
    pairs = ResidentBatches(features, labels=labels, batch_size=64)
    fit(model.head, update(model.head, rate=3e-2), pairs, epochs=200, progress=False)
    with torch.no_grad():
        assert ((model.head(features) > 0).numpy() == labels).mean() > 0.9
