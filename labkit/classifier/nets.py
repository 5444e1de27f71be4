"""Attribute classifiers: a ResNet-18 for small images, and Inception v3 as report C used it.

Both take images in [0, 1] and give a logit per attribute; scaling and resizing are theirs, so that nobody can hand
them images of another range.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.data.vision import StridedShortcut, models

INCEPTION_SIDE = 299
BasicBlock = models.resnet.BasicBlock
IMAGENET_MEAN, IMAGENET_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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


class InceptionV3(nn.Module):
    """Inception v3 (Szegedy et al., arXiv:1512.00567) of torchvision with a head for attributes, at 299×299.

    Batch norm keeps the statistics it came with, in training too: batches of a few images would say little of them.

    Attributes:
        start: "ImageNet", or "random" where the trunk had no weights to begin with.

    Args:
        outputs: A, logits of the head and of the auxiliary head.
        weights: torchvision's ImageNet weights, or None.
    """

    def __init__(self, outputs: int, weights: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        self.outputs, self.start = outputs, "random" if weights is None else "ImageNet"
        self.trunk = models.inception_v3(weights=None, aux_logits=True, init_weights=False)
        if weights is not None:
            self.trunk.load_state_dict(weights)
        self.trunk.AuxLogits.fc = nn.Linear(self.trunk.AuxLogits.fc.in_features, outputs)
        self.head = nn.Linear(self.trunk.fc.in_features, outputs)
        self.trunk.fc = nn.Identity()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("spread", torch.tensor(IMAGENET_SPREAD).view(3, 1, 1))

    def train(self, mode: bool = True) -> "InceptionV3":
        """Training mode for dropout and the auxiliary head; batch norm stays as it is."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def scaled(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 3, H, W) → 299×299 pixels, scaled as the trunk wants them."""
        images = F.interpolate(images, (INCEPTION_SIDE, INCEPTION_SIDE), mode="bilinear", antialias=True)
        return (images - self.mean) / self.spread

    def features(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 3, H, W) → features (N, 2048); in eval mode."""
        return self.trunk(self.scaled(images))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images in [0, 1], (N, 3, H, W) → logits (N, A); in training, also those of the auxiliary head."""
        found = self.trunk(self.scaled(images))
        if isinstance(found, Tensor):
            return self.head(found)
        return self.head(found.logits), found.aux_logits

    @torch.no_grad()
    def set_statistics(self, images: Tensor) -> "InceptionV3":
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


def resnet18_classifier(outputs: int, width: int = 64) -> ResNet18:
    """A ResNet-18 with random weights and one logit per attribute."""
    return ResNet18(outputs, width)


def inception_classifier(outputs: int, weights: dict[str, Tensor] | None = None) -> InceptionV3:
    """An Inception v3 with one logit per attribute, from `inception_weights()` or from random weights."""
    return InceptionV3(outputs, weights)


def _halving(narrow: int, wide: int) -> BasicBlock:
    """A block that halves height and width."""
    shortcut = nn.Sequential(StridedShortcut(narrow, wide, 2), nn.BatchNorm2d(wide))
    return BasicBlock(narrow, wide, 2, shortcut)
