"""Nearest neighbours between two sets of images."""

import numpy as np

from labkit.errors import LabkitError


def nearest(images: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `images` (N, …): index (N,) into `among` (M, …) of the nearest, and the distance to it (N,).

    The distance is the root mean squared difference over all pixels, in the unit of a pixel.

    Raises LabkitError: `among` is empty, the two differ in shape, or numbers are not finite.
    """
    images, among = np.asarray(images, np.float64), np.asarray(among, np.float64)
    if not len(among) or images.shape[1:] != among.shape[1:]:
        raise LabkitError(
            f"nearest: cannot compare images {images.shape} with {among.shape}; they must share a shape."
        )
    if not (np.isfinite(images).all() and np.isfinite(among).all()):
        raise LabkitError("nearest: some pixels or features are NaN or infinite; leave those images out.")
    centre = among.mean(0)  # far from 0 the squares below would lose all that differs
    a, b = ((side - centre).reshape(len(side), centre.size) for side in (images, among))
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    index = squared.argmin(1)
    return index, np.sqrt(((images - among[index]) ** 2).reshape(a.shape).mean(1))
