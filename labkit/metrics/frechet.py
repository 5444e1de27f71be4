"""The Fréchet distance between two sets of images, in a space of features that its name tells.

Between Gaussians fitted to the features of real and of generated images it is
|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), the FID where the features are Inception's (Heusel et al., arXiv:1706.08500).
Numbers from two extractors, or from two counts of images, cannot be compared. With few images the distance is too
large: a covariance of D features is estimated from n images, and the bias falls about as 1/n (Chong and Forsyth,
arXiv:1911.07023), so that two samples of one population do not have distance 0: in the oracle's features 1,000 drawn
faces are 0.96 from 1,000 others, 500 are 2.0 from 500. Give both sides the same count, and beside a model's distance
show that between two halves of the real images.

The oracle's features look at what a face is, not at how sharp: they are trained not to mind a blur. A Gaussian of 0.8
pixels leaves those 0.96 as they are, 1.5 pixels give 1.4 and 2.5 pixels 5.0; a population of light skin (tones times
0.3) gives 4.4 and uniform noise 54. Put a measure of sharpness beside it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from labkit.classifier import EfficientNetLite0
from labkit.errors import LabkitError
from labkit.oracle.oracle import as_floats, load_oracle, network_input

BATCH = 256


class Extractor(nn.Module):
    """Features under a name.

    Attributes:
        name: what a table must say about a distance in these features.
        num_features: D.

    Args:
        network: images in [0, 1], (N, 3, H, W) → features (N, D).
    """

    def __init__(self, name: str, num_features: int, network: nn.Module) -> None:
        super().__init__()
        self.name, self.num_features, self.network = name, num_features, network

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 3, H, W) → features (N, D), float64."""
        return self.network(images).double()


class _OracleFeatures(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net.features(network_input(images))


@dataclass(frozen=True)
class FrechetScore:
    """A Fréchet distance with its protocol."""

    distance: float  # ≥ 0, 0 for equal means and covariances; in the squared unit of the features
    extractor: str  # name of the features
    real: int  # images on that side
    generated: int  # images on that side

    def __str__(self) -> str:
        return f"{self.distance:.4g} in {self.extractor}, {self.real:,} real and {self.generated:,} generated"


def oracle_extractor(device: torch.device | str | None = None) -> Extractor:
    """The features of the kit's factor oracle: works offline, and knows drawn faces only."""
    net = load_oracle(device).net
    return Extractor(f"oracle features ({net.dims}-d, synthetic faces)", net.dims, _OracleFeatures(net)).eval()


def lite0_extractor(device: torch.device | str | None = None) -> Extractor:
    """EfficientNet-Lite0's pooled features: for photographs, without a download; no published FID uses them."""
    net = EfficientNetLite0(1)
    count, net.head = net.head.in_features, nn.Identity()
    return Extractor(f"{net.name} pool features ({count}-d, {net.start})", count, net).eval().to(device or "cpu")


def frechet_distance(real: np.ndarray | Tensor, generated: np.ndarray | Tensor, extractor: Extractor) -> FrechetScore:
    """The Fréchet distance between two sets of images; symmetric.

    Args:
        real, generated: uint8 or floats in [0, 1], (N, 3, H, W), each with more images than there are features.

    Raises LabkitError: too few images: the covariance of D features has full rank only beyond D of them; images that
        `labkit.oracle.oracle.as_floats` refuses.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    sides = {"real": torch.as_tensor(real), "generated": torch.as_tensor(generated)}
    for name, images in sides.items():
        if len(images) <= extractor.num_features:
            raise LabkitError(
                f"frechet_distance: {len(images)} {name} images are too few for {extractor.num_features} "
                f"features; give more than {extractor.num_features}."
            )
    device = next((weight.device for weight in extractor.parameters()), torch.device("cpu"))
    metric = FrechetInceptionDistance(feature=extractor, normalize=True).to(device)
    for name, images in sides.items():
        for batch in images.split(BATCH):
            metric.update(as_floats(batch.to(device)), real=name == "real")
    distance = max(metric.compute().item(), 0.0)  # rounding can leave −1e-12
    return FrechetScore(distance, extractor.name, len(real), len(generated))
