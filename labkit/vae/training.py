"""The loss of a variational autoencoder as the course reports write it: a weighted sum of its two terms."""

import math

import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.fit.step import Update
from labkit.vae.kl_weight import Reduction
from labkit.vae.nets import VAE, kl_divergence

Batch = Tensor | tuple[Tensor, Tensor]


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


def update(
    model: VAE,
    *,
    kl_weight: float,
    reduction: Reduction = "mean",
    rate: float = 1e-3,
    beta2: float = 0.999,
    cosine: tuple[int, float] | None = None,
) -> Update:
    """One step of Adam on `weighted_loss`; its name in the history is "loss".

    Args:
        beta2: of Adam, the memory of its squared gradients.
        cosine: epochs and last rate, where the rate is to fall along half a cosine; None keeps it.

    Raises LabkitError: the weight is negative, or the reduction is not known.
    """
    if not 0 <= kl_weight < math.inf or reduction not in ("mean", "sum"):
        raise LabkitError(
            f"vae.update: kl_weight = {kl_weight} must be a number from 0 and reduction = {reduction!r} "
            '"mean" or "sum".'
        )
    adam = torch.optim.Adam(model.parameters(), rate, betas=(0.9, beta2), fused=True)
    schedule = None if cosine is None else torch.optim.lr_scheduler.CosineAnnealingLR(adam, *cosine)

    def loss(model: VAE, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return weighted_loss(model, batch, kl_weight, reduction)

    settings = {"kl_weight": kl_weight, "reduction": reduction}
    return Update("loss", loss, adam, schedule, settings, capturable=True)
