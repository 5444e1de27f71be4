"""The conditional VAE of report C: 64 latents, attributes as the condition, a width k to search over.

Sohn, Lee and Yan, NeurIPS 2015: p(x | z, c) and q(z | x, c), so that the latent need not hold what the condition
says. The report gives the size of the latent, and k (the network's size) and b (the batch's) as searched over; the
layers are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.vae.nets import VAE


@dataclass(frozen=True)
class ConditionalConfig:
    """Size of the VAE."""

    condition_dim: int  # length A of the condition vector, at least 1
    latent_dim: int = 64  # M
    size: tuple[int, int] = (64, 64)  # (height, width) in pixels, multiples of 16
    width: int = 32  # k, the channels of the first convolution; then 2k, 4k and 8k

    def __post_init__(self) -> None:
        least = min(self.condition_dim, self.latent_dim, self.width, *self.size)
        if least < 1 or any(side % 16 for side in self.size):
            raise LabkitError(
                f"ConditionalConfig: {self} is not possible; height and width must be multiples of 16, "
                "condition_dim, latent_dim and width at least 1."
            )

    @property
    def bottom(self) -> tuple[int, int, int]:
        """Shape (8k, H/16, W/16) of the map between the convolutions and the linear layers."""
        return 8 * self.width, self.size[0] // 16, self.size[1] // 16


class ConditionalVAE(VAE):
    """Images (N, 3, H, W) in [−1, 1] and conditions (N, A) ↔ latents (N, M).

    The condition stands beside the encoder's features and beside the latent; any float vector will do, attributes
    best as 0 and 1.
    """

    def __init__(self, config: ConditionalConfig) -> None:
        channels, height, width = config.bottom
        super().__init__(
            _encoder(config),
            _decoder(config),
            features=channels * height * width + config.condition_dim,
            latent_dim=config.latent_dim,
            image_shape=(3, *config.size),
        )
        self.config = config
        self.condition_dim = config.condition_dim

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._check(x, condition)
        features = torch.cat((self.encoder(x), condition), 1)
        return self.to_mean(features), self.to_log_var(features)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        self._check_condition(len(z), condition)
        return self.decoder(torch.cat((z, condition), 1))


def _encoder(config: ConditionalConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for level in range(4):
        channels = config.width * 2**level
        layers += [nn.Conv2d(before, channels, 4, 2, 1, bias=False), *_normalised(channels)]
        before = channels
    return nn.Sequential(*layers, nn.Flatten())


def _decoder(config: ConditionalConfig) -> nn.Sequential:
    channels, height, width = config.bottom
    start = nn.Linear(config.latent_dim + config.condition_dim, channels * height * width)
    layers: list[nn.Module] = [start, nn.Unflatten(1, config.bottom)]
    for _ in range(3):
        layers += [nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False), *_normalised(channels // 2)]
        channels //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels, 3, 4, 2, 1), nn.Tanh())


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(0.2, inplace=True)]
