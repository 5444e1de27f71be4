"""One trade-off under four names: the weight λ, β, β_norm, and the decoder's σ.

With D(x) = ‖x − decode(z)‖² over the N numbers of an image, a training loss is

    loss = r · D + λ · KL,        r = 1/N for reduction "mean", r = 1 for "sum".

The negative ELBO under a Gaussian decoder of standard deviation σ, its KL weighted by β (Higgins et al., ICLR 2017),
is

    D / (2σ²) + β · KL + N log(σ √(2π)).

Multiplied by 2σ²r, its gradient is that of the loss with λ = 2σ²rβ. So a weight says one thing about two quantities,
β / precision: at a stated σ it is β = λ / (2σ²r); at β = 1, a plain VAE, it is σ² = λ / (2r). For a mean over 64 × 48
colour images, N = 9216, λ = 1e-5 is a VAE whose decoder has σ = √(1e-5 · 9216 / 2) = 0.21.

β_norm = βM/N with M latents makes β comparable between sizes (Higgins et al., section 4.2; report C). σ is in the
unit of the pixels that the loss saw: for [−1, 1] multiply by 127.5 for grey levels, by ½ for pixels in [0, 1].
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from labkit.errors import LabkitError

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class KLWeight:
    """A KL weight with all that it takes to read it."""

    weight: float  # λ > 0, factor of the KL, which is summed over latents and averaged over the batch
    reduction: Reduction  # of an image's squared error over its pixels: "mean" or "sum"; averaged over the batch
    pixels: int  # N = C · H · W
    latent_dim: int  # M

    def __post_init__(self) -> None:
        positive = min(self.weight, self.pixels, self.latent_dim) > 0
        if not positive or not math.isfinite(self.weight) or self.reduction not in ("mean", "sum"):
            raise LabkitError(
                f'KLWeight: {self} is not possible; numbers must be positive, the reduction "mean" or "sum".'
            )

    @property
    def sigma(self) -> float:
        """The decoder's σ at which this weight is a plain VAE, β = 1."""
        return math.sqrt(self.weight / (2 * _per_pixel(self.reduction, self.pixels)))

    def beta(self, sigma: float) -> float:
        """β for a decoder of this σ.

        Raises LabkitError: σ is not a positive number.
        """
        if not 0 < sigma < math.inf:
            raise LabkitError(f"KLWeight: sigma = {sigma} is no spread of a decoder; give a positive number.")
        return self.weight / (2 * sigma**2 * _per_pixel(self.reduction, self.pixels))

    def beta_norm(self, sigma: float) -> float:
        """βM/N for a decoder of this σ."""
        return self.beta(sigma) * self.latent_dim / self.pixels

    def at(self, *, reduction: Reduction | None = None, pixels: int | None = None) -> "KLWeight":
        """The weight that asks for the same σ under another reduction or at another image size."""
        there = replace(self, reduction=reduction or self.reduction, pixels=pixels or self.pixels)
        ratio = _per_pixel(there.reduction, there.pixels) / _per_pixel(self.reduction, self.pixels)
        return replace(there, weight=self.weight * ratio)


def _per_pixel(reduction: Reduction, pixels: int) -> float:
    return 1 / pixels if reduction == "mean" else 1.0
