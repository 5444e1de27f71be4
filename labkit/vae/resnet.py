"""The VAE of report D: a ResNet-18 as the encoder, and its mirror image as the decoder.

ResNet-18 (He et al., arXiv:1512.03385) in torchvision's own blocks, without its classifier: 512 features. The report
takes the decoder to be "the same in inverse order": each halving becomes a doubling (nearest neighbour, then a
convolution), each group of blocks its mirror.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.data.vision import StridedShortcut, models
from labkit.errors import LabkitError
from labkit.vae.nets import VAE

BLOCKS = 2  # in each of the four groups of an 18-layer ResNet


@dataclass(frozen=True)
class ResNetConfig:
    """Size of the VAE."""

    latent_dim: int = 256  # M; 256 and 512, then 32 and 64 in the report
    size: int = 64  # height and width in pixels, a multiple of 32; 64 and 128 in the report
    width: int = 64  # channels of the first group; 64 in ResNet-18, which ends in 512 = 8 · 64 features

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32 or self.latent_dim < 1 or self.width < 1:
            raise LabkitError(
                f"ResNetConfig: {self} is not possible; size must be a multiple of 32, "
                "latent_dim and width at least 1."
            )


class ResNetVAE(VAE):
    """Images (N, 3, S, S) in [−1, 1] ↔ latents (N, M), as in report D."""

    def __init__(self, config: ResNetConfig = ResNetConfig()) -> None:
        super().__init__(
            ResNetEncoder(config.width),
            ResNetDecoder(config),
            features=8 * config.width,
            latent_dim=config.latent_dim,
            image_shape=(3, config.size, config.size),
        )
        self.config = config
        self.to(memory_format=torch.channels_last)  # faster on one core of a CPU, no slower on two


class ResNetEncoder(nn.Module):
    """Images (N, 3, H, W) → features (N, 8 width).

    With width 64 this is `torchvision.models.resnet18` up to its average pool, parameter names included.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _group(width, width, 1)
        self.layer2 = _group(width, 2 * width, 2)
        self.layer3 = _group(2 * width, 4 * width, 2)
        self.layer4 = _group(4 * width, 8 * width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class ResNetDecoder(nn.Module):
    """Latents (N, M) → images (N, 3, S, S) in [−1, 1]: the encoder's groups backwards, and tanh."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        width, bottom = config.width, config.size // 32
        self.start = nn.Linear(config.latent_dim, 8 * width * bottom**2)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (8 * width, bottom, bottom)),
            *_doubled(_group(8 * width, 4 * width, 1)),
            *_doubled(_group(4 * width, 2 * width, 1)),
            *_doubled(_group(2 * width, width, 1)),
            *_doubled(_group(width, width, 1)),  # mirrors the pool
            UpsampledConv2d(width, 3, 7),  # mirrors the first convolution
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(self.start(z))


class UpsampledConv2d(nn.Conv2d):
    """A nearest-neighbour upsampling by 2, then a convolution of odd size with zero padding, in one.

    (N, C, H, W) → (N, D, 2H, 2W). Upsampled pixels come in fours alike, so that each output pixel sees few different
    ones. The kernel's taps that meet the same pixel are added up first, which gives 4 D small kernels at the lower
    resolution, one for each place in a block of 2 × 2 (Shi et al., arXiv:1609.07009): half the multiplications.
    """

    def __init__(self, before: int, after: int, size: int) -> None:
        super().__init__(before, after, size, padding=size // 2)
        reach = (size + 1) // 4  # of the small kernel to either side
        fold = torch.zeros(2, 2 * reach + 1, size)  # place in the block, small tap, tap
        for place in range(2):
            for tap in range(size):
                fold[place, (place + tap - size // 2) // 2 + reach, tap] = 1
        self.register_buffer("fold", fold, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        small = torch.einsum("oikl,apk,bql->oabipq", self.weight, self.fold, self.fold)
        bias = self.bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(x, small.flatten(0, 2), bias, padding=self.fold.shape[1] // 2), 2)


def _doubled(group: nn.Sequential) -> tuple[nn.Module, nn.Module]:
    return group, nn.Upsample(scale_factor=2)


def _group(before: int, after: int, stride: int) -> nn.Sequential:
    block = models.resnet.BasicBlock
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(StridedShortcut(before, after, stride), nn.BatchNorm2d(after))
    rest = [block(after, after) for _ in range(BLOCKS - 1)]
    return nn.Sequential(block(before, after, stride, shortcut), *rest)
