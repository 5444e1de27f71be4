"""Training a GAN with the non-saturating loss (Goodfellow et al., arXiv:1406.2661): two updates of the one `fit`."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from labkit.fit.step import Update
from labkit.gan.dcgan import DCGAN
from labkit.gan.diff_augment import augment as augmented
from labkit.gan.diff_augment import check_policy

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


def updates(model: DCGAN, *, rate: float = 2e-4, beta1: float = 0.5, augment: tuple[str, ...] = ()) -> list[Update]:
    """The discriminator's step and then the generator's, each with its Adam(rate, β₁, 0.999).

    Raises LabkitError: an augmentation is not known.
    """
    check_policy(augment)

    def adam(net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(net.parameters(), rate, (beta1, 0.999), fused=True)

    same = {"settings": {"augment": list(augment)}, "log_gradient": True, "capturable": True}
    return [
        Update("discriminator", partial(discriminator_step, augment=augment), adam(model.discriminator), **same),
        Update("generator", partial(generator_step, augment=augment), adam(model.generator), **same),
    ]


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
