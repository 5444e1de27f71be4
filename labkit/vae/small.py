"""The small convolutional VAE on which the papers about disentanglement compare objectives.

Burgess et al., arXiv:1804.03599, and Locatello et al., arXiv:1811.12359, appendix: four 4×4 convolutions of stride 2
with 32, 32, 64 and 64 channels, a dense layer of 256, ReLU throughout, and the mirror of all this as the decoder.
There is no normalisation layer: the code of an image depends on that image alone. The papers' images are 64×64; the
same layers on 32×32 end in a map of 2×2, at a quarter of the cost.
"""

from dataclasses import dataclass

from torch import nn

from labkit.errors import LabkitError
from labkit.vae.nets import VAE

SIZES = (32, 64)
DENSE = 256  # units, at the papers' width


@dataclass(frozen=True)
class SmallConfig:
    """Size of the VAE."""

    latent_dim: int = 10  # M; 10 in the papers
    channels: int = 3  # C, 1 for dSprites and 3 for colour
    size: int = 64  # height and width in pixels, 32 or 64
    width: int = 32  # channels of the first convolution; 32 in the papers, the rest in proportion

    def __post_init__(self) -> None:
        if self.size not in SIZES or min(self.latent_dim, self.channels, self.width) < 1:
            raise LabkitError(
                f"SmallConfig: {self} is not possible; size must be 32 or 64, and the other numbers at least 1."
            )

    @property
    def maps(self) -> tuple[int, int, int, int]:
        """Channels after each of the encoder's four convolutions."""
        return self.width, self.width, 2 * self.width, 2 * self.width

    @property
    def bottom(self) -> tuple[int, int, int]:
        """Shape (2 width, size/16, size/16) of the map between the convolutions and the dense layers."""
        return 2 * self.width, self.size // 16, self.size // 16

    @property
    def dense(self) -> int:
        """Units of the dense layer."""
        return DENSE * self.width // 32 or 1


class SmallVAE(VAE):
    """Images (N, C, size, size) in [−1, 1] ↔ latents (N, M)."""

    def __init__(self, config: SmallConfig = SmallConfig()) -> None:
        super().__init__(
            encoder(config),
            decoder(config),
            features=config.dense,
            latent_dim=config.latent_dim,
            image_shape=(config.channels, config.size, config.size),
        )
        self.config = config


def encoder(config: SmallConfig) -> nn.Sequential:
    """Images (N, C, size, size) → features (N, `config.dense`)."""
    layers: list[nn.Module] = []
    before = config.channels
    for channels in config.maps:
        layers += [nn.Conv2d(before, channels, 4, 2, 1), nn.ReLU(inplace=True)]
        before = channels
    return nn.Sequential(*layers, nn.Flatten(), *_dense(_numbers(config.bottom), config.dense))


def decoder(config: SmallConfig) -> nn.Sequential:
    """Latents (N, M) → images (N, C, size, size) in [−1, 1]."""
    layers = [*_dense(config.latent_dim, config.dense), *_dense(config.dense, _numbers(config.bottom))]
    layers.append(nn.Unflatten(1, config.bottom))
    before = config.maps[-1]
    for channels in config.maps[-2::-1]:
        layers += [nn.ConvTranspose2d(before, channels, 4, 2, 1), nn.ReLU(inplace=True)]
        before = channels
    return nn.Sequential(*layers, nn.ConvTranspose2d(before, config.channels, 4, 2, 1), nn.Tanh())


def _dense(before: int, after: int) -> list[nn.Module]:
    return [nn.Linear(before, after), nn.ReLU(inplace=True)]


def _numbers(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]
