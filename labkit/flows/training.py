"""Fitting a flow to codes by maximum likelihood."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.fit.step import Update
from labkit.flows.engine import FusedRealNVP
from labkit.flows.nets import Flow


@contextmanager
def fused(flow: Flow) -> Iterator[nn.Module]:
    """A RealNVP's fused engine, to be trained in this block in its place; afterwards `flow` has the weights.

    Other families have no engine, and are given as they are.
    """
    if flow.config.family != "realnvp":
        yield flow
        return
    engine = FusedRealNVP(flow).to(flow.q0.loc.device)
    try:
        yield engine
    finally:
        engine.write_to(flow)


def update(
    model: nn.Module,
    *,
    rate: float = 1e-4,
    weight_decay: float = 0.0,
    noise: float = 0.0,
    codes: np.ndarray | None = None,
) -> Update:
    """One step of AdamW on the mean negative log-likelihood of a batch, in float32; named "nll", in nats.

    Args:
        model: a flow, or its fused engine.
        weight_decay: decoupled, as in AdamW.
        noise: s blurs each batch, x' = μ + (x − μ + s σ ε)/√(1 + s²) with ε standard normal and μ, σ the mean
            and standard deviation of each feature of `codes`. Mean and variance stay; the flow is fitted to a kernel
            density of the data instead of to its points.

    Raises LabkitError: noise that is no number from 0.
    """
    if not 0 <= noise < math.inf:
        raise LabkitError(f"flows.update: noise = {noise} must be a number from 0.")
    adam = torch.optim.AdamW(model.parameters(), rate, weight_decay=weight_decay, fused=True)
    if noise:
        device = adam.param_groups[0]["params"][0].device
        mean, spread = (torch.as_tensor(value, device=device) for value in (codes.mean(0), codes.std(0)))

    def nll(model: nn.Module, batch: Tensor) -> Tensor:
        if noise:
            blurred = batch - mean + noise * spread * torch.randn_like(batch)
            batch = mean + blurred / math.sqrt(1 + noise**2)
        return model.nll(batch)

    settings = {"flow": str(model.config), "noise": noise}
    capturable = isinstance(model, FusedRealNVP)
    return Update("nll", nll, adam, settings=settings, full_precision=True, capturable=capturable)


def held_out(parts: Mapping[str, np.ndarray]) -> Callable[[nn.Module], dict[str, float]]:
    """For `validate`: the NLL in nats of codes (M, d), the mean under their name and the median as <name>_median.

    One hopeless row cannot spoil a median.
    """

    def evaluate(model: nn.Module) -> dict[str, float]:
        like, found = next(model.parameters()), {}
        for name, rows in parts.items():
            values = -model.log_prob(torch.as_tensor(rows).to(like))
            found[name], found[f"{name}_median"] = values.mean().item(), values.nanmedian().item()
        return found

    return evaluate
