"""A photograph of one's own as a model wants it: square, small, eight bits."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from labkit.errors import LabkitError
from labkit.files import shown, usable_path

MOST_PIXELS = 64_000_000
LEAST_SIDE = 16


def load_photo(path: str | Path, size: int = 64, grey: bool = True) -> np.ndarray:
    """An image file, turned as its EXIF note says, cut to its central square and shrunk.

    Transparent parts become white; of an animation the first frame is taken.

    Args:
        path: any image that Pillow reads, of 16 pixels a side to 64 megapixels.
        grey: one channel (ITU-R 601 luma) or three (RGB).

    Returns:
        uint8 (1 or 3, size, size).

    Raises LabkitError: the file is missing, a folder or a pipe, empty, no image, damaged, too small or too large, or
        has pixels that are negative, not finite, or LAB colours.
    """
    path = usable_path(path)
    if not path.exists():
        raise LabkitError(f"{shown(path)}: there is no such file; correct the path to your photograph.")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"  # which could be waited for without end
        raise LabkitError(f"{shown(path)}: is {kind}; give the path of one photograph.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_size(path, *image.size)
                square = _square(path, image, size)
    except LabkitError:
        raise
    except Image.DecompressionBombError as error:
        raise LabkitError(_too_large(path, "over 178")) from error
    except UnidentifiedImageError as error:
        raise LabkitError(
            f"{shown(path)}: not an image that Pillow reads, or empty; save it as JPEG or PNG and try again."
        ) from error
    except Exception as error:  # Pillow's readers raise many kinds of exception on damaged files.
        raise LabkitError(
            f"{shown(path)}: damaged or unreadable image ({error}); save it anew as JPEG or PNG."
        ) from error
    pixels = np.asarray(square.convert("L" if grey else "RGB"))
    return np.ascontiguousarray(pixels.reshape(size, size, -1).transpose(2, 0, 1))


def _square(path: Path, image: Image.Image, size: int) -> Image.Image:
    # For JPEG alone, and cheap: decode at a half, a quarter or an eighth, but at least twice the final size.
    image.draft(None, (4 * size, 4 * size))
    upright = _eight_bits(path, ImageOps.exif_transpose(image))
    return ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS)


def _eight_bits(path: Path, image: Image.Image) -> Image.Image:
    """RGB on white, whatever the mode: palette, alpha, CMYK, 16 or 32 bits."""
    if image.mode == "LAB":  # Pillow would take its numbers for others
        raise LabkitError(f"{shown(path)}: its colours are of the kind LAB; save it anew as JPEG or PNG.")
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float32)
        if not np.isfinite(values).all() or values.min() < 0:
            raise LabkitError(
                f"{shown(path)}: some pixels are negative, NaN or infinite; save it anew as JPEG or PNG."
            )
        white = 65535.0 if image.mode.startswith("I;16") else _white(values)
        image = Image.fromarray((values * (255.0 / white)).clip(0.0, 255.0).round().astype(np.uint8))
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        white_sheet = Image.new("RGBA", opaque.size, "white")
        image = Image.alpha_composite(white_sheet, opaque)
    return image.convert("RGB")


def _white(values: np.ndarray) -> float:
    """The full scale of values whose file does not tell it: 1, 8 bits, 16 bits, else the largest."""
    largest = float(values.max())
    return next((scale for scale in (1.0, 255.0, 65535.0) if largest <= scale), largest)


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < LEAST_SIDE:
        raise LabkitError(
            f"{shown(path)}: {width}×{height} pixels are too few for a face; give an image of at least "
            f"{LEAST_SIDE}×{LEAST_SIDE}."
        )
    if width * height > MOST_PIXELS:
        raise LabkitError(_too_large(path, f"{width * height / 1e6:.0f}"))


def _too_large(path: Path, megapixels: str) -> str:
    return (
        f"{shown(path)}: {megapixels} megapixels are more than {MOST_PIXELS // 10**6}; shrink the photograph first."
    )
