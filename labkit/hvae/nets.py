"""A hierarchical VAE in the manner of NVAE (Vahdat and Kautz, arXiv:2007.03898), small enough for one CPU core.

Latents come in groups, first a vector for the whole image, then maps from coarse to fine: p(z) = Π_l p(z_l | z_<l).
(NVAE begins with a coarse map; a vector lets a short training learn what concerns all of the image.) A tower of
convolutions reads the image from fine to coarse; the decoder goes back from coarse to fine and meets at each group
what the tower saw at that scale. Images are float (N, C, H, W) in [−1, 1], pixels have a discretised logistic
likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.hvae.cells import Double, GenerativeCell, Halve, InferenceCell, run_cells
from labkit.hvae.discretised_logistic import expected_image, log_likelihood, parameter_count, split_maps
from labkit.hvae.groups import HVAEConfig, MapGroup, Terms, VectorGroup
from labkit.hvae.spectral import SpectralNorms

FINAL = 8  # channels at the image's own side, before those of the likelihood
Latents = list[Tensor]


@dataclass(frozen=True)
class HierarchicalElbo:
    """The evidence lower bound of each image, in nats, and what it is made of."""

    reconstruction: Tensor  # log p(x | z) at one z drawn from the posterior, (N,)
    kl: Tensor  # KL(q(z_l | x, z_<l) ‖ p(z_l | z_<l)) of each group in closed form at the drawn z_<l, (N, L)
    log_ratio: Tensor  # log q(z | x) − log p(z) at the drawn z, (N,); its mean over z is that of the KL

    @property
    def elbo(self) -> Tensor:
        """log p(x | z) − Σ_l KL_l, (N,)."""
        return self.reconstruction - self.kl.sum(1)

    @property
    def log_weight(self) -> Tensor:
        """log p(x, z) − log q(z | x), (N,): what an importance-weighted bound averages."""
        return self.reconstruction - self.log_ratio


class HVAE(nn.Module):
    """The model. In train mode batch normalisation uses the statistics of its batch, in eval mode running ones.

    Attributes:
        config: its shape.
        spectral: the spectral norms of its convolutions, for a penalty.
    """

    def __init__(self, config: HVAEConfig | None = None) -> None:
        super().__init__()
        self.config = config = HVAEConfig() if config is None else config
        up, down, side = [], [], config.size // 2
        self.stem = nn.Conv2d(config.channels, config.width, 4, 2, 1)
        while side > config.coarsest:
            channels, following = config.width_at(side), config.width_at(side // 2)
            towers = [InferenceCell(channels) for _ in range(config.cells)]
            up.append(nn.ModuleList([nn.Sequential(*towers), Halve(channels, following)]))
            down.append(Double(following, channels))
            side //= 2
        last = [InferenceCell(config.width_at(side)) for _ in range(config.cells)]
        self.up, self.top = nn.ModuleList(up), nn.Sequential(*last)
        self.down = nn.ModuleList(down[::-1])
        self.start = nn.Parameter(torch.randn(1, config.width_at(side), side, side) * 0.1)
        self.groups = nn.ModuleList([VectorGroup(config), *[MapGroup(config, side) for side in config.sides]])
        cell = (config.expansion, config.depthwise)
        plain = [side for side in self._sides() if side not in config.sides]
        self.plain = nn.ModuleDict({str(side): GenerativeCell(config.width_at(side), *cell) for side in plain})
        self.head = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(config.width, 4 * FINAL, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(FINAL, parameter_count(config.channels, config.mixtures), 3, padding=1),
        )
        with torch.no_grad():
            # Log-scales start near those of pictures, not at white noise of the whole range.
            _, _, log_scale = split_maps(self.head[-1].bias[None, :, None, None], config.channels, config.mixtures)
            log_scale -= 1.5
        self.spectral = SpectralNorms(self)
        self.to(memory_format=torch.channels_last)  # an eighth to a fifth faster on a CPU

    def _sides(self) -> list[int]:
        """Sides of the decoder's maps, coarsest first."""
        return [self.config.coarsest * 2**i for i in range(len(self.down) + 1)]

    def noise(self, n: int, generator: torch.Generator | None = None) -> Latents:
        """Standard normal numbers for n images, a tensor for each group: (n, vector), then (n, M, side, side)."""
        like = {"dtype": self.start.dtype, "device": self.start.device}
        return [torch.randn(n, *group.shape, generator=generator, **like) for group in self.groups]

    def see(self, x: Tensor) -> dict[int, Tensor]:
        """The tower's maps (N, channels, side, side) of images, by side.

        Raises LabkitError: the images have another shape or are no floats.
        """
        wanted = (self.config.channels, self.config.size, self.config.size)
        if x.shape[1:] != wanted or not x.is_floating_point():
            raise LabkitError(
                f"HVAE: needs float images (N, {', '.join(map(str, wanted))}) in [−1, 1], not {x.dtype} "
                f"{tuple(x.shape)}; build it for that size, and pass uint8 images through to_input."
            )
        maps, seen = self.stem(x), {}
        for cells, halve in self.up:
            maps = run_cells(cells, maps, self.config.checkpointing)
            seen[maps.shape[-1]] = maps
            maps = halve(maps)
        seen[maps.shape[-1]] = run_cells(self.top, maps, self.config.checkpointing)
        return seen

    def _descend(
        self, noise: Latents, seen: dict[int, Tensor] | None, temperatures: Sequence[float]
    ) -> tuple[Tensor, list[Terms | None]]:
        there = None if seen is None else seen[self.config.coarsest]
        start = self.start.expand(len(noise[0]), -1, -1, -1)
        maps, term = self.groups[0](start, there, noise[0], temperatures[0])
        terms = [term]
        for i, side in enumerate(self._sides()):
            if i:
                maps = self.down[i - 1](maps)
            for place, group in enumerate(self.groups):
                if group.side == side:
                    there = None if seen is None else seen[side]
                    maps, term = group(maps, there, noise[place], temperatures[place])
                    terms.append(term)
            if str(side) in self.plain:
                maps = run_cells(self.plain[str(side)], maps, self.config.checkpointing)
        return self.head(maps), terms

    def elbo(
        self, x: Tensor, noise: Latents | None = None, generator: torch.Generator | None = None
    ) -> HierarchicalElbo:
        """The bound of images (N, C, H, W), at latents made of `noise` or of fresh noise."""
        parameters, terms = self._infer(x, noise, generator)
        likelihood = log_likelihood(x, parameters, self.config.mixtures, self.config.lowest_log_scale)
        kl, ratio = (torch.stack(column, 1) for column in zip(*terms))
        return HierarchicalElbo(likelihood, kl, ratio.sum(1))

    def reconstruct(
        self, x: Tensor, noise: Latents | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Images (N, C, H, W) in [−1, 1], decoded from latents drawn from the posterior."""
        return self._picture(self._infer(x, noise, generator)[0])

    def decode(self, noise: Latents, temperatures: float | Sequence[float] = 1.0) -> Tensor:
        """Images (N, C, H, W) in [−1, 1] from the prior: group l is μ + T_l σ ε with ε = noise[l].

        Args:
            noise: see `noise`; to draw one group anew, change its tensor alone.
            temperatures: one for all groups, or one for each.

        Raises LabkitError: as many temperatures or tensors of noise as groups are needed.
        """
        count = len(self.groups)
        each = [float(temperatures)] * count if isinstance(temperatures, int | float) else list(temperatures)
        if len(each) != count or len(noise) != count:
            raise LabkitError(
                f"HVAE: {len(each)} temperatures and {len(noise)} tensors of noise for {count} groups of latents; "
                "give one of each per group."
            )
        return self._picture(self._descend(noise, None, each)[0])

    def sample(
        self, n: int, *, temperature: float | Sequence[float] = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """n images (n, C, H, W) in [−1, 1], the expected pixels given latents from the prior."""
        return self.decode(self.noise(n, generator), temperature)

    def forward(self, x: Tensor) -> HierarchicalElbo:
        """The same as `elbo`."""
        return self.elbo(x)

    def _infer(self, x: Tensor, noise: Latents | None, generator: torch.Generator | None):
        noise = self.noise(len(x), generator) if noise is None else noise
        return self._descend(noise, self.see(x), [1.0] * len(self.groups))

    def _picture(self, parameters: Tensor) -> Tensor:
        return expected_image(parameters.float(), self.config.channels, self.config.mixtures)


def count_parameters(config: HVAEConfig) -> int:
    """Trained numbers of the model, without making it."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in HVAE(config).parameters())
