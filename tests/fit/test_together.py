"""Models trained together: each is the model that it would have been alone."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit import Interrupted, TrainingDiverged
from labkit.fit.together import Member, Together, fit_together, trains_together
from labkit.scheduler import SCHEDULER_VARIABLE
from labkit.vae.disentangling import Objective, fit_disentangling
from labkit.vae.small import SmallConfig, SmallVAE

IMAGES = np.random.default_rng(0).integers(0, 256, (26, 1, 2, 2), np.uint8).repeat(16, 2).repeat(16, 3)
OPTIONS = {"epochs": 3, "rate": 3e-3, "batch_size": 6}  # 15 steps; the last batch of an epoch has two images
GRID = ((4.0, 1), (1.0, 0), (16.0, 1), (4.0, 3))  # β and seed; two members share a seed, two a β
TIMES = ["seconds", "items_per_second"]


@pytest.fixture
def doubles(monkeypatch):
    """All in float64, so that nothing but a mistake can tell two trainings apart."""
    prepare = ResidentBatches._prepare
    monkeypatch.setattr(ResidentBatches, "_prepare", lambda *arguments: prepare(*arguments).double())


@pytest.fixture
def interruptible():
    """Also where the tests run in the background of a shell, which makes Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def member(folder, beta, seed, penalty="kl", latents=3):
    """One whose posteriors are narrow and far apart, so that β has much to weigh."""
    torch.manual_seed(seed)
    model = SmallVAE(SmallConfig(latents, 1, 32, width=2)).double()
    with torch.no_grad():
        model.to_mean.weight.mul_(100)
        model.to_log_var.bias.fill_(-4.0)
    objective = Objective(beta, penalty, sigma=0.5)
    return Member(model, objective, seed, folder / f"{beta}-{seed}", {"grid": [beta, seed]})


def members(folder, penalty="kl"):
    return [member(folder, beta, seed, penalty) for beta, seed in GRID]


def alone(each, **options):
    return fit_disentangling(images=IMAGES, **vars(each), **OPTIONS | options)


