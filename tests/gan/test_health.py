"""The health monitor: collapses are recognised and named, healthy runs left alone, and rollback is exact."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit import every, fit
from labkit.gan.health import HealthMonitor, HealthRule, roll_back, saturation, spread, take_snapshot
from labkit.gan.training import updates as gan_updates

_spec = importlib.util.spec_from_file_location("gan_pictures", Path(__file__).with_name("gan_pictures.py"))
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
pictures, small = _module.pictures, _module.small

IMAGES = pictures(96)
STOP = HealthRule(action="stop")


def train(rule=STOP, *, seed=0, epochs=8, model=None, rate=3e-3, rates=(None, None), monitor=None, **options):
    model = small(seed) if model is None else model
    updates = gan_updates(model, rate=rate)
    for update, own in zip(updates, rates):
        if own is not None:
            update.optimizer.param_groups[0]["lr"] = own
    batches = ResidentBatches(IMAGES, batch_size=16, seed=seed, normalise="symmetric")
    monitor = monitor or HealthMonitor(rule, model, IMAGES)
    return fit(model, updates, batches, epochs=epochs, monitor=monitor, seed=seed, progress=False, **options)


def said(result):
    return [text for texts in result.kept.get("health", {}).values() for text in texts]


def poison(epoch, times=1, value=0.0):
    """A callback that breaks the generator after that epoch, for good, the first so many times."""
    left = [times]

    def break_it(model, now):
        if now == epoch and left[0]:
            left[0] -= 1
            for parameter in model.generator.parameters():
                parameter.fill_(value)

    return every(1, break_it)


def test_healthy_runs_are_never_flagged():
    for seed in range(10):
        result = train(seed=seed, epochs=12)
        assert not said(result) and len(result.history) == 12 and result.stopped == "finished"
        assert result.history.diversity.iloc[-1] > 0.3  # they are healthy indeed


@pytest.mark.parametrize("seed", range(2))
def test_a_rate_of_a_tenth_is_flagged(seed):
    result = train(rate=0.1, seed=seed, epochs=15)
    assert len(result.history) < 15 and result.stopped == "early"
    assert "of its samples' pixels are at ±1 (1% in data); stopped." in said(result)[-1]


def test_a_generator_that_is_a_constant_is_flagged():
    model = small()
    for parameter in model.generator.parameters():
        parameter.data.zero_()
    result = train(model=model, rates=(None, 1e-12))
    assert len(result.history) == 6 and len(said(result)) == 1
    assert said(result)[0] == (
        "collapsed by epoch 6: its samples hardly differ (diversity 0.000 of that of real images, 0.1 is the least); "
        "stopped."
    )


def test_a_discriminator_that_is_far_stronger_is_flagged():
    result = train(rates=(2e-2, 1e-5))
    assert len(result.history) == 6 and "collapsed by epoch 6: the discriminator has won (D(x) = " in said(result)[0]


def test_the_first_epochs_and_a_single_bad_one_do_not_count():
    result = train(rates=(2e-2, 1e-5), epochs=5)
    assert not said(result) and result.stopped == "finished"
    later = train(HealthRule(action="stop", patience=5), rates=(2e-2, 1e-5), epochs=9)
    assert len(later.history) == 8


def row(**changes):
    fine = {"d_real": 0.7, "d_fake": 0.3, "generator_gradient": 1.0, "diversity": 0.8, "pixels_saturated": 0.1}
    return fine | changes


@pytest.mark.parametrize(
    "change, name",
    [
        ({"diversity": 0.09}, "diversity"),
        ({"diversity": math.nan}, "diversity"),
        ({"pixels_saturated": 0.31}, "saturation"),
        ({"generator_gradient": 9e-5}, "gradient"),
        ({"d_real": 0.995, "d_fake": 0.005}, "won"),
    ],
)
def test_each_symptom_is_recognised_on_its_own(change, name):
    before = row()
    assert not STOP.symptoms([before, row()], 0.05, 4)
    assert list(STOP.symptoms([before, row(**change)], 0.05, 0)) == [name]


def test_what_is_not_a_symptom():
    assert not STOP.symptoms([row(diversity=0.02), row(diversity=0.03)], 0.0, 0)  # still rising
    assert STOP.symptoms([row(diversity=0.03), row(diversity=0.0301)], 0.0, 0)
    assert STOP.symptoms([row(diversity=1e-9), row(diversity=1e-8)], 0.0, 0)  # rounding
    assert not STOP.symptoms([row(d_real=0.999, d_fake=0.02)], 0.0, 0)
    assert not STOP.symptoms([row(pixels_saturated=0.9)], 0.8, 0)  # so are the data
    assert list(STOP.symptoms([row()], 0.0, 5)) == ["non-finite"]


def test_a_rollback_is_bit_for_bit(same):
    """Two epochs done twice leave no trace: weights, moments, generators, books and history."""
    kept = {}

    def there_and_back(run, row):
        kept["last"] = run
        if run.epoch == 2 and "snapshot" not in kept:
            kept["snapshot"] = take_snapshot(run)
        elif run.epoch == 4 and "back" not in kept:
            kept["back"] = True
            roll_back(run, kept["snapshot"])
            assert same(take_snapshot(run) | {"seconds": 0}, kept["snapshot"] | {"seconds": 0})

    whole = train(monitor=lambda run, row: kept.update(plain=run), epochs=5)
    bent = train(monitor=there_and_back, epochs=5)
    assert kept["back"]
    assert same(whole.model.state_dict(), bent.model.state_dict())
    assert same(whole.history.to_dict("list"), bent.history.to_dict("list"))
    for a, b in zip(kept["plain"].steps, kept["last"].steps):
        assert same(a.update.optimizer.state_dict(), b.update.optimizer.state_dict())


@pytest.mark.parametrize("value", [0.0, math.inf])
def test_a_collapsed_run_goes_back_and_on_at_a_lower_rate(value):
    result = train(HealthRule(), epochs=9, callbacks=[poison(5, value=value)])
    assert result.history.epoch.tolist() == list(range(1, 10)) and result.stopped == "finished"
    assert result.history.lr_generator.tolist() == [3e-3] * 4 + [1.5e-3] * 5
    assert result.history.lr_discriminator.tolist() == [3e-3] * 4 + [1.5e-3] * 5
    assert len(said(result)) == 1 and said(result)[0].endswith("; back to epoch 4 with its rates × 0.5.")
    assert ("not finite" in said(result)[0]) == (value == math.inf)
    assert result.history.diversity.iloc[-1] > 0.1
    assert all(torch.isfinite(p).all() for p in result.model.parameters())


def test_it_is_stopped_after_three_rollbacks_each_slower():
    result = train(HealthRule(), epochs=20, callbacks=[poison(5, times=99)])
    assert result.stopped == "early"
    ends = [text.split("; ")[-1] for text in said(result)]
    assert ends == [
        "back to epoch 4 with its rates × 0.5.",
        "back to epoch 4 with its rates × 0.25.",
        "back to epoch 4 with its rates × 0.125.",
        "stopped after 3 rollbacks.",
    ]


def test_without_a_healthy_epoch_it_stops_and_with_watch_it_goes_on():
    constant = {"rates": (None, 1e-12), "callbacks": [poison(1, value=0.0)]}
    result = train(HealthRule(), epochs=20, **constant)
    assert said(result)[0].endswith("; stopped, as no epoch was healthy.") and result.stopped == "early"
    result = train(HealthRule(action="watch"), epochs=8, **constant | {"callbacks": [poison(1)]})
    assert len(result.history) == 8 and sorted(result.kept["health"]) == [6, 7, 8]
    assert len(set(said(result))) == 1 and said(result)[0].endswith("; going on.")


def test_it_resumes_exactly_between_collapse_and_rollback(tmp_path, same):
    whole = train(HealthRule(), epochs=8, callbacks=[poison(3)])
    once = poison(3)
    parts = train(HealthRule(), epochs=4, callbacks=[once], run_dir=tmp_path)
    assert not said(parts) and parts.history.diversity.iloc[-1] < 1e-6
    parts = train(HealthRule(), epochs=8, callbacks=[once], run_dir=tmp_path)
    assert len(said(parts)) == 1
    assert same(whole.model.state_dict(), parts.model.state_dict())
    assert same(whole.history.to_dict("list"), parts.history.to_dict("list"))
    assert same(whole.kept["health"], parts.kept["health"])


def test_watching_does_not_move_training(same):
    watched = train(HealthRule(), epochs=3)
    free = train(monitor=lambda run, row: None, epochs=3)
    assert same(watched.model.state_dict(), free.model.state_dict())


def test_diversity_and_saturation_are_what_they_say():
    images = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pairs = [(images[i] - images[j]).square().mean().sqrt() for i in range(5) for j in range(i)]
    assert spread(images) == pytest.approx(float(np.mean(pairs)), rel=1e-6)
    assert spread(images[:1].repeat(5, 1, 1, 1)) == 0
    assert saturation(torch.tensor([-1.0, -0.995, 0.0, 0.98, 0.999])) == pytest.approx(0.6)


def test_impossible_rules_and_a_single_image_are_refused():
    for wrong in ({"action": "cure"}, {"patience": 0}, {"slower": 0.0}):
        with pytest.raises(LabkitError, match="HealthRule"):
            HealthRule(**wrong)
    with pytest.raises(LabkitError, match="at least two"):
        HealthMonitor(HealthRule(), small(), IMAGES[:1])
