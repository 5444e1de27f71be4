"""Recorded steps: what a GPU would replay is the run that was never recorded, and nothing in a step waits."""

import math
import sys
from contextlib import nullcontext
from dataclasses import replace

import pandas as pd
import pytest
import torch
from every_training import (
    CODES,
    IMAGES,
    JOBS,
    classifier,
    conditional_vae,
    flow,
    hierarchical_vae,
    pixel_flow,
    saving_hierarchical_vae,
)
from small_runs import ListBatches
from stand_ins import TapeRecorder, Waited, nothing_waits
from torch import nn

from labkit.faces.batches import ResidentBatches
from labkit.fit import Update, fit
from labkit.fit.step import GuardedStep

FIT = sys.modules["labkit.fit.loop"]  # the module, not the function of that name


@pytest.fixture
def recorder(monkeypatch):
    """A recorder on the CPU, which `fit` takes wherever it would take that of a GPU."""
    tape = TapeRecorder()
    monkeypatch.setattr("labkit.fit.step.can_skip_on_device", lambda optimizer, device: True)
    monkeypatch.setattr(FIT, "recorder_for", lambda steps: tape if all(step.recordable for step in steps) else None)
    return tape


@pytest.fixture
def fused_on_meta(monkeypatch):
    """Fused optimizers accept parameters on `meta`, as they do on a GPU."""
    module, name = sys.modules["torch.optim.optimizer"], "_get_fused_kernels_supported_devices"
    kinds = getattr(module, name)
    monkeypatch.setattr(module, name, lambda: [*kinds(), "meta"])


def unrecorded(job):
    """What `job` returns without a recorder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FIT, "recorder_for", lambda steps: None)
        return job()


def outcome(job):
    torch.manual_seed(3)
    model, result = job()
    return model.state_dict(), result.history.to_dict("list"), result.skipped


@pytest.mark.parametrize("job", JOBS)
def test_a_replayed_run_is_the_run_bit_for_bit(recorder, same, job):
    """Noise, an odd last batch, validation between epochs, schedules and moving statistics in it."""
    whole = outcome(job)
    scheduled = (hierarchical_vae, pixel_flow, classifier)  # each epoch has another rate
    rates = 3 if job in scheduled else 1
    assert recorder.recorded == rates and recorder.played == 3 * 6 - 3
    assert same(whole, unrecorded(lambda: outcome(job)))


@pytest.mark.parametrize("job", [*JOBS, saving_hierarchical_vae])
def test_nothing_in_a_step_waits_for_the_device(monkeypatch, fused_on_meta, job):
    """On the device `meta`, where nothing can be read, with every update that says that it is capturable."""

    class GivenError(Exception):
        pass

    def stop(model, updates, batches, **options):
        raise GivenError(model, updates, batches)

    monkeypatch.setattr("every_training.fit", stop)
    built = nullcontext() if job is flow else torch.device("meta")  # a flow is moved there once it knows the data
    with built, pytest.raises(GivenError) as given:
        job("meta")
    model, updates, _ = given.value.args
    x = torch.empty(6, *(CODES if job is flow else IMAGES).shape[1:], device="meta")
    batch = (x, torch.empty(6, 3, device="meta")) if job in (conditional_vae, pixel_flow, classifier) else x
    for update in updates if isinstance(updates, list) else [updates]:
        step = GuardedStep(replace(update, clip=1.0), model.train())
        assert step.recordable
        step(batch, 6)
        with nothing_waits():
            step(batch, 6)


WAITS = {
    "a number is read": lambda x: x * x.sum().item(),
    "rows are chosen by their numbers": lambda x: x[x[:, 0] > 0],
    "an array comes from the CPU": lambda x: x + torch.ones(4).to(x),
    "numbers come from Python": lambda x: x * torch.tensor([1.0, 2.0, 3.0, 4.0], device=x.device),
}


@pytest.mark.parametrize("wait", WAITS)
def test_the_stand_in_notices_what_waits(wait):
    with pytest.raises((Waited, RuntimeError, NotImplementedError)), nothing_waits():
        WAITS[wait](torch.empty(6, 4, device="meta"))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, x):
        return self.layers(x + 0.1 * torch.randn_like(x))


def error(model, x):
    return (model(x) - x).square().mean()


def rows():
    return torch.randn(48, 4, generator=torch.Generator().manual_seed(2))


def run(loss=error, capturable=True, data=None, epochs=4, progress=False, **options):
    model = Net()
    update = Update("error", loss, torch.optim.AdamW(model.parameters(), 1e-2, fused=True), capturable=capturable)
    batches = ResidentBatches(rows() if data is None else data, batch_size=8)
    result = fit(model, update, batches, epochs=epochs, progress=progress, **options)
    return model.state_dict(), result.history.to_dict("list"), result.skipped


def test_a_rollback_is_followed(recorder, same):
    """A loaded state puts the optimizer's numbers elsewhere, where an old recording would not look."""

    def job():
        kept = {}

        def monitor(state, row):
            if state.epoch == 2 and not kept:
                kept.update(state.steps[0].state_dict(), model=_copied(state.model.state_dict()))
                kept["optimizer"] = _copied(kept["optimizer"])
            elif state.epoch == 3:
                state.model.load_state_dict(kept["model"])
                state.steps[0].load_state_dict({**kept, "books": state.steps[0].books.state_dict()})

        return run(monitor=monitor)

    assert same(job(), unrecorded(job)) and recorder.recorded == 2


