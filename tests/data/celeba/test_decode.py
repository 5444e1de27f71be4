"""decode(): close to the plain way of doing it, and the same images refused at every size."""

import io

import numpy as np
import pytest
from celeba_files import jpegs
from PIL import Image

from labkit.data.celeba.decode import HEIGHT, WIDTH, UnusableError, crop_box, decode

SIZES = [(64, 64), (64, 48), (128, 128), (16, 16), (218, 178)]
PHOTOS = jpegs(12, seed=3)


def plainly(data: bytes, height: int, width: int) -> np.ndarray:
    """Decode in full, cut, then resize, as a tutorial would."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    box = crop_box(height, width)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box)).transpose(2, 0, 1)


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def reason(data: bytes, height: int = 64, width: int = 64) -> str:
    try:
        decode(data, height, width)
    except UnusableError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("size", SIZES)
def test_close_to_decoding_in_full(size):
    for data in PHOTOS.values():
        difference = decode(data, *size).astype(int) - plainly(data, *size)
        assert np.abs(difference).mean() < 1.0, size


def test_the_whole_photograph_is_not_resampled():
    data = next(iter(PHOTOS.values()))
    whole = np.asarray(Image.open(io.BytesIO(data))).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode(data, HEIGHT, WIDTH), whole)


@pytest.mark.parametrize("size", SIZES)
def test_crop_is_centred_largest_and_has_the_proportions_of_the_target(size):
    left, top, right, bottom = crop_box(*size)
    assert (right - left) / (bottom - top) == pytest.approx(size[1] / size[0])
    assert left == pytest.approx(WIDTH - right) and top == pytest.approx(HEIGHT - bottom)
    assert min(left, top) == pytest.approx(0)


BLANK = Image.new("RGB", (WIDTH, HEIGHT), (200, 150, 120))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (encoded(BLANK, "PNG"), "not a JPEG"),
        (b"<html>quota</html>", "not a JPEG"),
        (encoded(BLANK.convert("L")), "grey or CMYK"),
        (encoded(BLANK.convert("CMYK")), "grey or CMYK"),
        (encoded(BLANK.resize((WIDTH, HEIGHT - 1))), "not 178×218"),
        (encoded(Image.new("RGB", (9000, 9000))), "not 178×218"),
        (next(iter(PHOTOS.values()))[:700], "damaged"),
        (b"\xff\xd8\xff" + bytes(50), "damaged"),
    ],
)
def test_unusable_images_are_refused_with_a_reason(data, words):
    assert words in reason(data)


def test_what_is_refused_does_not_depend_on_the_size():
    random = np.random.default_rng(0)
    for data in list(PHOTOS.values())[:4]:
        for _ in range(30):
            damaged = bytearray(data[: random.integers(3, len(data) + 1)])
            for place in random.integers(3, len(damaged), random.integers(0, 4)):
                damaged[place % len(damaged)] = random.integers(256)
            assert len({bool(reason(bytes(damaged), *size)) for size in SIZES}) == 1
