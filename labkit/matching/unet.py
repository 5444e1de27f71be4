"""A velocity field for pictures: a small U-Net that is given the time and attributes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.matching.guidance import guided
from labkit.matching.nets import TimeFeatures
from labkit.matching.solvers import Solver, grid, heun

SIZES = (32, 64)
SMALLEST = 4  # side of the smallest maps, where every pixel sees the whole picture
GROUPS = 8


@dataclass(frozen=True)
class PixelConfig:
    """What a flow of pictures is made of."""

    size: int = 32  # height and width in pixels, 32 or 64
    # Channels of the largest maps, a multiple of 8; twice and then four times as many in the smaller ones.
    width: int = 32
    labels: int = 0  # number c of attributes that the field may be given; 0 for none
    channels: int = 3  # C, colours of a picture
    frequencies: int = 16  # the time enters as this many sines and as many cosines

    def __post_init__(self) -> None:
        least = min(self.width, self.channels, self.frequencies)
        if self.size not in SIZES or self.width % GROUPS or least < 1 or self.labels < 0:
            raise LabkitError(
                f"PixelConfig: {self} is not possible; size must be 32 or 64, width a multiple of {GROUPS}, channels "
                "and frequencies at least 1, labels at least 0."
            )

    @property
    def widths(self) -> list[int]:
        """Channels of the maps, from the largest to those of 4 × 4."""
        levels = (self.size // SMALLEST).bit_length()
        return [self.width * min(2**level, 4) for level in range(levels)]


class Block(nn.Module):
    """Two convolutions beside a shortcut; time and attributes scale and shift each channel between them.

    The second convolution begins at zero, so that an untrained block passes its input on.
    """

    def __init__(self, before: int, after: int, told: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(GROUPS, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.norm = nn.GroupNorm(GROUPS, after)
        self.told = nn.Linear(told, 2 * after)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Maps (N, before, H, W) → (N, after, H, W)."""
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        inner = self.norm(self.first(x)) * (1 + scale) + shift
        return self.shortcut(x) + self.second(F.silu(inner))


class PixelFlow(nn.Module):
    """A continuous flow of pictures x (N, C, size, size) in [−1, 1]: its velocity field.

    A U-Net (Ronneberger et al., arXiv:1505.04597; its use as a field: Ho et al., arXiv:2006.11239): maps shrink to
    4 × 4, where the whole picture is seen, and grow again beside the maps of the way down, which keep the details.
    The net has to learn only what pictures have beyond noise: it gets x_t at unit variance, and what it says, at unit
    variance too, is added to the exact field of data N(0, 1) (after Karras et al., arXiv:2206.00364). Its last layer
    begins at zero.
    """

    def __init__(self, config: PixelConfig = PixelConfig()) -> None:
        super().__init__()
        self.config = config
        widths, told = config.widths, 4 * config.width
        self.time = TimeFeatures(config.frequencies)
        self.told = nn.Sequential(
            nn.Linear(2 * config.frequencies + config.labels, told), nn.SiLU(), nn.Linear(told, told), nn.SiLU()
        )
        self.enter = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        before = [widths[0], *widths[:-1]]
        self.down = nn.ModuleList(Block(*each, told) for each in zip(before, widths, strict=True))
        self.middle = Block(widths[-1], widths[-1], told)
        self.up = nn.ModuleList(Block(2 * now, last, told) for last, now in reversed([*zip(before, widths)]))
        self.leave = nn.Sequential(
            nn.GroupNorm(GROUPS, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], config.channels, 3, padding=1)
        )
        nn.init.zeros_(self.leave[-1].weight)
        nn.init.zeros_(self.leave[-1].bias)

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Velocity (N, C, H, W) at pictures x (N, C, H, W).

        Args:
            time: t in [0, 1], () or (N,).
            label: (N, c) of −1, 0 and 1; None is all zeros: nothing is said.
        """
        time = time.expand(len(x))
        told = [self.time(time)]
        if self.config.labels:
            told.append(x.new_zeros(len(x), self.config.labels) if label is None else label)
        time = time.reshape(-1, 1, 1, 1)
        spread = ((1 - time) ** 2 + time**2).sqrt()
        added = self._net(x / spread, self.told(torch.cat(told, 1)))
        return (2 * time - 1) / spread**2 * x + added / spread

    def _net(self, x: Tensor, told: Tensor) -> Tensor:
        x, kept = self.enter(x), []
        for level, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if level else x, told)
            kept.append(x)
        x = self.middle(x, told)
        for level, block in enumerate(self.up):
            x = F.interpolate(x, scale_factor=2.0) if level else x
            x = block(torch.cat([x, kept.pop()], 1), told)
        return self.leave(x)

    def standardised(self, x: Tensor) -> Tensor:
        """Pictures as they are: [−1, 1] is near enough to the scale of the noise."""
        return x

    @torch.no_grad()
    def sample(
        self,
        count: int,
        steps: int = 20,
        *,
        label: Tensor | None = None,
        weight: float = 0.0,
        generator: torch.Generator | None = None,
        solver: Solver = heun,
    ) -> Tensor:
        """Draw pictures (count, C, size, size), mostly within [−1, 1], with `steps` steps from noise to data.

        Args:
            label: (count, c) attributes wanted, None for any picture.
            weight: of the guidance towards them, see `labkit.matching.guided`.
            generator: on the CPU, so that every device draws the same noise.
        """
        config, place = self.config, self.enter.weight
        noise = torch.randn(count, config.channels, config.size, config.size, generator=generator).to(place)
        field = self if label is None else guided(self, label.to(place), weight)
        return solver(field, noise, grid(steps, like=noise))
