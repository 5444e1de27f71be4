"""`fit` against the plain loop that it replaces, and the promises beyond it."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import ListBatches, exact_loss, net, noisy_loss, quick, rows
from torch import nn

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit import Update, at, every, fit, held_out
from labkit.fit.state import TrainingState


def test_without_anything_special_it_is_the_plain_loop(same):
    batches = ResidentBatches(rows(), batch_size=8, seed=4)
    trained = {}
    for fused in (False, True):
        plain, ours = net(), net()
        adam = torch.optim.Adam(plain.parameters(), 1e-2, fused=fused)
        schedule = torch.optim.lr_scheduler.StepLR(adam, 2, 0.5)
        torch.manual_seed(6)
        plain.train()
        for epoch in range(5):
            for batch in batches.epoch(epoch):
                adam.zero_grad()
                noisy_loss(plain, batch).backward()
                nn.utils.clip_grad_norm_(plain.parameters(), 0.3)
                adam.step()
            schedule.step()
        optimizer = torch.optim.Adam(ours.parameters(), 1e-2, fused=fused)
        update = Update("mse", noisy_loss, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5), clip=0.3)
        result = fit(ours, update, batches, epochs=5, seed=6, progress=False)
        assert same(plain.state_dict(), ours.state_dict())
        assert same(adam.state_dict(), optimizer.state_dict())
        assert result.history["lr"].tolist() == [1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3]
        trained[fused] = ours
    assert not same(net().state_dict(), trained[True].state_dict())


def test_a_gan_is_the_textbook_loop_and_each_update_leaves_the_other_net_alone(same, job):
    batches = ResidentBatches(torch.randn(44, 16), batch_size=8)
    softplus = nn.functional.softplus

    def d_loss(model, batch):
        # Not detached: fit itself must keep these gradients from the generator.
        return softplus(-model.discriminator(batch)).mean() + softplus(model.discriminator(model(len(batch)))).mean()

    def g_loss(model, batch):
        return softplus(-model.discriminator(model(len(batch)))).mean()

    def pair():
        torch.manual_seed(0)
        model = job.Pair()
        return (
            model,
            torch.optim.Adam(model.discriminator.parameters(), 1e-3),
            torch.optim.Adam(model.generator.parameters(), 1e-3),
        )

    plain, d_adam, g_adam = pair()
    torch.manual_seed(0)
    for epoch in range(3):
        for batch in batches.epoch(epoch):
            for loss, adam in ((d_loss, d_adam), (g_loss, g_adam)):
                plain.zero_grad()
                loss(plain, batch).backward()
                adam.step()
    ours, d_adam, g_adam = pair()
    fit(ours, [Update("d", d_loss, d_adam), Update("g", g_loss, g_adam)], batches, epochs=3, progress=False)
    assert same(plain.state_dict(), ours.state_dict())


@pytest.mark.parametrize("trained", ["discriminator", "generator"])
def test_an_update_gives_no_gradient_to_what_it_does_not_train(same, job, trained):
    model = job.Pair()
    other = model.generator if trained == "discriminator" else model.discriminator
    before = {name: value.clone() for name, value in other.named_parameters()}
    loss = Update(
        "x",
        lambda model, batch: model.discriminator(model(len(batch))).mean(),
        torch.optim.SGD(getattr(model, trained).parameters(), 0.1),
    )
    fit(model, loss, ListBatches([torch.zeros(4, 16)] * 3), epochs=1, progress=False)
    assert same(dict(other.named_parameters()), before)
    assert all(parameter.grad is None for parameter in other.parameters())


def test_epoch_means_weigh_items_not_batches():
    data = rows(37)
    model = nn.Linear(5, 5)

    def loss(model, batch):
        value = exact_loss(model, batch)
        return value, {"largest": batch.abs().mean() + 0 * value}

    update = Update("mse", loss, torch.optim.SGD(model.parameters(), 0.0))
    history = fit(model, update, ResidentBatches(data, batch_size=8), epochs=2, progress=False).history
    slow = [(model(x) - x).square().mean().item() for x in data]
    assert history["mse"].tolist() == pytest.approx([np.mean(slow)] * 2, rel=1e-5)
    assert history["largest"].tolist() == pytest.approx([float(data.abs().mean())] * 2, rel=1e-5)
    assert history["epoch"].tolist() == [1, 2]


def scripted(values):
    """validate() that returns these values in turn, and the weights that it saw."""
    seen = []

    def validate(model):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"held_out": values[len(seen) - 1]}

    return validate, seen


def test_early_stopping_puts_the_best_weights_back(same):
    validate, seen = scripted([5.0, 4.0, math.nan, 4.5, 3.0, -math.inf, 3.0, 3.5, 9.0, 9.0])
    model = net()
    result = quick(model, ListBatches([rows(8)] * 2), epochs=10, validate=validate, watch="held_out", patience=4)
    assert (result.stopped, result.best_epoch, len(result.history)) == ("early", 5, 9)
    assert same(model.state_dict(), seen[4]) and not same(model.state_dict(), seen[-1])


def test_watching_without_patience_trains_to_the_end(same):
    validate, seen = scripted([5.0, 4.0, 6.0])
    model = net()
    result = quick(model, ListBatches([rows(8)]), epochs=6, validate=validate, validate_every=2, watch="held_out")
    assert (result.stopped, result.best_epoch, len(result.history)) == ("finished", 4, 6)
    assert same(model.state_dict(), seen[1])
    assert result.history["held_out"].tolist()[1::2] == [5.0, 4.0, 6.0]
    assert result.history["held_out"].isna().tolist() == [True, False] * 3


def test_callbacks_come_at_their_epochs_and_their_results_are_kept():
    calls = []

    def samples(model, epoch):
        assert not model.training and not torch.is_grad_enabled()
        calls.append(epoch)
        return model(torch.zeros(1, 5))

    callbacks = [at([1, 4, 99], samples), every(3, lambda model, epoch: {"e": np.float32(epoch)}, "thirds")]
    result = quick(net(), ListBatches([rows(8)]), epochs=7, callbacks=callbacks)
    assert calls == [1, 4] == list(result.kept["samples"])
    assert result.kept["thirds"] == {3: {"e": 3.0}, 6: {"e": 6.0}}
    assert not result.model.training


def test_looking_does_not_change_training(same):
    def draw(model, *_):
        return {"noise": float(torch.randn(3).sum() + np.random.rand())}

    silent, watched = net(), net()
    batches = ResidentBatches(rows(), batch_size=8)
    quick(silent, batches)
    quick(watched, batches, validate=draw, callbacks=[every(1, draw)])
    assert same(silent.state_dict(), watched.state_dict())


def test_what_follows_does_not_depend_on_training(tmp_path):
    def after(**options):
        model = net()
        torch.manual_seed(9)
        quick(model, ListBatches([rows(8)]), **options)
        return torch.randn(3).tolist()

    trained = after(run_dir=tmp_path)
    assert trained == after(run_dir=tmp_path) == after(epochs=1)


def test_bf16_computes_in_bf16_and_keeps_float32_weights():
    seen = []

    def loss(model, batch):
        out = model(batch)
        seen.append(out.dtype)
        return (out.float() - batch).square().mean()

    model = net()
    result = quick(model, ListBatches([rows(8)] * 4), loss, epochs=5, precision="bf16")
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert result.history["mse"].iloc[-1] < result.history["mse"].iloc[0]


@pytest.mark.parametrize("has, precision", [({}, "float32"), ({"avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16")])
def test_auto_is_bf16_where_the_processor_has_it(monkeypatch, capsys, has, precision):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_f": True} | dict.fromkeys(has, True))
    kinds = []

    def loss(model, batch):
        out = model(batch)
        kinds.append(out.dtype)
        return (out.float() - batch).square().mean()

    update = Update("mse", loss, torch.optim.Adam((model := net()).parameters()))
    fit(model, update, ListBatches([rows()]), epochs=1, precision="auto")
    assert kinds == [torch.bfloat16 if precision == "bf16" else torch.float32]
    assert capsys.readouterr().err.startswith(f"cpu, {precision}:")


def test_an_update_in_full_precision_stays_in_float32(capsys):
    seen, model = [], net()

    def loss(model, batch):
        seen.append(model(batch).dtype)
        return exact_loss(model, batch)

    update = Update("mse", loss, torch.optim.Adam(model.parameters()), full_precision=True)
    fit(model, update, ListBatches([rows(8)]), epochs=1, precision="bf16")
    assert seen == [torch.float32] and capsys.readouterr().err.startswith("cpu, float32:")


def test_held_out_is_the_mean_over_items_under_one_noise():
    model, other = nn.Linear(5, 5), rows(13, seed=5)

    def loss(model, batch):
        value = noisy_loss(model, batch)
        return value, {"size": batch.abs().mean()}

    update = Update("mse", loss, torch.optim.SGD(model.parameters(), 0.0))
    check = held_out(update, ResidentBatches(other, batch_size=8))
    history = fit(model, update, ListBatches([rows(8)]), epochs=3, validate=check, progress=False).history
    assert history["held_out_mse"].nunique() == 1
    assert history["held_out_size"].iloc[0] == pytest.approx(other.abs().mean().item())
    exact = Update("mse", exact_loss, update.optimizer)
    found = held_out(exact, ListBatches(other.split(5)))(model.eval())
    assert found == {"held_out_mse": pytest.approx(exact_loss(model, other).item())}


def test_frozen_parameters_stay():
    model = net()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    quick(model, ListBatches([rows(8)] * 2))
    assert torch.equal(model[0].weight, before)


def test_it_says_what_it_is_about_to_do_and_nothing_when_told_so(capsys):
    model = net()
    update = Update("mse", exact_loss, torch.optim.Adam(model.parameters()))
    fit(model, update, ListBatches([rows(8)] * 2), epochs=3)
    said = capsys.readouterr()
    assert "cpu, float32" in said.err and "3 epochs of 16 items" in said.err and not said.out
    fit(model, update, ListBatches([rows(8)] * 2), epochs=3, progress=False)
    assert capsys.readouterr() == ("", "")


def test_history_is_a_frame_of_numbers():
    result = quick(net(), ListBatches([rows(8)]), epochs=2)
    assert isinstance(result.history, pd.DataFrame)
    assert (result.history[["seconds", "items_per_second"]] > 0).all(axis=None)
    assert result.seconds == pytest.approx(result.history["seconds"].sum())


def test_the_clock_of_a_run_on_a_gpu_stops_when_the_device_has_nothing_to_do(monkeypatch):
    events = []
    run = TrainingState(net(), [SimpleNamespace(device=torch.device("cuda", 0))])
    monkeypatch.setattr("torch.cuda.synchronize", events.append)
    monkeypatch.setattr("time.perf_counter", lambda: events.append("clock") or 0.0)
    run.run_clock()
    run.pause_clock()
    assert events == ["clock", torch.device("cuda", 0), "clock"]


def test_what_fit_makes_for_itself_does_not_go_to_the_default_device(same):
    def job(device):
        model, data = net(), ListBatches([rows(8)])
        adam = torch.optim.Adam(model.parameters(), 1e-2)
        update = Update("mse", lambda m, x: (exact_loss(m, x), {"two": 2.0}), adam)
        with torch.device(device):
            history = fit(model, update, data, epochs=2, progress=False).history
        return model.state_dict(), history[["mse", "two"]].to_numpy().tolist()

    assert same(job("cpu"), job("meta"))


def test_what_does_not_fit_together_is_refused_in_one_sentence():
    model, data = net(), ListBatches([rows(8)])
    adam = torch.optim.Adam(model.parameters())
    good = Update("mse", exact_loss, adam)

    def refused(match, updates=good, batches=data, **options):
        with pytest.raises(LabkitError, match=match) as error:
            fit(model, updates, batches, **{"epochs": 1, "progress": False, **options})
        assert "\n" not in str(error.value)

    refused("not in the model", Update("mse", exact_loss, torch.optim.Adam(net().parameters())))
    refused("share a name", [good, good])
    refused("share a name", callbacks=[every(1, exact_loss), every(2, exact_loss)])
    refused("no update, no batch or no epoch", [])
    refused("no update, no batch or no epoch", batches=ListBatches([]))
    refused("no update, no batch or no epoch", epochs=0)
    for name, value in (("epochs", 2.5), ("epochs", "2"), ("epochs", True), ("seed", "0"), ("seed", None)):
        refused(f"{name}={value!r} is no whole number", **{name: value})
    refused("validate_every", validate_every=0)
    refused("patience needs watch", patience=3)
    refused("watch needs validate", watch="x")
    refused("precision='fp8'", precision="fp8")
    refused(r"shape \(8,\)", Update("mse", lambda m, b: m(b).sum(1), adam))
    refused("not float", Update("mse", lambda m, b: exact_loss(m, b).item(), adam))
    refused("gradient", Update("mse", lambda m, b: exact_loss(m, b).detach(), adam))
    refused("depends on none", Update("mse", lambda m, b: b.clone().requires_grad_().sum(), adam))
    refused("has already", Update("mse", lambda m, b: (exact_loss(m, b), {"lr": b.mean()}), adam))
    refused("has already", validate=lambda model: {"mse": 1.0})
    refused("returns held_out", validate=lambda model: {"held_out": 1.0}, watch="nll")
    refused("returned Linear", callbacks=[every(1, lambda model, epoch: model[0], "net")])
