"""Fitting a flow by maximum likelihood."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.data.resident import ResidentBatches
from labkit.models.flow_engine import FusedRealNVP
from labkit.models.flows import Flow, FlowConfig, build_flow
from labkit.training.callbacks import Callback
from labkit.training.fit import FitResult, fit
from labkit.training.step import Update


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
        noise: standard deviation of the Gaussian noise added to each batch, in standard deviations of each
            feature: the flow is fitted to a kernel density of the data instead of to its points.
        weight_decay: decoupled, as in AdamW.
        watch: name → codes (M, d) whose mean NLL in nats is put into the history every five epochs.
        stop_on: the watched name whose best epoch's weights are kept.
        callbacks: (engine or flow, epoch), see `labkit.training.fit`.
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
    spread = noise * torch.as_tensor(codes.std(0), device=device)
    watch = dict(watch or {})

    def nll(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return model.nll(batch + spread * torch.randn_like(batch) if noise else batch)

    def watched(model: nn.Module) -> dict[str, float]:
        return {name: -float(model.log_prob(_like(rows, spread)).mean()) for name, rows in watch.items()}

    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=weight_decay, fused=True)
    settings: dict[str, Any] = {"flow": vars(config), "noise": noise}
    result = fit(
        model,
        Update("nll", nll, optimizer),
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
    return (model.to_flow() if isinstance(model, FusedRealNVP) else model), result


def _like(rows: np.ndarray, reference: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(rows).to(reference)
