"""The groups of latents of a hierarchical VAE, and its shape (Vahdat and Kautz, arXiv:2007.03898).

The posterior is written relative to the prior: where p(z_l | z_<l) = N(μ, σ²), q has mean μ + Δμ and deviation σ Δσ.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.hvae.cells import GenerativeCell, norm, run_cells
from labkit.hvae.discretised_logistic import LOWEST_LOG_SCALE

BOUND = 5.0  # of means and log-deviations
Terms = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class HVAEConfig:
    """Shape of the model. With no group of maps it is a flat VAE of the same cells and likelihood."""

    # How many groups of latent maps there are at each scale, coarsest first, 0 for none; each further scale has twice
    # the side.
    groups: tuple[int, ...] = (1, 1, 1)
    vector: int = 32  # latents of the first group, a vector
    size: int = 32  # height and width of an image, a power of two from 16
    coarsest: int = 4  # side of the coarsest scale
    # Channels at half the image's side, the finest that has cells; they double as the side halves, up to `widest`
    # times.
    width: int = 16
    widest: int = 4  # largest multiple of `width`
    latent_channels: int = 2  # of a group at the finest of these scales; they double as the side halves
    cells: int = 1  # residual cells before each group and at each scale of the tower
    expansion: int = 2  # E of a generative cell
    mixtures: int = 1  # components of a pixel's likelihood
    channels: int = 3  # C of an image
    # Below which no pixel's logistic gets sharper, in units in which black to white is 2. Where a picture is flat, a
    # sharper one saves more bits than a whole face can: a short training then draws backgrounds and no eyes.
    lowest_log_scale: float = LOWEST_LOG_SCALE
    residual_normal: bool = True  # False: each posterior has its own mean and deviation
    depthwise: bool = True  # False makes the 5×5 convolutions mix channels
    checkpointing: bool = False  # compute cells again in the backward pass, not keep them

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))  # a sweep's file holds a list
        sides = (self.size, self.coarsest)
        whole = all(side >= 2 and side & (side - 1) == 0 for side in sides)
        least = min(
            self.vector, self.width, self.widest, self.latent_channels, self.cells, self.expansion, self.mixtures,
            self.channels,
        )  # fmt: skip
        sharp = LOWEST_LOG_SCALE <= self.lowest_log_scale <= 0
        if not whole or self.size < 16 or not self.groups or least < 1 or min(self.groups) < 0 or not sharp:
            raise LabkitError(
                f"HVAEConfig: {self} is not possible; size (from 16) and coarsest must be powers of two, "
                f"groups must be one or more counts, lowest_log_scale in [{LOWEST_LOG_SCALE:g}, 0], and all else at "
                "least 1."
            )
        if self.finest > self.size // 2:
            raise LabkitError(
                f"HVAEConfig: {len(self.groups)} scales from {self.coarsest} end at {self.finest}, more than half of "
                f"{self.size}; give fewer scales or a smaller coarsest."
            )

    @property
    def finest(self) -> int:
        """Side of the finest scale that has latents."""
        return self.coarsest * 2 ** (len(self.groups) - 1)

    @property
    def sides(self) -> list[int]:
        """Side of the latent map of each group but the first, in the order in which they are drawn."""
        return [self.coarsest * 2**scale for scale, count in enumerate(self.groups) for _ in range(count)]

    @property
    def latents(self) -> int:
        """All latents of an image, in numbers."""
        return self.vector + sum(self.latents_at(side) * side**2 for side in self.sides)

    def latents_at(self, side: int) -> int:
        """Channels of latents at that side."""
        return self.latent_channels * self.finest // side

    def width_at(self, side: int) -> int:
        """Channels of the maps of that side."""
        return self.width * min(self.size // 2 // side, self.widest)


class MapGroup(nn.Module):
    """A group of latent maps: cells, prior, posterior, and what the drawn latents change in the decoder's maps."""

    def __init__(self, config: HVAEConfig, side: int) -> None:
        super().__init__()
        channels, latent = config.width_at(side), config.latents_at(side)
        self.config, self.side, self.shape = config, side, (latent, side, side)
        cell = (channels, config.expansion, config.depthwise)
        self.cells = nn.Sequential(*[GenerativeCell(*cell) for _ in range(config.cells)])
        self.prior = nn.Sequential(nn.SiLU(), nn.Conv2d(channels, 2 * latent, 1))
        self.merge = nn.Conv2d(channels, channels, 1)
        self.posterior = nn.Sequential(norm(channels), nn.SiLU(), nn.Conv2d(channels, 2 * latent, 3, padding=1))
        self.absorb = nn.Conv2d(latent, channels, 1)

    def forward(
        self, maps: Tensor, seen: Tensor | None, noise: Tensor, temperature: float = 1.0
    ) -> tuple[Tensor, Terms | None]:
        """The decoder's maps with latents in them; from the posterior where the tower's maps are given.

        Returns:
            The maps; KL and log q − log p of each image, (N,) each, or None where latents come from the prior.
        """
        maps = run_cells(self.cells, maps, self.config.checkpointing)
        mean, log_std = bounded(self.prior(maps)).chunk(2, 1)
        told = None if seen is None else self.posterior(seen + self.merge(maps))
        z, terms = draw_latents(mean, log_std, told, noise, temperature, self.config.residual_normal)
        return maps + self.absorb(z.to(maps.dtype)), terms