def assert_same(one, other, tolerance=1e-10):
    """Weights and history of two runs; times left out."""
    for name, weight in one.model.state_dict().items():
        torch.testing.assert_close(weight, other.model.state_dict()[name], rtol=tolerance, atol=tolerance)
    assert list(one.history) == list(other.history)
    rows, others = (run.history.drop(columns=TIMES).to_numpy() for run in (one, other))
    np.testing.assert_allclose(rows, others, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("penalty", ["kl", "tc"])
def test_each_member_is_the_model_trained_alone(penalty, doubles, tmp_path):
    together = members(tmp_path / "together", penalty)
    first_weights = [each.model.to_mean.weight.detach().clone() for each in together]
    found = fit_together(together, IMAGES, **OPTIONS)
    for each, before, run, other in zip(together, first_weights, found, members(tmp_path / "alone", penalty)):
        assert_same(run, alone(other))
        assert run.model is each.model and (each.model.to_mean.weight - before).abs().max() > 1e-3
        assert len(run.history) == 3 and np.isfinite(run.history.to_numpy()).all()
        assert run.history["seconds"].sum() == pytest.approx(run.seconds)  # the member's share of both
    assert len({run.history["loss"].iloc[-1] for run in found}) == len(GRID)


def test_members_are_handed_back_as_checkpoints_of_their_own(doubles, tmp_path):
    together = members(tmp_path / "together")
    fit_together(together, IMAGES, **OPTIONS)
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {each.run_dir for each in together}
    for each, other in zip(members(tmp_path / "together"), members(tmp_path / "alone")):
        assert_same(alone(each, epochs=5), alone(other, epochs=5))


def test_who_has_a_checkpoint_is_not_trained_again(doubles, monkeypatch, tmp_path):
    together = members(tmp_path)
    expected = alone(together[2]).history
    before = (together[2].run_dir / "checkpoint.pt").stat().st_mtime_ns
    sizes = set()
    forward = Together.forward
    monkeypatch.setattr(
        Together, "forward", lambda group, x: sizes.add(len(group.seed_of_member)) or forward(group, x)
    )
    found = fit_together(members(tmp_path), IMAGES, **OPTIONS)
    assert sizes == {3}
    np.testing.assert_array_equal(found[2].history["loss"], expected["loss"])
    sizes.clear()
    again = fit_together(members(tmp_path), IMAGES, **OPTIONS)
    assert not sizes and (together[2].run_dir / "checkpoint.pt").stat().st_mtime_ns >= before
    for run, other in zip(again, found):
        assert_same(run, other, 0.0)


def test_a_stopped_group_goes_on_where_it_was(doubles, interruptible, monkeypatch, tmp_path):
    whole = fit_together(members(tmp_path / "whole"), IMAGES, **OPTIONS)
    steps = []
    forward = Together.forward

    def stopped_in_the_eighth(group, x):
        steps.append(x)
        if len(steps) == 8:  # in the middle of the second epoch
            signal.raise_signal(signal.SIGINT)
        return forward(group, x)

    monkeypatch.setattr(Together, "forward", stopped_in_the_eighth)
    with pytest.raises(Interrupted):
        fit_together(members(tmp_path / "stopped"), IMAGES, **OPTIONS)
    torch.manual_seed(99)
    for run, other in zip(fit_together(members(tmp_path / "stopped"), IMAGES, **OPTIONS), whole):
        assert_same(run, other, 0.0)
    assert len(steps) == 15


def test_a_step_that_one_member_spoils_is_skipped_by_all(doubles, monkeypatch, tmp_path):
    steps = []
    forward = Together.forward

    def spoilt_in_the_second(group, x):
        losses = forward(group, x)
        steps.append(x)
        return torch.where(torch.arange(len(losses)) == 1, torch.nan, losses) if len(steps) == 2 else losses

    monkeypatch.setattr(Together, "forward", spoilt_in_the_second)
    for run in fit_together(members(tmp_path), IMAGES, **OPTIONS):
        assert run.history["skipped"].tolist() == [1, 0, 0]
        assert np.isfinite(run.history.to_numpy()).all()


def test_a_member_that_diverges_stops_the_group_and_is_named(doubles, tmp_path):
    good, bad = members(tmp_path)[0], members(tmp_path)[3]
    bad = replace(bad, objective=Objective(float("inf"), sigma=0.5))
    with pytest.raises(TrainingDiverged, match=r"fit_together: β = inf, seed 3: update"):
        fit_together([good, bad], IMAGES, **OPTIONS | {"epochs": 10})


def test_what_cannot_be_stacked_is_refused(tmp_path):
    one = member(tmp_path, 1.0, 0)
    other = member(tmp_path, 4.0, 0)
    normalised = SmallVAE(SmallConfig(3, 1, 32, width=2)).double()
    normalised.encoder.append(nn.BatchNorm1d(1))
    wider = Objective(4.0, sigma=0.1)
    for group, match in (
        ([one, member(tmp_path, 4.0, 0, latents=4)], "cannot train SmallVAE of .* beside SmallVAE"),
        ([replace(one, model=normalised), replace(other, model=normalised)], "without buffers"),
        ([one, replace(other, objective=wider)], "differ in more than beta"),
        ([one, replace(other, run_dir=one.run_dir)], "share a run_dir"),
        ([], "cannot train no model"),
    ):
        with pytest.raises(LabkitError, match=match):
            fit_together(group, IMAGES, **OPTIONS)


def test_only_one_process_with_a_gpu_trains_together(monkeypatch):
    monkeypatch.delenv(SCHEDULER_VARIABLE, raising=False)
    assert trains_together(torch.device("cuda")) and trains_together(torch.device("cuda:1"))
    assert not trains_together(torch.device("cpu")) and not trains_together(torch.device("mps"))
    monkeypatch.setenv(SCHEDULER_VARIABLE, "tcp://127.0.0.1:1")
    assert not trains_together(torch.device("cuda"))
