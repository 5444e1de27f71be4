"""load_photo: any honest image upright, square and small; anything else one sentence."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from labkit.errors import LabkitError
from labkit.faces import load_photo

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(size=160):
    """Red and green above blue and white: every turn and mirror image looks different."""
    image = Image.new("RGB", (size, size), RED)
    half = size // 2
    image.paste(GREEN, (half, 0, size, half))
    image.paste(BLUE, (0, half, half, size))
    image.paste(WHITE, (half, half, size, size))
    return image


def corners(photo):
    """Colours well inside the four quarters, rounded to 0 or 255."""
    side = photo.shape[1]
    near, far = side // 4, side - side // 4
    return [tuple((photo[:, y, x] > 127) * 255) for y in (near, far) for x in (near, far)]


def saved(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif", "gif"])
def test_formats(tmp_path, suffix):
    photo = load_photo(saved(quarters(), tmp_path / f"p.{suffix}"), grey=False)
    assert photo.dtype == np.uint8 and photo.shape == (3, 64, 64)
    assert corners(photo) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("size", [16, 64, 200])
def test_sizes_and_channels(tmp_path, size):
    path = saved(quarters(), tmp_path / "p.png")
    assert load_photo(path, size).shape == (1, size, size)
    assert load_photo(path, size, grey=False).shape == (3, size, size)


def test_an_image_of_the_right_size_is_not_touched(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = saved(Image.fromarray(pixels), tmp_path / "p.png")
    np.testing.assert_array_equal(load_photo(path)[0], pixels)


def test_grey_is_luma(tmp_path):
    path = saved(Image.new("RGB", (64, 64), (200, 100, 50)), tmp_path / "p.png")
    expected = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert abs(load_photo(path).astype(float) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(400, 160), (160, 400), (161, 160)])
def test_the_central_square_is_kept(tmp_path, shape):
    sheet = Image.new("RGB", shape, (0, 0, 0))
    sheet.paste(quarters(), ((shape[0] - 160) // 2, (shape[1] - 160) // 2))
    assert corners(load_photo(saved(sheet, tmp_path / "p.png"), grey=False)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation(tmp_path, orientation, suffix):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    turned = quarters(640)
    if orientation > 1:
        turned = turned.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(turned, tmp_path / f"p.{suffix}", exif=exif)
    assert corners(load_photo(path, grey=False)) == [RED, GREEN, BLUE, WHITE]


def test_shrinking_averages(tmp_path):
    stripes = np.zeros((640, 640), np.uint8)
    stripes[:, ::2] = 255
    photo = load_photo(saved(Image.fromarray(stripes), tmp_path / "p.png"))
    assert abs(photo[0, 4:-4, 4:-4].astype(int) - 127).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_become_white(tmp_path, mode):
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (32, 0, 64, 64))
    photo = load_photo(saved(image.convert(mode), tmp_path / "p.png"))
    assert (photo[0, :, :28] == 0).all() and (photo[0, :, 36:] == 255).all()


def test_half_transparent_is_half_white(tmp_path):
    photo = load_photo(saved(Image.new("RGBA", (64, 64), (0, 0, 0, 128)), tmp_path / "p.png"))
    assert abs(photo.astype(int) - 127).max() <= 1


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path, suffix):
    path = saved(quarters().convert("CMYK"), tmp_path / f"p.{suffix}")
    assert corners(load_photo(path, grey=False)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("kind", ["16-bit png", "16-bit tif", "32-bit tif", "float tif", "1 bit", "palette"])
def test_other_depths(tmp_path, kind):
    ramp = np.tile(np.linspace(0, 255, 64), (64, 1))
    images = {
        "16-bit png": lambda: Image.fromarray((ramp * 257).astype(np.uint16)),
        "16-bit tif": lambda: Image.fromarray((ramp * 257).astype(np.uint16)),
        "32-bit tif": lambda: Image.fromarray((ramp * 257).astype(np.int32)),
        "float tif": lambda: Image.fromarray((ramp / 255).astype(np.float32)),
        "1 bit": lambda: Image.fromarray(ramp > 127),
        "palette": lambda: Image.fromarray(ramp.astype(np.uint8)).convert("P"),
    }
    photo = load_photo(saved(images[kind](), tmp_path / f"p.{'tif' if 'tif' in kind else 'png'}"))
    expected = (ramp > 127) * 255 if kind == "1 bit" else ramp
    assert abs(photo[0] - expected).max() <= 1


def test_the_first_frame_of_an_animation(tmp_path):
    others = [Image.new("RGB", (160, 160), "black")] * 2
    path = saved(quarters(), tmp_path / "p.gif", save_all=True, append_images=others)
    assert corners(load_photo(path, grey=False)) == [RED, GREEN, BLUE, WHITE]


def header_only_png(width, height):
    """A valid PNG header of any size, without its pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )  # fmt: skip


def bad_photos(folder):
    """Name → (bytes, what the sentence must say)."""
    whole = {suffix: saved(quarters(), folder / f"whole.{suffix}").read_bytes() for suffix in ("jpg", "png")}
    dot = saved(Image.new("RGB", (1, 1)), folder / "whole-dot.png").read_bytes()
    thin = saved(Image.new("RGB", (900, 15)), folder / "whole-thin.png").read_bytes()
    return {
        "empty.jpg": (b"", "not an image"),
        "text.jpg": (b"Dear diary", "not an image"),
        "html.png": (b"<!doctype html><html></html>", "not an image"),
        "half.jpg": (whole["jpg"][: len(whole["jpg"]) // 2], "damaged"),
        "half.png": (whole["png"][: len(whole["png"]) // 2], "damaged"),
        "header.png": (header_only_png(100, 100), "damaged"),
        "dot.png": (dot, "1×1"),
        "thin.png": (thin, "900×15"),
        "large.png": (header_only_png(10_000, 10_000), "100 megapixels"),
        "huge.png": (header_only_png(60_000, 60_000), "megapixels"),
    }


def test_bad_photographs(tmp_path, recwarn):
    for name, (content, match) in bad_photos(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(LabkitError, match=match) as caught:
            load_photo(path)
        message = str(caught.value)
        assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
    assert not [str(warning.message) for warning in recwarn.list]


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(LabkitError, match="no such file"):
        load_photo(tmp_path / "nobody.jpg")
    with pytest.raises(LabkitError, match="is a folder"):
        load_photo(tmp_path)


def test_a_large_jpeg_is_close_to_the_slow_way(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    smooth = Image.fromarray(noise).resize((800, 600), Image.Resampling.BICUBIC)
    path = saved(smooth, tmp_path / "p.jpg", quality=95)
    with Image.open(path) as image:
        plain = image.crop((100, 0, 700, 600)).resize((64, 64), Image.Resampling.LANCZOS)
    assert abs(load_photo(path)[0].astype(int) - np.asarray(plain, int)).max() <= 4


def test_colours_that_would_be_taken_for_others_are_refused(tmp_path):
    with pytest.raises(LabkitError, match="of the kind LAB"):
        load_photo(saved(Image.new("LAB", (32, 32), (128, 0, 0)), tmp_path / "p.tiff"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5])
def test_pixels_that_are_not_finite_are_refused(tmp_path, value):
    values = np.full((32, 32), 0.5, np.float32)
    values[3, 4] = value
    path = saved(Image.fromarray(values), tmp_path / "p.tiff")
    with pytest.raises(LabkitError, match="NaN or infinite"):
        load_photo(path)