class VectorGroup(nn.Module):
    """The first group: a vector with a standard normal prior, read from all of the coarsest maps."""

    def __init__(self, config: HVAEConfig) -> None:
        super().__init__()
        channels, side = config.width_at(config.coarsest), config.coarsest
        self.shape, self.side = (config.vector,), 1
        self.posterior = nn.Sequential(
            norm(channels), nn.SiLU(), nn.Flatten(), nn.Linear(channels * side**2, 2 * config.vector)
        )
        self.absorb = nn.Linear(config.vector, channels * side**2)

    def forward(
        self, maps: Tensor, seen: Tensor | None, noise: Tensor, temperature: float = 1.0
    ) -> tuple[Tensor, Terms | None]:
        """As `MapGroup.forward`."""
        zeros = noise.new_zeros(noise.shape)
        told = None if seen is None else self.posterior(seen)
        z, terms = draw_latents(zeros, zeros, told, noise, temperature, True)
        return maps + self.absorb(z.to(maps.dtype)).view_as(maps), terms


def bounded(values: Tensor) -> Tensor:
    """5 tanh(v / 5), the authors' soft clamp: about v near 0, never beyond ±5; float32 whatever came in."""
    return BOUND * torch.tanh(values.float() / BOUND)


def draw_latents(
    mean: Tensor, log_std: Tensor, told: Tensor | None, noise: Tensor, temperature: float, residual: bool
) -> tuple[Tensor, Terms | None]:
    """Latents (N, …) from the prior N(mean, exp(log_std)²), or from the posterior that `told` (N, 2 …) describes.

    Returns:
        z; and KL and log q − log p at z, (N,) each, or None from the prior.
    """
    if told is None:
        return mean + temperature * torch.exp(log_std) * noise, None
    shift, log_factor = bounded(told).chunk(2, 1)
    if not residual:
        shift, log_factor = shift - mean, log_factor - log_std
    z = mean + shift + torch.exp(log_std + log_factor) * noise
    ratio = 0.5 * (((z - mean) * torch.exp(-log_std)).square() - noise.square()) - log_factor
    kl = residual_kl(shift, log_factor, log_std)
    return z, (kl.flatten(1).sum(1), ratio.flatten(1).sum(1))


def residual_kl(shift: Tensor, log_factor: Tensor, prior_log_std: Tensor) -> Tensor:
    """KL(N(μ + Δμ, (σ Δσ)²) ‖ N(μ, σ²)) of every latent, in nats: ½ (Δμ²/σ² + Δσ² − log Δσ² − 1).

    Vahdat and Kautz, equation 2; the prior's mean does not enter.

    Args:
        shift: Δμ.
        log_factor: log Δσ.
        prior_log_std: log σ.
    """
    return 0.5 * ((shift * torch.exp(-prior_log_std)).square() + torch.expm1(2 * log_factor)) - log_factor
