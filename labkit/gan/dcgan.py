"""DCGAN: a generator and a discriminator of strided convolutions (Radford, Metz and Chintala, arXiv:1511.06434).

Batch normalisation everywhere but at the generator's output and the discriminator's input; ReLU and tanh in the
generator, LeakyReLU(0.2) in the discriminator; weights drawn from N(0, 0.02), those of batch normalisation from
N(1, 0.02). A bias before batch normalisation would be taken away with the mean: only the others have one, from 0.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError

WEIGHT_STD = 0.02
SLOPE = 0.2


@dataclass(frozen=True)
class DCGANConfig:
    """Size of both nets."""

    # Channels of the discriminator's first map and of the generator's last; 64 is common, the paper has 128.
    width: int = 64
    size: int = 64  # height and width of an image, a power of two from 8; 64 in the paper
    latent_dim: int = 100  # M; 100 in the paper
    channels: int = 3  # C of an image

    def __post_init__(self) -> None:
        if self.size < 8 or self.size & (self.size - 1) or min(self.width, self.latent_dim, self.channels) < 1:
            raise LabkitError(
                f"DCGANConfig: {self} is not possible; size must be a power of two from 8, the others at least 1."
            )

    @property
    def widths(self) -> list[int]:
        """Channels of the maps from the image's side to the one of 4 × 4: they double as the side halves."""
        return [self.width * 2**stage for stage in range(self.size.bit_length() - 3)]


class Generator(nn.Module):
    """Latents (N, M) → images (N, C, size, size) in [−1, 1]."""

    def __init__(self, config: DCGANConfig = DCGANConfig()) -> None:
        super().__init__()
        widths = config.widths[::-1]
        layers = [nn.ConvTranspose2d(config.latent_dim, widths[0], 4, bias=False)]
        for width, following in itertools.pairwise(widths):
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(width, following, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(widths[-1], config.channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Images of latents."""
        return self.layers(z[:, :, None, None])


class Discriminator(nn.Module):
    """Images (N, C, size, size) in [−1, 1] → logits (N,) of being real."""

    def __init__(self, config: DCGANConfig = DCGANConfig()) -> None:
        super().__init__()
        widths = config.widths
        layers = [nn.Conv2d(config.channels, widths[0], 4, 2, 1), nn.LeakyReLU(SLOPE, inplace=True)]
        for width, following in itertools.pairwise(widths):
            layers += [nn.Conv2d(width, following, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(following), nn.LeakyReLU(SLOPE, inplace=True)]
        layers += [nn.Conv2d(widths[-1], 1, 4)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images."""
        return self.layers(x).flatten()


class DCGAN(nn.Module):
    """Both nets in one module, which one `fit` trains.

    Attributes:
        config: their size.
        generator, discriminator: the nets. In train mode both use the statistics of their batch; in eval mode an
            image does not depend on the others drawn with it.
    """

    def __init__(self, config: DCGANConfig = DCGANConfig()) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)
        self.apply(initialise)
        self.to(memory_format=torch.channels_last)  # a fifth to a third faster on a CPU

    @property
    def latent_dim(self) -> int:
        """M."""
        return self.config.latent_dim

    def noise(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Latents (n, M) from N(0, I), on the device of the weights; the paper draws from a cube."""
        weight = next(self.generator.parameters())
        return torch.randn(n, self.latent_dim, generator=generator, dtype=weight.dtype, device=weight.device)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n images (n, C, size, size) in [−1, 1]."""
        return self.generator(self.noise(n, generator))

    def decode(self, z: Tensor) -> Tensor:
        """Images (N, C, size, size) in [−1, 1] for latents (N, M); named as a VAE's."""
        return self.generator(z)

    def forward(self, z: Tensor) -> Tensor:
        """The same as `decode`."""
        return self.generator(z)


def initialise(layer: nn.Module) -> None:
    """Draw the first weights of one layer as in the paper."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, WEIGHT_STD)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, WEIGHT_STD)
    if getattr(layer, "bias", None) is not None:
        nn.init.zeros_(layer.bias)
