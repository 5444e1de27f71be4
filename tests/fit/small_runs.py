"""Small nets, data and losses for runs of `fit` that take a moment."""

import torch
from torch import nn

from labkit.fit import Update, fit


class ListBatches:
    """The same list of batches in every epoch."""

    def __init__(self, batches):
        self.batches = batches
        self.count = sum(len(batch) for batch in batches)

    def __len__(self):
        return len(self.batches)

    def epoch(self, number):
        return iter(self.batches)


def net(seed=1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Dropout(0.1), nn.Linear(7, 5))


def rows(n=37, seed=2):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))


def noisy_loss(model, batch):
    return (model(batch + 0.1 * torch.randn_like(batch)) - batch).square().mean()


def exact_loss(model, batch):
    return (model(batch) - batch).square().mean()


def quick(model, batches, loss=noisy_loss, epochs=3, **options):
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    return fit(model, Update("mse", loss, optimizer), batches, epochs=epochs, progress=False, **options)
