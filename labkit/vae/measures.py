"""What a variational autoencoder has learnt: reconstruction, use of its latents, and a bound on log p(x).

Images are uint8, or floats in [−1, 1]; conditions go with conditional models.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.faces.pixels import bits_per_dim, dequantise, to_input
from labkit.vae.nets import VAE, gaussian_log_likelihood

Images = np.ndarray | Tensor
ACTIVE_ABOVE = 0.01
ENCODED_AT_ONCE, DECODED_AT_ONCE = 256, 512


@dataclass(frozen=True)
class Posteriors:
    """The posteriors of N images as float32 arrays (N, M): mean and log-variance."""

    mean: np.ndarray
    log_var: np.ndarray


@torch.no_grad()
def posteriors(model: VAE, images: Images, conditions: np.ndarray | None = None) -> Posteriors:
    """Encode images (N, C, H, W) in eval mode."""
    parts = [model.encode(x, c) for x, c in _batches(model, images, conditions)]
    mean, log_var = (torch.cat(column).float().cpu().numpy() for column in zip(*parts))
    return Posteriors(mean, log_var)


@torch.no_grad()
def reconstruct(model: VAE, images: Images, conditions: np.ndarray | None = None) -> Tensor:
    """Images (N, C, H, W) in [−1, 1], decoded from the posteriors' means, on the CPU."""
    parts = [model.decode(model.encode(x, c)[0], c) for x, c in _batches(model, images, conditions)]
    return torch.cat(parts).cpu()


def reconstruction_error(model: VAE, images: Images, conditions: np.ndarray | None = None) -> np.ndarray:
    """Mean squared error of each image under the posterior's mean, (N,), on pixels in [−1, 1].

    Divide by 4 for pixels in [0, 1]. Nothing is drawn, so that models are compared without noise.
    """
    image = reconstruct(model, images, conditions)
    return (image - to_input(images).cpu()).square().flatten(1).mean(1).double().numpy()


def kl_per_dimension(found: Posteriors) -> np.ndarray:
    """Mean KL(q(z_m | x) ‖ N(0, 1)) of every latent over the images, (M,), in nats; they sum to the mean KL."""
    mean, log_var = found.mean.astype(np.float64), found.log_var.astype(np.float64)
    return (0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)).mean(0)


def active_units(found: Posteriors) -> np.ndarray:
    """Which latents are used, bool (M,): the variance over images of the posterior's mean exceeds 0.01.

    Burda, Grosse and Salakhutdinov, arXiv:1509.00519, section 5.2: A_u = Cov_x(E_q(u | x)[u]).

    Raises LabkitError: fewer than two images.
    """
    if len(found.mean) < 2:
        raise LabkitError(f"active_units: needs at least two images, got {len(found.mean)}.")
    return found.mean.astype(np.float64).var(0) > ACTIVE_ABOVE


def decoder_sigma(model: VAE, images: Images) -> float:
    """The σ that fits a trained decoder best, in units in which black to white is 2.

    The maximum-likelihood σ² is the mean squared error (Rybkin et al., arXiv:2006.13202); measure it on training
    images, before a bound on others.
    """
    return float(np.sqrt(reconstruction_error(model, images).mean()))


@torch.no_grad()
def importance_weighted_bound(
    model: VAE,
    images: Images,
    conditions: np.ndarray | None = None,
    *,
    sigma: float,
    samples: int = 64,
    seed: int = 0,
) -> np.ndarray:
    """Burda et al.'s bound on log p(x) of each image, (N,), in nats, for p(x | z) = N(x; decode(z), σ² I).

    log 1/K Σ_k p(x | z_k) p(z_k) / q(z_k | x) with z_k from the posterior: on average below log p(x), the closer the
    larger K = `samples`; K = 1 is the ELBO. It is a density of pixels in [−1, 1]: see `image_bits_per_dim`.

    Raises LabkitError: no samples, or σ not positive.
    """
    if samples < 1:
        raise LabkitError(f"importance_weighted_bound: samples = {samples} must be at least 1.")
    generator = torch.Generator(model.to_mean.weight.device).manual_seed(seed)
    bounds = []
    for x, condition in _batches(model, images, conditions, max(1, DECODED_AT_ONCE // samples)):
        mean, log_var = (value.repeat_interleave(samples, 0) for value in model.encode(x, condition))
        z = model.reparameterise(mean, log_var, generator)
        again = None if condition is None else condition.repeat_interleave(samples, 0)
        likelihood = gaussian_log_likelihood(x.repeat_interleave(samples, 0), model.decode(z, again), sigma)
        noise = (z - mean) * torch.exp(-0.5 * log_var)
        # log p(z) − log q(z | x): the constants of the two Gaussians cancel
        ratio = 0.5 * (noise.square() + log_var - z.square()).sum(1)
        weights = (likelihood + ratio).double().view(-1, samples)
        bounds.append(torch.logsumexp(weights, 1) - math.log(samples))
    return torch.cat(bounds).cpu().numpy()


def image_bits_per_dim(
    model: VAE,
    images: np.ndarray,
    conditions: np.ndarray | None = None,
    *,
    sigma: float,
    samples: int = 64,
    seed: int = 0,
) -> np.ndarray:
    """Bits per number of uint8 images (N, C, H, W), from the importance-weighted bound: an upper bound, (N,).

    A grey level is 1/127.5 wide in [−1, 1], so log₂ 127.5 is added to the bits of the density; uniform noise of one
    level makes the density of the pixels bound the probability of the levels (Theis et al., arXiv:1511.01844).

    Raises LabkitError: images are not uint8; see `importance_weighted_bound`.
    """
    if images.dtype != np.uint8:
        raise LabkitError(f"image_bits_per_dim: needs uint8 images, not {images.dtype}: bits count grey levels.")
    noisy = dequantise(images / 255.0, 255, seed) * 2 - 1
    x = torch.as_tensor(noisy, dtype=model.to_mean.weight.dtype)
    nats = importance_weighted_bound(model, x, conditions, sigma=sigma, samples=samples, seed=seed)
    return bits_per_dim(nats, model.pixels) + math.log2(127.5)


def _batches(
    model: VAE, images: Images, conditions: np.ndarray | None, batch_size: int | None = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Pairs of inputs and conditions on the model's device and in its dtype, while the model is in eval mode."""
    weight, trained = model.to_mean.weight, model.training
    batch_size = batch_size or ENCODED_AT_ONCE
    model.eval()
    try:
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            x = to_input(images[part]).to(weight.device, weight.dtype)
            condition = None if conditions is None else torch.as_tensor(conditions[part]).to(x)
            yield x, condition
    finally:
        model.train(trained)
