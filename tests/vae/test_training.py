"""Fitting a VAE: it learns, its weight weighs, and it stops and resumes as `fit` does."""

import numpy as np
import pytest
import torch

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.faces.pixels import to_input
from labkit.fit import fit, held_out
from labkit.vae.conditional import ConditionalConfig, ConditionalVAE
from labkit.vae.instance_norm import InstanceNormConfig, InstanceNormVAE
from labkit.vae.measures import kl_per_dimension, posteriors, reconstruction_error
from labkit.vae.nets import kl_divergence
from labkit.vae.training import update, weighted_loss


def pictures(n: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Discs (n, 3, 32, 16) of random place; the condition (n, 1) says which are red."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :16]
    cy, cx, red = rng.uniform(8, 24, (n, 1, 1)), rng.uniform(5, 11, (n, 1, 1)), rng.random((n, 1)) < 0.5
    disc = np.hypot(y - cy, x - cx) < 5
    images = np.full((n, 3, 32, 16), 40, np.uint8)
    images[:, 0] += 180 * disc.astype(np.uint8)
    images[:, 1:] += 180 * (disc & ~red[:, :, None])[:, None].astype(np.uint8)
    return images, red


def small() -> InstanceNormVAE:
    torch.manual_seed(0)
    return InstanceNormVAE(InstanceNormConfig(6, (32, 16), 4))


def conditional() -> ConditionalVAE:
    torch.manual_seed(0)
    return ConditionalVAE(ConditionalConfig(1, 6, (32, 16), 4))


def train(model, images, conditions=None, *, epochs=1, unseen=None, batch_size=64, flip=False, **options):
    """A training as a notebook writes it; `unseen` are images and conditions to look at after each epoch."""
    made = {
        name: options.pop(name) for name in ("kl_weight", "reduction", "rate", "beta2", "cosine") if name in options
    }
    step = update(model, **made)
    batches = ResidentBatches(images, labels=conditions, batch_size=batch_size, flip=flip, normalise="symmetric")
    if unseen is not None:
        others = ResidentBatches(unseen[0], labels=unseen[1], batch_size=256, normalise="symmetric")
        options["validate"] = held_out(step, others)
    return fit(model, step, batches, epochs=epochs, progress=False, **options)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_its_two_terms(reduction):
    model, x = small(), to_input(pictures(5)[0])
    torch.manual_seed(1)
    loss, terms = weighted_loss(model, x, 0.3, reduction)
    torch.manual_seed(1)
    image, mean, log_var = model(x)
    squared = (image - x).square().flatten(1)
    error = squared.mean(1).mean() if reduction == "mean" else squared.sum(1).mean()
    torch.testing.assert_close(loss, error + 0.3 * kl_divergence(mean, log_var).sum(1).mean())
    torch.testing.assert_close(terms["mse"], squared.mean())
    torch.testing.assert_close(terms["kl"], kl_divergence(mean, log_var).sum(1).mean())


def test_training_halves_the_held_out_error():
    images, held_out = pictures()[0], pictures(40, seed=1)[0]
    model = small()
    before = reconstruction_error(model, held_out).mean()
    result = train(model, images, epochs=12, kl_weight=1e-5, rate=5e-3, batch_size=16, unseen=(held_out, None))
    assert reconstruction_error(model, held_out).mean() < 0.5 * before
    history = result.history
    assert {"loss", "mse", "kl", "held_out_loss", "held_out_mse", "held_out_kl"} <= set(history.columns)
    np.testing.assert_allclose(history.loss, history.mse + 1e-5 * history.kl, rtol=1e-4)
    np.testing.assert_allclose(history.held_out_loss, history.held_out_mse + 1e-5 * history.held_out_kl, rtol=1e-4)
    assert history.held_out_kl.iloc[-1] == pytest.approx(
        kl_per_dimension(posteriors(model, held_out)).sum(), rel=1e-3
    )


def test_epochs_are_compared_under_the_same_noise():
    images = pictures(20)[0]
    result = train(small(), images, epochs=3, kl_weight=1.0, rate=0.0, unseen=(images, None))
    assert result.history.held_out_loss.nunique() == 1


def test_a_larger_weight_leaves_less_in_the_latents():
    images = pictures()[0]
    kl = []
    for weight in (1e-6, 1e-1):
        model = small()
        train(model, images, epochs=4, kl_weight=weight, rate=5e-3, batch_size=16)
        kl.append(kl_per_dimension(posteriors(model, images)).sum())
    assert kl[1] < 0.2 * kl[0]


def test_a_conditional_vae_draws_what_it_is_asked_for():
    images, red = pictures(160)
    model = conditional()
    train(model, images, red, epochs=15, kl_weight=1e-3, rate=5e-3, batch_size=16, unseen=(images[:20], red[:20]))
    z = torch.Generator().manual_seed(0)
    drawn = [model.sample(50, condition=torch.full((50, 1), c), generator=z).detach() for c in (0.0, 1.0)]
    redness = [(image[:, 0] - image[:, 1]).mean().item() for image in drawn]
    assert redness[1] > redness[0] + 0.05


def test_early_stopping_keeps_the_best_epoch():
    images = pictures(16)[0]
    noise = np.random.default_rng(0).integers(0, 256, (16, 3, 32, 16), np.uint8)  # nothing of it can be learnt
    result = train(
        small(),
        images,
        epochs=40,
        kl_weight=1e-6,
        rate=1e-2,
        batch_size=8,
        unseen=(noise, None),
        watch="held_out_loss",
        patience=2,
    )
    assert result.stopped == "early"
    assert len(result.history) == result.best_epoch + 2
    assert result.history.held_out_loss.idxmin() + 1 == result.best_epoch


def test_resumed_it_is_the_same_run_and_another_weight_is_refused(tmp_path):
    images = pictures(40)[0]
    settings = {"kl_weight": 1e-4, "batch_size": 16, "flip": True}
    whole, parts = small(), small()
    train(whole, images, epochs=3, **settings)
    train(parts, images, epochs=1, run_dir=tmp_path, **settings)
    resumed = small()
    train(resumed, images, epochs=3, run_dir=tmp_path, **settings)
    for a, b in zip(whole.parameters(), resumed.parameters()):
        assert torch.equal(a, b)
    with pytest.raises(LabkitError, match="kl_weight"):
        train(small(), images, epochs=3, run_dir=tmp_path, **(settings | {"kl_weight": 1e-3}))
    with pytest.raises(LabkitError, match="reduction"):
        train(small(), images, epochs=3, run_dir=tmp_path, reduction="sum", **settings)


def test_in_bf16_it_trains_as_well():
    images = pictures(64)[0]
    errors = []
    for precision in ("float32", "bf16"):
        result = train(small(), images, epochs=5, kl_weight=1e-5, rate=5e-3, batch_size=16, precision=precision)
        errors.append(result.history.mse.iloc[-1])
        assert result.skipped == {"loss": 0}
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_nonsense_is_refused():
    for wrong in ({"kl_weight": -1.0}, {"kl_weight": 1.0, "reduction": "avg"}):
        with pytest.raises(LabkitError, match=r"vae\.update"):
            update(small(), **wrong)


def test_adam_and_its_cosine_are_the_ones_named():
    made = update(small(), kl_weight=1.0, rate=1e-2, beta2=0.99, cosine=(4, 1e-3))
    assert made.optimizer.defaults["betas"] == (0.9, 0.99)
    history = train(small(), pictures(8)[0], epochs=4, kl_weight=1.0, rate=1e-2, cosine=(3, 1e-3)).history
    assert history.lr.iloc[0] == 1e-2 and history.lr.iloc[3] == pytest.approx(1e-3)
    assert train(small(), pictures(8)[0], epochs=2, kl_weight=1.0).history.lr.nunique() == 1
