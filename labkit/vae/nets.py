"""What every variational autoencoder of the course shares: encode, reparameterise, decode, and the ELBO.

Kingma and Welling, arXiv:1312.6114. Images are float (N, C, H, W) in [−1, 1], the posterior is a diagonal Gaussian,
the prior is standard normal, and the decoder gives the mean of a Gaussian with one fixed standard deviation σ.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError


@dataclass(frozen=True)
class Elbo:
    """The evidence lower bound of each image of a batch, in nats."""

    reconstruction: Tensor  # log p(x | z) at one z drawn from the posterior, (N,): a log-density of pixels in [−1, 1]
    kl: Tensor  # KL(q(z | x) ‖ p(z)), (N,), never negative

    @property
    def elbo(self) -> Tensor:
        """log p(x | z) − KL, (N,): at most log p(x) on average over z."""
        return self.reconstruction - self.kl


class VAE(nn.Module):
    """A variational autoencoder of two parts that subclasses bring.

    Args:
        encoder: images (N, C, H, W) → features (N, `features`).
        decoder: latents (N, latent_dim) → images in [−1, 1].
        features: how many numbers the encoder ends in.
        latent_dim: M, the size of the latent.
        image_shape: (C, H, W).

    Attributes:
        condition_dim: length of the condition vector; 0 where the model has none.
    """

    condition_dim = 0

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        features: int,
        latent_dim: int,
        image_shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.image_shape = image_shape
        self.encoder = encoder
        self.to_mean = nn.Linear(features, latent_dim)
        self.to_log_var = nn.Linear(features, latent_dim)
        self.decoder = decoder

    @property
    def pixels(self) -> int:
        """C · H · W, the numbers in an image."""
        return math.prod(self.image_shape)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, (N, M) each, for images (N, C, H, W).

        Raises LabkitError: the images have another shape, or the condition is missing, too much or of another length.
        """
        self._check(x, condition)
        features = self.encoder(x)
        return self.to_mean(features), self.to_log_var(features)

    def reparameterise(self, mean: Tensor, log_var: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """z = mean + exp(log_var / 2) · ε with ε standard normal, (N, M): gradients reach both arguments."""
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + torch.exp(0.5 * log_var) * noise

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) in [−1, 1] for latents (N, M): the mean of p(x | z).

        Raises LabkitError: the condition is missing, too much or of another length.
        """
        self._check_condition(len(z), condition)
        return self.decoder(z)

    def forward(
        self, x: Tensor, condition: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (N, C, H, W) from a drawn latent, and the posterior's mean and log-variance (N, M)."""
        mean, log_var = self.encode(x, condition)
        return self.decode(self.reparameterise(mean, log_var, generator), condition), mean, log_var

    def elbo(
        self, x: Tensor, condition: Tensor | None = None, *, sigma: float, generator: torch.Generator | None = None
    ) -> Elbo:
        """The bound of each image in nats, under p(x | z) = N(x; decode(z), σ² I) on pixels in [−1, 1].

        The KL is in closed form, the reconstruction term is estimated with one latent per image.

        Args:
            sigma: the decoder's standard deviation, in units in which black to white is 2.
        """
        image, mean, log_var = self(x, condition, generator)
        return Elbo(gaussian_log_likelihood(x, image, sigma), kl_divergence(mean, log_var).sum(1))

    def sample(
        self,
        n: int,
        *,
        temperature: float = 1.0,
        condition: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """n images (n, C, H, W) in [−1, 1], decoded from latents drawn from N(0, temperature² I)."""
        weight = self.to_mean.weight
        z = torch.randn(n, self.latent_dim, generator=generator, dtype=weight.dtype, device=weight.device)
        return self.decode(temperature * z, condition)

    def _check(self, x: Tensor, condition: Tensor | None) -> None:
        if x.shape[1:] != self.image_shape or not x.is_floating_point():
            raise LabkitError(
                f"{type(self).__name__}: needs float images (N, {', '.join(map(str, self.image_shape))}) in [−1, 1], "
                f"not {x.dtype} {tuple(x.shape)}; build it for that size, and pass uint8 images through to_input."
            )
        self._check_condition(len(x), condition)

    def _check_condition(self, count: int, condition: Tensor | None) -> None:
        wanted = (count, self.condition_dim) if self.condition_dim else None
        got = None if condition is None else tuple(condition.shape)
        if got != wanted:
            raise LabkitError(
                f"{type(self).__name__}: needs "
                f"{'no condition' if wanted is None else f'a condition {wanted}'}, not {got or 'none'}."
            )


def gaussian_log_likelihood(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    """log N(x; mean, σ² I) in nats, summed over all but the first dimension: (N,).

    Raises LabkitError: the two differ in shape, or σ is not positive.
    """
    if x.shape != mean.shape or not sigma > 0:
        raise LabkitError(
            f"gaussian_log_likelihood: images {tuple(x.shape)} and means {tuple(mean.shape)} must share a shape "
            f"and sigma = {sigma} must be positive."
        )
    squared = (x - mean).square().flatten(1).sum(1)
    return -0.5 * squared / sigma**2 - x[0].numel() * (math.log(sigma) + 0.5 * math.log(2 * math.pi))


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) ‖ N(0, 1)) of every latent, (N, M), in nats: ½(mean² + var − 1 − log var)."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
