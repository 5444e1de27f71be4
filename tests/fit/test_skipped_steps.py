"""A step whose loss or gradient is not finite changes nothing, and too many of them end the run."""

import math

import pytest
import torch
from small_runs import ListBatches, exact_loss, net, quick, rows
from torch import nn

from labkit.fit import TrainingDiverged, Update, fit

BAD = {
    "loss is NaN": lambda model, batch: exact_loss(model, batch) * (math.nan if batch[0, 0] > 50 else 1.0),
    "loss is infinite": lambda model, batch: exact_loss(model, batch) + (math.inf if batch[0, 0] > 50 else 0.0),
    "only the gradient is NaN": lambda model, batch: (
        exact_loss(model, batch) + ((model(batch).sum() * 0).sqrt() if batch[0, 0] > 50 else 0.0)
    ),
    "input overflows": lambda model, batch: exact_loss(model, batch * 1e30 if batch[0, 0] > 50 else batch),
}
OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, 1e-2),
    "fused adam": lambda p: torch.optim.Adam(p, 1e-2, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2, amsgrad=True),
    "sgd": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, nesterov=True),
    "fused sgd": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, fused=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loss", BAD.values(), ids=BAD)
def test_a_bad_batch_leaves_everything_as_if_it_had_not_been_seen(same, loss, name, monkeypatch):
    a, b, bad = rows(8, 1), rows(8, 2), rows(8, 3) + 100.0
    if "fused" in name:  # as on a GPU, where nobody looks at the flag
        monkeypatch.setattr("labkit.fit.step.can_skip_on_device", lambda optimizer, device: True)

    def run(batches):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 5))
        optimizer = OPTIMIZERS[name](model.parameters())
        update = Update("mse", loss, optimizer, clip=1.0)
        result = fit(model, update, ListBatches(batches), epochs=1, progress=False)
        return model.state_dict(), optimizer.state_dict(), result

    *seen, result = run([a, bad, b])
    *unseen, reference = run([a, b])
    assert same(seen, unseen)
    assert result.skipped == {"mse": 1} and result.history["skipped"].tolist() == [1]
    assert result.history["mse"].tolist() == reference.history["mse"].tolist()


def test_many_bad_steps_in_a_row_stop_the_run_with_the_last_finite_weights(same):
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(TrainingDiverged, match=r"'mse'.*52 steps, up to epoch 13.*learning rate"):
        quick(model, ListBatches([rows(8)] * 4), lambda m, b: exact_loss(m, b) * math.nan, epochs=99)
    assert same(before, model.state_dict())


def test_bad_steps_that_end_in_a_good_one_do_not_stop_the_run():
    batches = ([rows(8) + 100.0] * 40 + [rows(8)]) * 2
    result = quick(net(), ListBatches(batches), BAD["loss is NaN"], epochs=3)
    assert result.skipped == {"mse": 3 * 2 * 40}
    assert result.history["mse"].notna().all()


def test_an_epoch_without_a_good_step_has_no_mean():
    result = quick(net(), ListBatches([rows(8) + 100.0] * 3), BAD["loss is NaN"], epochs=2)
    assert result.history["mse"].isna().all() and result.history["skipped"].tolist() == [3, 3]


def test_a_short_run_without_a_good_step_does_not_count_as_done(same, tmp_path):
    """Its checkpoint would be taken for the finished run once the loss is mended."""
    batches, model = ListBatches([rows(8)] * 3), net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(TrainingDiverged, match=r"'mse'.*last 6 steps, up to epoch 2"):
        quick(model, batches, lambda m, b: exact_loss(m, b) * math.nan, epochs=2, run_dir=tmp_path)
    assert same(before, model.state_dict())
    mended = quick(net(), batches, exact_loss, epochs=2, run_dir=tmp_path)
    assert mended.history["skipped"].tolist() == [0, 0]
