"""Training a hierarchical VAE: warm-up, balance, the loss, steps that are not finite, and resuming."""

import math

import numpy as np
import pytest
import torch

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.faces.pixels import to_input
from labkit.fit.loop import fit
from labkit.fit.step import GuardedStep
from labkit.hvae.nets import HVAE, HVAEConfig
from labkit.hvae.training import CLIP, HVAETraining, hvae_loss, kl_weight, kl_weights, update

CONFIG = HVAEConfig(groups=(1, 1), size=16, width=4, vector=4)
DIMS = 3 * 16 * 16


def pictures(n=24):
    """Blocks of colour, uint8 (n, 3, 16, 16)."""
    colours = np.random.default_rng(0).integers(0, 256, (n, 3, 2, 2), np.uint8)
    return colours.repeat(8, 2).repeat(8, 3)


def small(seed=0):
    torch.manual_seed(seed)
    return HVAE(CONFIG)


def train(training, epochs, **options):
    batches = ResidentBatches(pictures(), batch_size=8, normalise="symmetric", **options)
    return fit(model := small(), update(model, training, epochs), batches, epochs=epochs, progress=False)


def terms(training, step, seed=3):
    """Loss and terms with one fixed noise, and the bound that they are made of."""
    model = small().eval()
    x = to_input(pictures(6))
    torch.manual_seed(seed)
    loss, logged = hvae_loss(model, x, training, step)
    torch.manual_seed(seed)
    return loss, logged, model.elbo(x), model


def test_weight_of_the_kl_rises_to_one_and_stays():
    training = HVAETraining(warm_up=100, first_weight=0.2)
    weights = [kl_weight(step, training).item() for step in (0, 50, 100, 1000)]
    assert weights == pytest.approx([0.2, 0.6, 1.0, 1.0])
    assert kl_weight(0, HVAETraining()).item() == 1


def test_balanced_weights_have_mean_one_and_press_groups_that_spend_much_for_their_size():
    kl = torch.tensor([[10.0, 10.0, 0.0], [10.0, 10.0, 0.0]], requires_grad=True)
    weights = kl_weights(kl, torch.tensor([4.0, 16.0, 16.0]))
    assert weights.mean().item() == pytest.approx(1)
    assert weights[0] == pytest.approx(4 * weights[1].item())
    assert 0 < weights[2] < 0.01 * weights[1]
    assert not weights.requires_grad
    torch.testing.assert_close(kl_weights(torch.ones(3, 2), torch.tensor([7.0, 7.0])), torch.ones(2))


def test_loss_is_the_negative_elbo_in_bits_where_nothing_is_added():
    loss, logged, bound, _ = terms(HVAETraining(spectral=0.0), 0.0)
    expected = -bound.elbo.mean() / (DIMS * math.log(2))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logged["bits_per_dim"], expected.detach())
    for group in range(3):
        torch.testing.assert_close(logged[f"kl_{group + 1}"], bound.kl[:, group].mean().detach())


def test_warm_up_weighs_the_kl_and_balance_spreads_it():
    plain = HVAETraining(warm_up=10, first_weight=0.0, spectral=0.0, balance=False)
    loss, _, bound, model = terms(plain, 5.0)
    nats = bound.reconstruction.mean() - 0.5 * bound.kl.sum(1).mean()
    torch.testing.assert_close(loss, -nats / (DIMS * math.log(2)))
    balanced = HVAETraining(warm_up=10, first_weight=0.0, spectral=0.0)
    sizes = torch.tensor([float(math.prod(group.shape)) for group in model.groups])
    loss, logged, bound, _ = terms(balanced, 5.0)
    kl = (kl_weights(bound.kl, sizes) * bound.kl).sum(1).mean()
    torch.testing.assert_close(loss, -(bound.reconstruction.mean() - 0.5 * kl) / (DIMS * math.log(2)))
    torch.testing.assert_close(logged["bits_per_dim"], -bound.elbo.mean().detach() / (DIMS * math.log(2)))
    done, _, bound, _ = terms(balanced, 10.0)
    torch.testing.assert_close(done, -bound.elbo.mean() / (DIMS * math.log(2)))


def test_spectral_penalty_adds_lambda_times_the_norms():
    without, _, _, _ = terms(HVAETraining(spectral=0.0), 0.0)
    with_it, _, _, model = terms(HVAETraining(spectral=2.0), 0.0)
    torch.testing.assert_close(with_it - without, 2 * model.spectral() / (DIMS * math.log(2)), rtol=1e-4, atol=1e-5)


def test_spectral_penalty_holds_the_norms_down():
    sums = []
    for spectral in (0.0, 200.0):
        result = train(HVAETraining(spectral=spectral), 6)
        sums.append(result.model.spectral().item())
    assert sums[1] < 0.95 * sums[0]


def test_warm_up_counts_the_steps_of_adam_and_no_skipped_one():
    model = small()
    training = HVAETraining(warm_up=4, first_weight=0.0, spectral=0.0, balance=False)
    made = update(model, training)
    assert made.clip == CLIP
    step = GuardedStep(made, model)
    x = to_input(pictures(8))

    def weight_now():
        model.eval()
        with torch.no_grad():
            torch.manual_seed(0)
            loss = made.loss(model, x)[0] * DIMS * math.log(2)
            torch.manual_seed(0)
            bound = model.elbo(x)
        model.train()
        return ((bound.reconstruction.mean() + loss) / bound.kl.sum(1).mean()).item()

    assert weight_now() == pytest.approx(0, abs=1e-3)
    step(x, 8)
    assert weight_now() == pytest.approx(0.25, abs=1e-3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(x * math.nan, 8)
    assert weight_now() == pytest.approx(0.25, abs=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_fit_learns_and_reports_groups():
    result = train(HVAETraining(warm_up=10), 15, flip=True)
    history = result.history
    assert history["bits_per_dim"].iloc[-1] < history["bits_per_dim"].iloc[0] - 0.3
    assert {"kl_1", "kl_2", "kl_3", "lr"} <= set(history.columns)
    assert history["lr"].iloc[-1] < history["lr"].iloc[0]
    assert result.skipped == {"loss": 0}


def test_a_run_cut_in_two_ends_as_one_that_was_not(tmp_path):
    """Spectral vectors and the warm-up's count are part of what a checkpoint holds."""
    batches = ResidentBatches(pictures(), batch_size=8, normalise="symmetric")

    def run(model, epochs, folder=None):
        made = update(model, HVAETraining(warm_up=7))
        return fit(model, made, batches, epochs=epochs, run_dir=folder, progress=False).model

    whole = run(small(), 4)
    run(small(), 2, tmp_path)
    resumed = run(small(1), 4, tmp_path)
    for (name, a), (_, b) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("wrong", [{"warm_up": -1}, {"first_weight": 2.0}, {"spectral": -0.1}, {"rate": 0.0}])
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(LabkitError, match="HVAETraining"):
        HVAETraining(**wrong)
