"""What this kit's `fit` is timed beside: the training loops that a tutorial writes, in float32.

Each batch is moved to the model's device when its turn comes, and each step's loss is read at once.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from labkit.gan.dcgan import DCGAN

Loss = Callable[[nn.Module, list[Tensor]], Tensor]
GAN_ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}


def lightning_loops() -> ModuleType | None:
    """The module of that name; None where Lightning, which `make bench` installs, is missing."""
    return import_module("lightning_loops") if find_spec("pytorch_lightning") else None


def epoch(model: nn.Module, loader: Iterable, loss: Loss, optimizer: torch.optim.Optimizer) -> float:
    """Train for an epoch; the mean loss of an item.

    Args:
        loader: batches as a `DataLoader` gives them: lists that begin with items (N, …).
        loss: (model, batch) → scalar, the mean over the batch.
    """
    model.train()
    device = _device(model)
    total = count = 0
    for batch in loader:
        batch = [values.to(device) for values in batch]
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
    ones, zeros = torch.ones(len(real), device=real.device), torch.zeros(len(real), device=real.device)
    return criterion(model.discriminator(real), ones) + criterion(model.discriminator(fake.detach()), zeros)


def generator_error(model: DCGAN, real: Tensor) -> Tensor:
    """The generator's loss there, on a second batch of fakes.

    The tutorial uses those of the discriminator's step again; the paper and this kit draw anew, and so does this
    loop, for equal work.
    """
    fake = model.generator(model.noise(len(real)))
    return nn.BCEWithLogitsLoss()(model.discriminator(fake), torch.ones(len(real), device=real.device))


def gan_adams(model: DCGAN) -> list[torch.optim.Optimizer]:
    """Adam of the discriminator and of the generator."""
    return [torch.optim.Adam(net.parameters(), **GAN_ADAM) for net in (model.discriminator, model.generator)]


def gan_epoch(model: DCGAN, loader: Iterable, adams: list[torch.optim.Optimizer]) -> list[float]:
    """Train both nets for an epoch; the mean losses of the discriminator and of the generator, in nats."""
    model.train()
    losses = []
    device = _device(model)
    for real, *_ in loader:
        real, row = real.to(device), []
        for optimizer, error in zip(adams, (discriminator_error, generator_error), strict=True):
            optimizer.zero_grad()
            value = error(model, real)
            value.backward()
            optimizer.step()
            row.append(value.item())
        losses.append(row)
    return np.mean(losses, 0).tolist()


def as_in_a_tutorial(model: nn.Module) -> nn.Module:
    """`model` itself, with torch's own instance normalisation and its weights in torch's usual memory format."""
    for layer in model.modules():
        for name, part in layer.named_children():
            if isinstance(part, nn.InstanceNorm2d):
                setattr(layer, name, nn.InstanceNorm2d(part.num_features))
    return model.to(memory_format=torch.contiguous_format)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
