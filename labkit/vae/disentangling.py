"""Objectives that ask for disentangled latents: the β-VAE and the β-TCVAE, in nats per image.

β-VAE (Higgins et al., ICLR 2017): −log p(x | z) + β KL(q(z | x) ‖ p(z)).

β-TCVAE (Chen et al., arXiv:1802.04942). Averaged over the N training images, with q(z) = 1/N Σ_n q(z | x_n) and
q(z_m) the marginals of q(z), the KL is a sum of three:

    KL = E log q(z | x) / q(z)  +  E log q(z) / Π_m q(z_m)  +  Σ_m KL(q(z_m) ‖ p(z_m))
         index-code information    total correlation           dimension-wise KL

and β weighs the total correlation alone. Here the loss is −log p(x | z) + KL + (β − 1) TC with the KL in closed form:
the same expectation as the paper's, less noise, and exactly the negative ELBO at β = 1.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.fit.step import Update
from labkit.vae.nets import VAE, gaussian_log_likelihood, kl_divergence

Penalty = Literal["kl", "tc"]


@dataclass(frozen=True)
class Objective:
    """What is minimised."""

    beta: float = 1.0  # factor of the KL (β-VAE) or of the total correlation (β-TCVAE); 1 is a plain VAE in both
    penalty: Penalty = "kl"  # "kl" for the β-VAE, "tc" for the β-TCVAE
    sigma: float = 0.1  # σ of the Gaussian likelihood of pixels in [−1, 1]; black to white is 2

    def __post_init__(self) -> None:
        if self.penalty not in ("kl", "tc") or not (
            self.beta >= 0 and self.sigma > 0 and self.beta + self.sigma < math.inf
        ):
            raise LabkitError(
                f'Objective: {self} is not possible; penalty is "kl" or "tc", beta a number from 0, sigma positive.'
            )


@dataclass(frozen=True)
class KLParts:
    """The three parts of log q(z | x) − log p(z) at one z for each image, (B,) each, in nats."""

    index_code: Tensor
    total_correlation: Tensor
    dimension_wise: Tensor

    @property
    def total(self) -> Tensor:
        """log q(z | x) − log p(z), whatever the estimate of q(z): it cancels."""
        return self.index_code + self.total_correlation + self.dimension_wise


def log_weights(batch: int, dataset_size: int, device: torch.device | str | None = None) -> Tensor:
    """Logarithms of the weights (B, B) with which a batch's posteriors stand for q(z): row i for z drawn from x_i.

    The own posterior has weight 1/N, the other B − 1 share the rest: without bias, since the own image is one of N
    and the others are a fair sample of the others. It is the paper's minibatch-stratified sampling, averaged over
    which image is set aside.

    Raises LabkitError: a batch of one, or one larger than the data set.
    """
    if not 2 <= batch <= dataset_size:
        raise LabkitError(
            f"log_weights: a batch of {batch} must have 2 images or more, and no more than the data set's "
            f"{dataset_size}."
        )
    others = math.log((dataset_size - 1) / (dataset_size * (batch - 1)))
    weights = torch.full((batch, batch), others, dtype=torch.float64, device=device)
    return weights.fill_diagonal_(-math.log(dataset_size))


def kl_parts(z: Tensor, mean: Tensor, log_var: Tensor, dataset_size: int) -> KLParts:
    """Estimate the three parts of the KL from a batch.

    Args:
        z: one latent for each image, drawn from its posterior, (B, M).
        mean, log_var: the posteriors, (B, M) each.
        dataset_size: N. With N = B the batch is all there is, and nothing is estimated but the mean over z.
    """
    weights = log_weights(len(z), dataset_size, z.device).to(z.dtype)
    # log q(z_i[m] | x_j), (B, B, M)
    densities = gaussian_log_density(z[:, None], mean[None], log_var[None])
    posterior = densities.diagonal().sum(0)
    aggregate = torch.logsumexp(densities.sum(2) + weights, 1)
    marginals = torch.logsumexp(densities + weights[:, :, None], 1).sum(1)
    prior = gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    return KLParts(posterior - aggregate, aggregate - marginals, marginals - prior)


def gaussian_log_density(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; mean, exp(log_var)) of each number, in nats."""
    return -0.5 * ((z - mean).square() * torch.exp(-log_var) + log_var + math.log(2 * math.pi))


def disentangling_loss(
    model: VAE, x: Tensor, objective: Objective, dataset_size: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The objective's mean over a batch of images in [−1, 1], in nats per image.

    Returns:
        The loss, and to log: `reconstruction` (−log p(x | z)), `kl` and `tc` (β-TCVAE only) in nats, and `mse`.
    """
    mean, log_var = model.encode(x)
    z = model.reparameterise(mean, log_var)
    image, mean, log_var = (value.to(x.dtype) for value in (model.decode(z), mean, log_var))
    lost = -gaussian_log_likelihood(x, image, objective.sigma).mean()
    kl = kl_divergence(mean, log_var).sum(1).mean()
    terms = {"reconstruction": lost, "kl": kl, "mse": (image - x).square().mean()}
    if objective.penalty == "tc":
        parts = kl_parts(z.to(x.dtype), mean, log_var, dataset_size)
        terms["tc"] = parts.total_correlation.mean()
        loss = lost + kl + (objective.beta - 1) * terms["tc"]
    else:
        loss = lost + objective.beta * kl
    return loss, {name: value.detach() for name, value in terms.items()}


def disentangling_update(model: VAE, objective: Objective, dataset_size: int, rate: float = 1e-3) -> Update:
    """One step of Adam on `disentangling_loss`, in float32; its name in the history is "loss".

    Args:
        dataset_size: N, the number of training images.
    """

    def loss(model: VAE, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return disentangling_loss(model, x, objective, dataset_size)

    adam = torch.optim.Adam(model.parameters(), rate, fused=True)
    settings = {"objective": str(objective), "dataset_size": dataset_size}
    return Update("loss", loss, adam, settings=settings, full_precision=True, capturable=True)
