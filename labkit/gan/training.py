"""Training a GAN with the non-saturating loss (Goodfellow et al., arXiv:1406.2661): two updates of the one `fit`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from labkit.faces.batches import ResidentBatches
from labkit.fit.callbacks import Callback
from labkit.fit.loop import FitResult, fit
from labkit.fit.step import Update
from labkit.gan.dcgan import DCGAN
from labkit.gan.diff_augment import augment as augmented
from labkit.gan.diff_augment import check_policy
from labkit.gan.health import USUAL_RULE, HealthMonitor, HealthRule

SURE = 0.01  # an answer of the discriminator this close to 0 or 1 is counted as saturated
Terms = dict[str, Tensor]


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """−E log D(x) − E log(1 − D(G(z))) in nats, from logits (N,): ln 4 where it cannot tell them apart."""
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """−E log D(G(z)) in nats, from logits (N,): the form whose gradient stays large when the discriminator wins."""
    return softplus(-fake).mean()


def discriminator_step(model: DCGAN, real: Tensor, augment: tuple[str, ...] = ()) -> tuple[Tensor, Terms]:
    """The discriminator's loss on images (N, C, H, W) in [−1, 1] and as many fresh fakes.

    The generator is only asked: no gradient reaches it, and its running statistics stay as they are.

    Returns:
        The loss, and to log: `d_real` and `d_fake`, the mean D(x) and D(G(z)), and `d_saturated`, the share of
        answers within 0.01 of 0 or 1.
    """
    with torch.no_grad(), statistics_untouched(model.generator):
        fake = model.sample(len(real)).to(real.dtype)
    real_logits, fake_logits = (model.discriminator(augmented(x, augment)).float() for x in (real, fake))
    answers = torch.cat([real_logits, fake_logits]).detach().sigmoid()
    terms = {
        "d_real": answers[: len(real)].mean(),
        "d_fake": answers[len(real) :].mean(),
        "d_saturated": ((answers - 0.5).abs() > 0.5 - SURE).float().mean(),
    }
    return discriminator_loss(real_logits, fake_logits), terms


def generator_step(model: DCGAN, real: Tensor, augment: tuple[str, ...] = ()) -> Tensor:
    """The generator's loss on as many fresh fakes as there are images; of `real` only the count and kind are used.

    The discriminator passes a gradient on, and its running statistics stay as they are.
    """
    fake = augmented(model.sample(len(real)).to(real.dtype), augment)
    with statistics_untouched(model.discriminator):
        return generator_loss(model.discriminator(fake).float())


def gan_updates(
    model: DCGAN, *, rate: float = 2e-4, beta1: float = 0.5, augment: tuple[str, ...] = ()
) -> list[Update]:
    """The discriminator's step and then the generator's, each with its Adam(rate, β₁, 0.999).

    Raises:
        LabkitError: an augmentation is not known.
    """
    check_policy(augment)

    def adam(net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(net.parameters(), rate, (beta1, 0.999), fused=True)

    def step_d(model: DCGAN, real: Tensor) -> tuple[Tensor, Terms]:
        return discriminator_step(model, real, augment)

    def step_g(model: DCGAN, real: Tensor) -> Tensor:
        return generator_step(model, real, augment)

    return [
        Update("discriminator", step_d, adam(model.discriminator), log_gradient=True, capturable=True),
        Update("generator", step_g, adam(model.generator), log_gradient=True, capturable=True),
    ]


def fit_gan(
    model: DCGAN,
    images: np.ndarray,
    *,
    epochs: int,
    rate: float = 2e-4,
    beta1: float = 0.5,
    batch_size: int = 128,
    flip: bool = False,
    augment: tuple[str, ...] = (),
    health: HealthRule | None = USUAL_RULE,
    callbacks: Sequence[Callback] = (),
    precision: str = "auto",
    seed: int = 0,
    run_dir: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> FitResult:
    """Train `model` where it is, on uint8 images (N, C, H, W).

    Seed the global generator before the model is built: its first weights are not this function's. What the health
    monitor had to say is in the result's `kept["health"]`, epoch → sentences.

    Args:
        rate, beta1: of both Adams; the paper's are 2e-4 and 0.5.
        flip: mirror images at random.
        augment: any of "colour", "translation", "cutout", for real and fake alike; () for none.
        health: when a run counts as collapsed and what is done then, see `HealthRule`; None to look at nothing.
        callbacks, precision, run_dir, config, progress: see `fit`.

    Raises:
        LabkitError: see `fit` and `gan_updates`.
    """
    device = next(model.parameters()).device
    batches = ResidentBatches(
        images, batch_size=batch_size, seed=seed, device=device, flip=flip, normalise="symmetric"
    )
    monitor = None if health is None else HealthMonitor(health, model, images, show=progress)
    return fit(
        model,
        gan_updates(model, rate=rate, beta1=beta1, augment=augment),
        batches,
        epochs=epochs,
        monitor=monitor,
        callbacks=callbacks,
        precision=precision,
        seed=seed,
        run_dir=run_dir,
        config={
            "augment": list(augment),
            "flip": flip,
            "health": None if health is None else asdict(health),
            **(config or {}),
        },
        progress=progress,
    )


@contextmanager
def statistics_untouched(net: nn.Module) -> Iterator[None]:
    """Batch normalisation in `net` works as its mode says and does not update its running statistics."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d) and layer.training]
    for layer in norms:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in norms:
            layer.track_running_stats = True