def _copied(value):
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return value.clone() if isinstance(value, torch.Tensor) else value


def slower(state, row):
    state.steps[0].update.optimizer.param_groups[0]["lr"] *= 0.5 if state.epoch == 2 else 1.0


def test_a_changed_rate_is_followed(recorder, same):
    assert same(run(monitor=slower), unrecorded(lambda: run(monitor=slower))) and recorder.recorded == 2


def test_a_bad_batch_is_skipped_in_a_replay_too(recorder, same):
    data = rows()
    data[5] = math.nan
    replayed = run(data=data)
    assert replayed[2] == {"error": 4} and recorder.played == 4 * 6 - 3
    assert same(replayed, unrecorded(lambda: run(data=data)))


def test_a_resumed_run_goes_on_recorded(recorder, same, tmp_path):
    run(epochs=2, run_dir=tmp_path / "run")
    resumed = run(run_dir=tmp_path / "run")
    assert same(resumed[0], run()[0]) and recorder.played == (2 * 6 - 3) * 2 + 4 * 6 - 3


@pytest.mark.parametrize("sizes", [[3, 8, 8, 8, 8, 8], [3, 3, 3, 3, 8, 8, 8]])
def test_a_run_that_begins_with_small_batches_replays_the_large_ones(recorder, same, sizes):
    def job():
        model = Net()
        update = Update("error", error, torch.optim.AdamW(model.parameters(), fused=True), capturable=True)
        batches = ListBatches([rows()[:size] for size in sizes])
        fit(model, update, batches, epochs=2, progress=False)
        return model.state_dict()

    replayed = job()
    large = sizes.count(8)
    assert recorder.played >= 2 * large - 2
    assert same(replayed, unrecorded(job))


def test_a_step_that_is_not_said_to_be_capturable_is_not_recorded(recorder):
    run(capturable=False)
    assert not recorder.asked


def test_a_step_whose_skipping_waits_is_not_recorded(recorder, monkeypatch):
    monkeypatch.setattr("labkit.fit.step.can_skip_on_device", lambda optimizer, device: False)
    run()
    assert not recorder.asked


def waits(model, x):
    loss = error(model, x)
    return loss if loss.item() > 0 else 2 * loss


def test_what_cannot_be_recorded_goes_on_without(recorder, same, capsys):
    options = {"monitor": slower, "progress": True}
    assert same(run(waits, **options), run(waits, capturable=False, **options))
    assert recorder.asked == 1 and not recorder.recorded
    assert capsys.readouterr().err.count("this step cannot be recorded") == 1


def test_the_reason_said_is_that_of_the_work(recorder, monkeypatch, capsys):
    """As torch does it: the recording's own end raises once more."""
    record = recorder.record

    def fails_again(work):
        try:
            return record(work)
        finally:
            raise RuntimeError("the capture failed")

    monkeypatch.setattr(recorder, "record", fails_again)
    run(waits, progress=True)
    assert "(aten._local_scalar_dense.default cannot be recorded)" in capsys.readouterr().err


def test_a_second_recording_that_fails_leaves_no_first_one(recorder, same):
    calls = []

    def waits_later(model, x):
        calls.append(1)
        loss = error(model, x)
        return loss if len(calls) < 5 or loss.item() > 0 else 2 * loss

    replayed = run(waits_later, monitor=slower)
    assert (recorder.asked, recorder.recorded) == (2, 1)
    assert same(replayed, unrecorded(lambda: run(monitor=slower)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("job", JOBS)
def test_a_graph_on_the_gpu_is_the_run(job, monkeypatch):
    """In the precision that the job has there, with convolutions that add up in one order; other kernels may not."""
    monkeypatch.setattr("torch.backends.cudnn.deterministic", True)
    monkeypatch.setattr("torch.backends.cudnn.allow_tf32", False)

    def train():
        torch.manual_seed(3)
        with torch.device("cuda"):
            return job("cuda")[1].history

    recorded, performed = (
        each.drop(columns=["seconds", "items_per_second"]) for each in (train(), unrecorded(train))
    )
    pd.testing.assert_frame_equal(recorded, performed, rtol=1e-3)
