"""Strong augmentation of faces through torchvision, on the device that holds the batch."""

import torch
from torch import Tensor, nn

from labkit.data.vision import v2

GROUP = 4  # images that share one draw


class StrongAugmentation(nn.Module):
    """Mirror, turn, shift, zoom, tint, blur and erase: images in [0, 1], (N, 3, H, W), to images of that shape.

    torchvision's transforms draw once for a whole batch. Images go through them in groups of four, whose members
    change from epoch to epoch: nearly as varied as one draw each, at a quarter of the cost. All draws come from
    torch's global generator, which `fit` seeds and checkpoints. Inside autocast too the images keep their type:
    beside a grid in bfloat16 torchvision would take them for whole numbers, and round them to 0 and 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(degrees=12, translate=(0.08, 0.08), scale=(0.85, 1.2), shear=6),
                v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.04),
                v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.2))], p=0.2),
                v2.RandomErasing(p=0.3, scale=(0.02, 0.15)),
            ]
        )

    def forward(self, images: Tensor) -> Tensor:
        """Augmented images; another draw at every call."""
        with torch.autocast(images.device.type, enabled=False):
            return torch.cat([self.transform(group) for group in images.split(GROUP)]).clamp(0, 1)
