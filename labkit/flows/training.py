"""Fitting a flow by maximum likelihood."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.faces.batches import ResidentBatches
from labkit.fit.callbacks import Callback
from labkit.fit.loop import FitResult, fit
from labkit.fit.step import Update
from labkit.flows.engine import FusedRealNVP
from labkit.flows.nets import Flow, FlowConfig, build_flow


def fit_flow(
    codes: np.ndarray,
    config: FlowConfig,
    *,
    epochs: int,
    rate: float = 1e-4,
    batch_size: int = 32,
    noise: float = 0.0,
    weight_decay: float = 0.0,
    watch: Mapping[str, np.ndarray] | None = None,
    stop_on: str | None = None,
    callbacks: Sequence[Callback] = (),
    seed: int = 0,
    device: torch.device | str = "cpu",
    run_dir: str | Path | None = None,
    progress: bool = False,
) -> tuple[Flow, FitResult]:
    """A flow fitted to `codes` (N, d) with AdamW at a constant rate.

    A RealNVP is trained by its fused engine, which callbacks are given; other families as they are.

    Args:
        codes: training data; they also set the flow's initial scales.
        noise: s blurs each batch, x' = μ + (x − μ + s σ ε)/√(1 + s²) with ε standard normal and μ, σ the mean
            and standard deviation of each feature. Mean and variance stay; the flow is fitted to a kernel
            density of the data instead of to its points.
        weight_decay: decoupled, as in AdamW.
        watch: name → codes (M, d) whose NLL in nats is put into the history every five epochs: the mean as
            `name`, the median, which one hopeless row cannot spoil, as `name_median`.
        stop_on: the watched name whose best epoch's weights are kept.
        callbacks: (engine or flow, epoch), see `labkit.fit.loop`.
        run_dir: checkpoint folder, None for none.

    Returns:
        The trained flow on `device`, and the record of its training; the loss is named "nll", in nats.

    Raises:
        LabkitError: see `fit` and `Flow.initialise`.
    """
    torch.manual_seed(seed)
    flow = build_flow(config).initialise(torch.as_tensor(codes))
    model: nn.Module = FusedRealNVP(flow) if config.family == "realnvp" else flow
    model.to(device)
    mean, spread = (torch.as_tensor(value, device=device) for value in (codes.mean(0), codes.std(0)))
    watch = dict(watch or {})

    def nll(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        if noise:
            blurred = batch - mean + noise * spread * torch.randn_like(batch)
            batch = mean + blurred / math.sqrt(1 + noise**2)
        return model.nll(batch)

    def watched(model: nn.Module) -> dict[str, float]:
        found = {}
        for name, rows in watch.items():
            values = -model.log_prob(torch.as_tensor(rows).to(spread))
            found[name], found[f"{name}_median"] = values.mean().item(), values.nanmedian().item()
        return found

    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=weight_decay, fused=True)
    settings: dict[str, Any] = {"flow": vars(config), "noise": noise}
    result = fit(
        model,
        Update("nll", nll, optimizer, capturable=isinstance(model, FusedRealNVP)),
        ResidentBatches(codes, batch_size=batch_size, seed=seed, device=device),
        epochs=epochs,
        validate=watched if watch else None,
        validate_every=5,
        watch=stop_on,
        callbacks=callbacks,
        seed=seed,
        run_dir=run_dir,
        config=settings,
        progress=progress,
    )
    flow.to(device)
    return (model.write_to(flow) if isinstance(model, FusedRealNVP) else flow), result
