"""Training a variational autoencoder on a weighted sum of its two terms, as the course reports do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit.callbacks import Callback
from labkit.fit.loop import FitResult, fit
from labkit.fit.step import Update
from labkit.vae.nets import VAE, kl_divergence

Reduction = Literal["mean", "sum"]
Batch = Tensor | tuple[Tensor, Tensor]
EVALUATION_BATCH = 256


def weighted_loss(
    model: VAE, batch: Batch, kl_weight: float, reduction: Reduction
) -> tuple[Tensor, dict[str, Tensor]]:
    """Squared error + λ KL, the mean over a batch of images in [−1, 1] (or of pairs images, conditions).

    The squared error of an image is the mean over its C·H·W numbers (reduction "mean") or their sum ("sum"); the KL
    is summed over the latents, in nats. The reports name neither: what report E saw at its four λ fits "mean", and
    the unweighted MSE + KL of report D trains anything only as "sum". Which decoder σ and which β a λ stands for,
    see `labkit.vae.kl_weight`.

    Returns:
        The loss, and to log: `mse`, the mean squared error of a number, and `kl`, in nats per image.
    """
    x, condition = batch if isinstance(batch, tuple | list) else (batch, None)
    if condition is not None:
        condition = condition.to(x.dtype)
    image, mean, log_var = (value.to(x.dtype) for value in model(x, condition))  # sums in full precision
    mse = (image - x).square().mean()
    kl = kl_divergence(mean, log_var).sum(1).mean()
    error = mse if reduction == "mean" else mse * model.pixels
    return error + kl_weight * kl, {"mse": mse.detach(), "kl": kl.detach()}


def vae_update(model: VAE, *, kl_weight: float, reduction: Reduction = "mean", rate: float = 1e-3) -> Update:
    """One step of Adam on `weighted_loss`; its name in the history is "loss".

    Raises:
        LabkitError: the weight is negative, or the reduction is not known.
    """
    if kl_weight < 0 or reduction not in ("mean", "sum"):
        raise LabkitError(
            f'vae_update: kl_weight = {kl_weight} must be 0 or more and reduction = {reduction!r} "mean" or "sum".'
        )
    optimizer = torch.optim.Adam(model.parameters(), rate, fused=True)

    def loss(model: VAE, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return weighted_loss(model, batch, kl_weight, reduction)

    return Update("loss", loss, optimizer, capturable=True)


def fit_vae(
    model: VAE,
    images: np.ndarray,
    conditions: np.ndarray | None = None,
    *,
    epochs: int,
    kl_weight: float,
    reduction: Reduction = "mean",
    rate: float = 1e-3,
    batch_size: int = 64,
    flip: bool = False,
    held_out: tuple[np.ndarray, np.ndarray | None] | None = None,
    patience: int | None = None,
    callbacks: Sequence[Callback] = (),
    precision: str = "auto",
    seed: int = 0,
    run_dir: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> FitResult:
    """Train `model` where it is, on uint8 images (N, C, H, W) and the conditions (N, A) of a conditional VAE.

    Seed the global generator before the model is built: its first weights are not this function's.

    Args:
        kl_weight, reduction: λ and what it is weighed against, see `weighted_loss`.
        flip: mirror images at random; the conditions stay, so none of them may say left or right.
        held_out: images and conditions or None; their loss, mse and kl enter the history as held_out_….
        patience: stop after so many epochs without a better held-out loss, and keep the best epoch's weights.
        callbacks, precision, run_dir, config, progress: see `fit`.

    Raises:
        LabkitError: see `fit` and `vae_update`; patience without held_out.
    """
    device = model.to_mean.weight.device
    batches = ResidentBatches(
        images,
        labels=conditions,
        batch_size=batch_size,
        seed=seed,
        device=device,
        flip=flip,
        normalise="symmetric",
    )
    return fit(
        model,
        vae_update(model, kl_weight=kl_weight, reduction=reduction, rate=rate),
        batches,
        epochs=epochs,
        validate=None if held_out is None else _on_held_out(held_out, kl_weight, reduction, device),
        watch=None if patience is None else "held_out_loss",
        patience=patience,
        callbacks=callbacks,
        precision=precision,
        seed=seed,
        run_dir=run_dir,
        config={"kl_weight": kl_weight, "reduction": reduction, "flip": flip, **(config or {})},
        progress=progress,
    )


def _on_held_out(
    held_out: tuple[np.ndarray, np.ndarray | None],
    kl_weight: float,
    reduction: Reduction,
    device: torch.device,
):
    images, conditions = held_out
    batches = ResidentBatches(
        images, labels=conditions, batch_size=EVALUATION_BATCH, device=device, normalise="symmetric"
    )

    def evaluate(model: VAE) -> dict[str, float]:
        torch.manual_seed(0)  # the same noise every epoch, so that epochs can be compared; fit puts it back
        totals: dict[str, float] = {}
        for batch in batches.epoch(0):
            loss, terms = weighted_loss(model, batch, kl_weight, reduction)
            items = len(batch[0] if isinstance(batch, tuple) else batch)
            for name, value in {"loss": loss, **terms}.items():
                totals[f"held_out_{name}"] = totals.get(f"held_out_{name}", 0.0) + items * value.item()
        return {name: total / batches.count for name, total in totals.items()}

    return evaluate
