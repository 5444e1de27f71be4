"""Nearest neighbours between two sets of images."""

import numpy as np

from labkit.errors import LabkitError


def nearest(images: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `images` (N, …): index (N,) into `among` (M, …) of the nearest, and the distance to it (N,).

    The distance is the root mean squared difference over all pixels, in the unit of a pixel.

    Raises:
        LabkitError: `among` is empty, or the two differ in shape.
    """
    images, among = np.asarray(images, np.float64), np.asarray(among, np.float64)
    if not len(among) or images.shape[1:] != among.shape[1:]:
        raise LabkitError(
            f"nearest: cannot compare images {images.shape} with {among.shape}; they must share a shape."
        )
    a, b = images.reshape(len(images), -1), among.reshape(len(among), -1)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    index = squared.argmin(1)
    return index, np.sqrt(np.mean((a - b[index]) ** 2, 1))
