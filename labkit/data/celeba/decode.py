"""One aligned CelebA photograph: from the bytes of its JPEG to an array of the size asked for.

The crop is report D's (resize the shorter side, cut out the centre), in one step: the largest centred rectangle with
the proportions of the target is scaled to it with an antialiased bilinear filter. Where the target is at most half
as large, the JPEG is decoded at half size to begin with: its inverse transform then averages, and skips most of the
work (libjpeg's scaled decoding). The difference is a grey level or so; `tests/data/test_celeba_decode.py` holds it.
"""

import numpy as np
import simplejpeg
from PIL import Image

HEIGHT, WIDTH = 218, 178
JPEG_START = b"\xff\xd8\xff"


class UnusableError(Exception):
    """Why an image is left out, in a few words; every image with the same fault gets the same words."""


def decode(data: bytes, height: int, width: int) -> np.ndarray:
    """Decode, crop and scale one image.

    Args:
        height, width: of the result, at most 218 and 178.

    Returns:
        uint8 (3, height, width).

    Raises UnusableError: empty, not a JPEG, grey or CMYK, not 178×218, or damaged.
    """
    if not data:
        raise UnusableError("empty file")
    if not data.startswith(JPEG_START):
        raise UnusableError("not a JPEG")
    try:
        rows, columns, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise UnusableError("damaged JPEG") from error
    if (rows, columns) != (HEIGHT, WIDTH):
        raise UnusableError(f"not {WIDTH}×{HEIGHT} pixels")
    if colours not in ("YCbCr", "RGB"):
        raise UnusableError("grey or CMYK instead of colour")
    reduction = _reduction(height, width)
    try:
        pixels = simplejpeg.decode_jpeg(
            data, "RGB", min_height=-(-HEIGHT // reduction), min_width=-(-WIDTH // reduction)
        )
    except ValueError as error:
        raise UnusableError("damaged JPEG") from error
    if pixels.shape[:2] != (height, width):
        # Rows and columns that do not divide evenly are padded, so places shrink by the scale and not by the shapes.
        box = tuple(place / reduction for place in crop_box(height, width))
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def crop_box(height: int, width: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, in pixels of the photograph, of the largest centred cut with these proportions."""
    scale = min(HEIGHT / height, WIDTH / width)
    x, y = (WIDTH - scale * width) / 2, (HEIGHT - scale * height) / 2
    return x, y, WIDTH - x, HEIGHT - y


def _reduction(height: int, width: int) -> int:
    """1, 2, 4 or 8: the coarsest scale of decoding at which the crop still has the pixels asked for."""
    scale = min(HEIGHT / height, WIDTH / width)
    return max(each for each in (1, 2, 4, 8) if each <= max(scale, 1))
