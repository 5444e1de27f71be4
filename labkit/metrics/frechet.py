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
import pandas as pd
import torch
from torch import Tensor, nn

from labkit.data.vision import ADDRESS, inception_weights, models
from labkit.errors import LabkitError
from labkit.oracle.oracle import as_floats, load_oracle, network_input

BATCH = 256
INCEPTION_NAME = "Inception v3 pool features (2048-d, ImageNet)"
INCEPTION_SIDE = 299


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


class _InceptionFeatures(nn.Module):
    """The 2048 pooled features, of images scaled to 299×299 and normalised as for ImageNet."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        net.fc = nn.Identity()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        size = (INCEPTION_SIDE, INCEPTION_SIDE)
        images = nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
        # transform_input=True undoes this, as these weights were trained with (x - 0.5) / 0.5.
        mean = images.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        deviation = images.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        return self.net((images - mean) / deviation)


@dataclass(frozen=True)
class FrechetScore:
    """A Fréchet distance with its protocol.

    Attributes:
        distance: ≥ 0, 0 for equal means and covariances; in the squared unit of the features.
        extractor: name of the features.
        real, generated: how many images stood on each side.
    """

    distance: float
    extractor: str
    real: int
    generated: int

    def __str__(self) -> str:
        return f"{self.distance:.4g} in {self.extractor}, {self.real:,} real and {self.generated:,} generated"

    def table(self, label: str) -> pd.DataFrame:
        """One row, `label`; the column of the distance carries the extractor's name."""
        row = {f"Fréchet distance in {self.extractor}": self.distance, "real": self.real, "generated": self.generated}
        return pd.DataFrame(row, index=[label])


def oracle_extractor(device: torch.device | str | None = None) -> Extractor:
    """The features of the kit's factor oracle: works offline, and knows drawn faces only."""
    net = load_oracle(device).net
    return Extractor(f"oracle features ({net.dims}-d, synthetic faces)", net.dims, _OracleFeatures(net)).eval()


def inception_extractor(device: torch.device | str | None = None) -> Extractor:
    """Inception v3's pooled features, with torchvision's ImageNet weights from the cache or downloaded (104 MB).

    The published FID takes another port of the weights and another scaling: compare within the kit only.

    Raises:
        LabkitError: the weights are not cached, and cannot or (`LABKIT_OFFLINE=1`) may not be downloaded.
    """
    weights = inception_weights()
    if weights is None:
        raise LabkitError(
            f"Inception v3: its weights are not at hand; put {ADDRESS} into {torch.hub.get_dir()}/checkpoints, "
            "or use oracle_extractor()."
        )
    net = models.inception_v3(weights=None, transform_input=True, init_weights=False)
    net.load_state_dict(weights)
    return Extractor(INCEPTION_NAME, 2048, _InceptionFeatures(net)).eval().to(device or "cpu")


def frechet_distance(real: np.ndarray | Tensor, generated: np.ndarray | Tensor, extractor: Extractor) -> FrechetScore:
    """The Fréchet distance between two sets of images; symmetric.

    Args:
        real, generated: uint8 or floats in [0, 1], (N, 3, H, W), each with more images than there are features.
        extractor: `oracle_extractor()` or `inception_extractor()`.

    Raises:
        LabkitError: too few images: the covariance of D features has full rank only beyond D of them; images that
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
