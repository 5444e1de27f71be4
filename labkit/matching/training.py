"""The loss of flow matching, and its update for `labkit.fit.fit`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.fit.step import Update
from labkit.matching.nets import CodeFlow
from labkit.matching.path import independent, path
from labkit.matching.solvers import Velocity
from labkit.matching.unet import PixelFlow

Coupling = Callable[[Tensor, Tensor], Tensor]  # (noise, data) → the noise in another order


def matching_loss(velocity: Velocity, noise: Tensor, data: Tensor, time: Tensor) -> Tensor:
    """Mean squared error of the velocity (a scalar), over rows and features.

    The least of it is reached at v(x, t) = E[x₁ − x₀ | x_t = x], whose flow has the data's density at t = 1 though
    nothing was simulated (Lipman et al., arXiv:2210.02747, theorem 2). Noise and data are (N, …), the time is (N,).
    """
    x, target = path(noise, data, time)
    return (velocity(x, time) - target).square().mean()


def update(
    model: CodeFlow | PixelFlow,
    *,
    rate: float = 1e-3,
    epochs: int | None = None,
    coupling: Coupling = independent,
    noise: float = 0.0,
    weight_decay: float = 0.0,
    drop: float = 0.1,
    draws: int = 1,
) -> Update:
    """One step of flow matching on a batch of codes (N, d) or pictures (N, C, H, W), or of pairs with labels (N, c).

    Args:
        rate: of AdamW.
        epochs: the rate falls along half a cosine to zero after so many; None keeps it as it is.
        coupling: `independent` or `optimal`.
        noise: s blurs each batch of standardised data, z' = (z + s ε)/√(1 + s²): lab 01b's cure. Means and
            variances stay; the flow is fitted to a kernel density of the data instead of to its points.
        weight_decay: decoupled, as in AdamW.
        drop: share of rows whose labels are left out, so that guidance has a model without a label.
        draws: times and noises drawn for each item of a batch.

    Raises LabkitError: noise that is no number from 0.
    """

    if not 0 <= noise < math.inf:
        raise LabkitError(f"matching.update: noise = {noise} must be a number from 0.")

    def loss(model: CodeFlow | PixelFlow, batch: Any) -> Tensor:
        items, label = batch if isinstance(batch, tuple) else (batch, None)
        data = model.standardised(items)
        data = data.repeat(draws, *[1] * (data.ndim - 1))
        if noise:
            data = (data + noise * torch.randn_like(data)) / math.sqrt(1 + noise**2)
        start = coupling(torch.randn_like(data), data)
        time = torch.rand(len(data), device=data.device)
        if label is None:
            return matching_loss(model, start, data, time)
        kept = torch.rand(len(data), 1, device=data.device) >= drop
        label = label.repeat(draws, 1) * kept
        return matching_loss(lambda x, time: model(x, time, label), start, data, time)

    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=weight_decay, fused=True)
    schedule = None if epochs is None else torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    # The assignment is found on the CPU, which no CUDA graph can hold.
    settings = {"flow": str(model.config), "coupling": coupling.__name__}
    settings |= {"noise": noise, "drop": drop, "draws": draws, "epochs": epochs}
    return Update("matching", loss, optimizer, schedule, settings, capturable=coupling is independent)
