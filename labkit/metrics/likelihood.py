"""Log-likelihoods: evaluated safely, in nats, per dimension, and as bits per dimension of an image."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.faces.pixels import bits_per_dim, dequantise


@torch.no_grad()
def log_prob(model: nn.Module, codes: np.ndarray | Tensor, batch_size: int = 1024) -> np.ndarray:
    """log p(x) of every row, in nats, as float64 (N,); evaluated in the model's own dtype and on its device.

    Values that overflow are returned as they come (±inf or NaN): see `shares`.
    """
    weight = next(model.parameters())
    codes = torch.as_tensor(codes).to(weight.device, weight.dtype)
    parts = [model.log_prob(part) for part in codes.split(batch_size)]
    return torch.cat(parts).double().cpu().numpy()


def shares(values: np.ndarray) -> dict[str, float]:
    """How many of the log-probabilities (N,) can be used at all: shares that sum to 1.

    Raises LabkitError: there are none.
    """
    if not len(values):
        raise LabkitError("shares: there are no log-probabilities.")
    kinds = {"finite": np.isfinite, "plus_inf": np.isposinf, "minus_inf": np.isneginf, "nan": np.isnan}
    return {name: float(is_kind(values).mean()) for name, is_kind in kinds.items()}


@dataclass(frozen=True)
class PCAImageDensity:
    """A density on whole images from a density on their PCA codes.

    An image x (D pixels) is its mean, plus r orthonormal components times the code z, plus a residual orthogonal
    to them. With the residual taken as an isotropic Gaussian of variance σ² (probabilistic PCA: Tipping and
    Bishop, 1999), log p(x) = log p(z) + log N(residual; 0, σ² I) over its D − r dimensions; the rotation has
    determinant one. Pixels are grey levels k/levels, so `bits_per_dim` adds uniform noise of one level (uniform
    dequantisation, Theis et al., arXiv:1511.01844), which bounds the bits of the discrete image from above.
    """

    pca: PCA  # a fitted scikit-learn PCA, not whitened, of r components on D pixels in [0, 1]
    residual_variance: float  # σ² per residual dimension, measured on training images with their noise
    levels: int = 255  # pixels are k/levels for integers k; 255 for 8 bits scaled to [0, 1]

    @classmethod
    def fit(cls, pca: PCA, images: np.ndarray, levels: int = 255) -> "PCAImageDensity":
        """Measure σ² on training images (N, D) in [0, 1].

        Raises LabkitError: a whitened PCA, or one that leaves no dimension, or no variance, to the residual.
        """
        if pca.whiten:
            raise LabkitError("PCAImageDensity: needs a PCA without whitening; fit it with whiten=False.")
        free = pca.mean_.size - pca.n_components_
        if not free:
            raise LabkitError(
                f"PCAImageDensity: {pca.n_components_} components of {pca.mean_.size} pixels leave no residual to "
                "measure; keep fewer components."
            )
        residual = cls(pca, 1.0).split(dequantise(images, levels))[1]
        return cls(pca, float(np.mean(np.sum(residual**2, 1)) / free), levels)

    def split(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, D) → codes (N, r) and residuals (N, D), float64."""
        images = np.asarray(images, np.float64)
        codes = self.pca.transform(images)
        return codes, images - self.pca.inverse_transform(codes)

    def residual_log_prob(self, residual: np.ndarray) -> np.ndarray:
        """log N(residual; 0, σ² I) over D − r dimensions in nats, (N,), for residuals (N, D)."""
        free = self.pca.mean_.size - self.pca.n_components_
        squared = np.sum(np.asarray(residual, np.float64) ** 2, 1) / self.residual_variance
        return -0.5 * (squared + free * math.log(2 * math.pi * self.residual_variance))

    def bits_per_dim(self, model: nn.Module, images: np.ndarray) -> np.ndarray:
        """Bits per pixel of images (N, D) of grey levels under `model` on their codes, (N,)."""
        codes, residual = self.split(dequantise(images, self.levels))
        nats = log_prob(model, codes) + self.residual_log_prob(residual)
        return bits_per_dim(nats, images.shape[1]) + math.log2(self.levels)
