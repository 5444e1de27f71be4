"""What this kit's `fit` is timed beside: the training loops that a tutorial writes, in float32."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from labkit.models.dcgan import DCGAN

Loss = Callable[[nn.Module, list[Tensor]], Tensor]
GAN_ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}


def epoch(model: nn.Module, loader: Iterable, loss: Loss, optimizer: torch.optim.Optimizer) -> float:
    """Train for an epoch; the mean loss of an item.

    Args:
        loader: batches as a `DataLoader` gives them: lists that begin with items (N, …).
        loss: (model, batch) → scalar, the mean over the batch.
    """
    model.train()
    total = count = 0
    for batch in loader:
        optimizer.zero_grad()
        value = loss(model, batch)
        value.backward()
        optimizer.step()
        total += value.item() * len(batch[0])
        count += len(batch[0])
    return total / count


def discriminator_error(model: DCGAN, real: Tensor) -> Tensor:
    """The discriminator's loss in PyTorch's DCGAN tutorial: cross entropy on labels, in nats."""
    criterion = nn.BCEWithLogitsLoss()
    fake = model.generator(model.noise(len(real)))
    return criterion(model.discriminator(real), torch.ones(len(real))) + criterion(
        model.discriminator(fake.detach()), torch.zeros(len(real))
    )


def generator_error(model: DCGAN, real: Tensor) -> Tensor:
    """The generator's loss there, on a second batch of fakes.

    The tutorial uses those of the discriminator's step again; the paper and this kit draw anew, and so does this
    loop, for equal work.
    """
    fake = model.generator(model.noise(len(real)))
    return nn.BCEWithLogitsLoss()(model.discriminator(fake), torch.ones(len(real)))


def gan_adams(model: DCGAN) -> list[torch.optim.Optimizer]:
    """Adam of the discriminator and of the generator."""
    return [torch.optim.Adam(net.parameters(), **GAN_ADAM) for net in (model.discriminator, model.generator)]


def gan_epoch(model: DCGAN, loader: Iterable, adams: list[torch.optim.Optimizer]) -> list[float]:
    """Train both nets for an epoch; the mean losses of the discriminator and of the generator, in nats."""
    model.train()
    losses = []
    for real, *_ in loader:
        row = []
        for optimizer, error in zip(adams, (discriminator_error, generator_error), strict=True):
            optimizer.zero_grad()
            value = error(model, real)
            value.backward()
            optimizer.step()
            row.append(value.item())
        losses.append(row)
    return np.mean(losses, 0).tolist()
