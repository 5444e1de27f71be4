"""Sharpness of the background against that of the face, in generated and in real pictures.

The regions hold for pictures aligned as CelebA's 178 × 218 are (eyes at fixed places) and for the kit's drawn faces.
The face is an ellipse about 54 % of the height from the top, on the middle line; its semi-axes are 28 % of the width
and 29.4 % of the height. In a square picture, taken for the central 178 × 178 crop, the same ellipse is at 55 % with
a vertical semi-axis of 36 %. The background is all outside the ellipse of 1.5 times those axes: the ring between
them, mostly hair, is counted to neither.
"""

from dataclasses import dataclass

import numpy as np

from labkit.errors import LabkitError

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
FULL_FRAME = (0.541, 0.294, 0.28)  # centre and semi-axis in heights, semi-axis in widths
CENTRAL_CROP = (0.55, 0.36, 0.28)
BACKGROUND_FROM = 1.5


@dataclass(frozen=True)
class Sharpness:
    """Of a set of images: of the face and of the background.

    From `sharpness` each is the variance of the Laplacian of luma in [0, 1] over that region, the mean over images;
    from `relative_sharpness` each is divided by that of real images.
    """

    face: float
    background: float


def regions(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks (H, W) of face and background, see above."""
    centre, half_height, half_width = CENTRAL_CROP if height == width else FULL_FRAME
    y, x = np.mgrid[:height, :width] + 0.5
    distance = np.hypot((y / height - centre) / half_height, (x / width - 0.5) / half_width)
    return distance <= 1, distance > BACKGROUND_FROM


def sharpness(images: np.ndarray) -> Sharpness:
    """Variance of the Laplacian (Pech-Pacheco et al., 2000) in face and background of images uint8 (N, 3, H, W).

    The Laplacian is that of four neighbours; the outermost pixels, which lack one, are left out. A flat or evenly
    shaded region has 0.

    Raises LabkitError: images of another kind, or smaller than 8 × 8.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8 or min(images.shape[2:]) < 8:
        raise LabkitError(
            f"sharpness: needs uint8 images (N, 3, H, W) of at least 8 × 8, not {images.dtype} {images.shape}."
        )
    luma = np.einsum("nchw,c->nhw", images.astype(np.float64) / 255, LUMA)
    around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    laplacian = around - 4 * luma[:, 1:-1, 1:-1]
    face, background = (mask[1:-1, 1:-1] for mask in regions(*images.shape[2:]))
    return Sharpness(*(float(laplacian[:, mask].var(1).mean()) for mask in (face, background)))


def relative_sharpness(images: np.ndarray, real: np.ndarray) -> Sharpness:
    """Sharpness of `images` as multiples of that of `real` ones, both uint8 (N, 3, H, W): 1 is as sharp.

    Raises LabkitError: see `sharpness`; or a region of the real images is perfectly flat, which nothing can be
        compared with.
    """
    made, there = sharpness(images), sharpness(real)
    if not (there.face > 0 and there.background > 0):
        raise LabkitError("relative_sharpness: a region of the real images is flat; pass photographs or drawn faces.")
    return Sharpness(made.face / there.face, made.background / there.background)
