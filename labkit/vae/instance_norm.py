"""The VAE of report E: eight convolutions with instance normalisation, and their mirror.

The report's table of the decoder has stride 1 in its second transposed convolution. From the encoder's last map,
H/16 × W/16, such a decoder ends at 8(H/16 + 1) × 8(W/16 + 1), which is 40 × 32 for images of 64 × 48. The mirror of
the encoder has stride 2 there and ends at H × W; it is the decoder used. `InstanceNormDecoder` builds either.

Instance normalisation (Ulyanov et al., arXiv:1607.08022) takes away the mean and the spread of each channel of each
image, so that what is left of overall brightness and colour passes through the borders, where zeros are padded. A
bias before it would be taken away with the mean: those layers have none.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.vae.nets import VAE

MIRROR_STRIDES = (1, 2, 1, 2, 1, 2, 1, 2)
TABULATED_STRIDES = (1, 1, 1, 2, 1, 2, 1, 2)  # as printed in the report
FEW = 16  # channels: oneDNN computes them in blocks of so many


@dataclass(frozen=True)
class InstanceNormConfig:
    """Size of the VAE."""

    latent_dim: int = 64  # M; 32, 64 or 128 in the report
    # (height, width) in pixels, multiples of 16 that leave more than one place in H/16 × W/16.
    size: tuple[int, int] = (64, 48)
    width: int = 32  # channels of the first convolution; 32 in the report, then 64, 128 and 256

    def __post_init__(self) -> None:
        height, width = self.size
        small = height % 16 or width % 16 or height * width <= 256
        if small or self.latent_dim < 1 or self.width < 1:
            raise LabkitError(
                f"InstanceNormConfig: {self} is not possible; height and width must be multiples of 16 and not "
                "both 16, latent_dim and width at least 1."
            )

    @property
    def bottom(self) -> tuple[int, int, int]:
        """Shape (8 width, H/16, W/16) of the map between the convolutions and the linear layers."""
        return 8 * self.width, self.size[0] // 16, self.size[1] // 16


class InstanceNormVAE(VAE):
    """Images (N, 3, H, W) in [−1, 1] ↔ latents (N, M), as in report E with a decoder that mirrors the encoder."""

    def __init__(self, config: InstanceNormConfig = InstanceNormConfig()) -> None:
        channels, height, width = config.bottom
        super().__init__(
            encoder(config),
            InstanceNormDecoder(config),
            features=channels * height * width,
            latent_dim=config.latent_dim,
            image_shape=(3, *config.size),
        )
        self.config = config


def encoder(config: InstanceNormConfig) -> nn.Sequential:
    """Images (N, 3, H, W) → features (N, 8 width · H/16 · W/16): 4×4 of stride 2 and 3×3 of stride 1, four times."""
    layers: list[nn.Module] = []
    before = 3
    for level in range(4):
        channels = config.width * 2**level
        layers += [nn.Conv2d(before, channels, 4, 2, 1, bias=False), *_normalised(channels)]
        layers += [nn.Conv2d(channels, channels, 3, 1, 1, bias=False), *_normalised(channels)]
        before = channels
    return nn.Sequential(*layers, nn.Flatten())


class InstanceNormDecoder(nn.Module):
    """Latents (N, M) → images (N, 3, h, w) in [−1, 1] by eight transposed convolutions and tanh.

    Args:
        strides: of the eight; `MIRROR_STRIDES` ends at (h, w) = (H, W), `TABULATED_STRIDES` does not.
    """

    def __init__(self, config: InstanceNormConfig, strides: tuple[int, ...] = MIRROR_STRIDES) -> None:
        super().__init__()
        channels, height, width = config.bottom
        self.start = nn.Linear(config.latent_dim, channels * height * width)
        layers: list[nn.Module] = [nn.Unflatten(1, config.bottom)]
        for place, stride in enumerate(strides):
            doubles = place % 2 == 1  # the 4×4 ones, which halve the channels
            after = channels // 2 if doubles else channels
            if place == len(strides) - 1:
                layers += [nn.ConvTranspose2d(channels, 3, 4, stride, 1), nn.Tanh()]
                break
            kernel = 4 if doubles else 3
            layers.append(nn.ConvTranspose2d(channels, after, kernel, stride, 1, bias=False))
            layers += _normalised(after)
            channels = after
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.start(z))


class InstanceNorm2d(nn.InstanceNorm2d):
    """`nn.InstanceNorm2d(channels)` of maps (N, C, H, W), on a CPU as group normalisation with a channel a group.

    The numbers are the same but for rounding; torch's CPU kernel for groups takes half the time, if the maps lie as
    usual. Few channels leave it in channels_last: oneDNN's convolutions of them are slow otherwise.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        x = F.group_norm(x.contiguous(), self.num_features, eps=self.eps)
        return x.contiguous(memory_format=torch.channels_last) if self.num_features < FEW else x


def _normalised(channels: int) -> list[nn.Module]:
    return [InstanceNorm2d(channels), nn.ReLU(inplace=True)]
