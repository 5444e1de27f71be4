"""Images as principal-component codes, with the components found on the faces that a model may know."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import nn

from labkit.errors import LabkitError
from labkit.faces.faceset import TEST, TRAIN, VALIDATION, FaceSet


@dataclass(frozen=True)
class PCACodes:
    """Codes of a data set of N images with D pixels, on r components found without its test part."""

    pca: PCA  # fitted on the known images (train and validation), not whitened
    codes: np.ndarray  # float32 (N, r), of every image in the data set's order
    split: np.ndarray  # int8 (N,), as in `FaceSet`
    size: tuple[int, int]  # (H, W) of an image

    @property
    def is_known(self) -> np.ndarray:
        """bool (N,): everything but the test part."""
        return self.split != TEST

    @property
    def known(self) -> np.ndarray:
        """Codes of train and validation together, in the data set's order."""
        return self.codes[self.is_known]

    @property
    def train(self) -> np.ndarray:
        """Codes of the training part."""
        return self.codes[self.split == TRAIN]

    @property
    def validation(self) -> np.ndarray:
        """Codes of the validation part."""
        return self.codes[self.split == VALIDATION]

    @property
    def test(self) -> np.ndarray:
        """Codes of the test part, of which the components know nothing."""
        return self.codes[self.split == TEST]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (n, r) → images (n, H, W), float64, not clipped; a code that is not finite gives such an image."""
        with np.errstate(invalid="ignore"):
            images = np.asarray(codes, np.float64) @ self.pca.components_ + self.pca.mean_
        return images.reshape(-1, *self.size)

    def decoder(self) -> nn.Sequential:
        """Codes (n, r) → images (n, 1, H, W), black at −1 and white at 1, as layers of torch in float32."""
        components, mean = (
            torch.tensor(each, dtype=torch.float32) for each in (self.pca.components_, self.pca.mean_)
        )
        linear = nn.utils.skip_init(nn.Linear, *components.shape)
        with torch.no_grad():
            linear.weight.copy_(2 * components.T)
            linear.bias.copy_(2 * mean - 1)
        return nn.Sequential(linear, nn.Unflatten(1, (1, *self.size)))


def pca_codes(faces: FaceSet, components: int) -> PCACodes:
    """PCA of the known part of grey images, scaled by the set's brightest level to [0, 1].

    That scale is scikit-learn's for the Olivetti faces; a log-density depends on it.

    Raises LabkitError: fewer known images or pixels than components.
    """
    pixels = unit_pixels(faces)
    known = pixels[faces.split != TEST]
    if not 1 <= components <= min(known.shape):
        raise LabkitError(
            f"pca_codes: {len(known)} known images of {known.shape[1]} pixels have at most {min(known.shape)} "
            f"components, not {components}; ask for fewer."
        )
    pca = PCA(components, svd_solver="full").fit(known)
    return PCACodes(pca, pca.transform(pixels).astype(np.float32), faces.split, faces.images.shape[-2:])


def unit_pixels(faces: FaceSet) -> np.ndarray:
    """Images as float64 (N, D) in [0, 1], divided by the brightest level in the set."""
    return faces.images.reshape(len(faces), -1) / float(faces.images.max())
