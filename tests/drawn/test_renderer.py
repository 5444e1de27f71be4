"""The portrait renderer: the same pixels in any batch, soft edges, every factor where it belongs."""

import pytest
import torch

from labkit.drawn.factors import FACTOR_NAMES, FACTORS, sample_factors
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError

# Where (left, top, right, bottom), in shares of the picture, most of the change of a local factor must lie.
EYES = (0.22, 0.35, 0.78, 0.62)
LOWER_FACE = (0.20, 0.55, 0.80, 0.95)
PLACES = {
    "glasses": EYES,
    "eye_open": EYES,
    "eye_colour": EYES,
    "eye_size": EYES,
    "eye_spacing": EYES,
    "brow_thickness": (0.22, 0.30, 0.78, 0.52),
    "brow_arch": (0.22, 0.30, 0.78, 0.52),
    "nose_size": (0.35, 0.40, 0.65, 0.70),
    "nose_point": (0.35, 0.40, 0.65, 0.75),
    "smile": (0.20, 0.35, 0.80, 0.95),
    "mouth_open": LOWER_FACE,
    "lip_fullness": LOWER_FACE,
    "moustache": LOWER_FACE,
    "beard": LOWER_FACE,
    "hat": (0.0, 0.0, 1.0, 0.48),
    "receding": (0.1, 0.0, 0.9, 0.50),
    "bangs": (0.1, 0.0, 0.9, 0.52),
    "clothes": (0.0, 0.75, 1.0, 1.0),
    "earrings": (0.0, 0.50, 1.0, 0.75),
}


def portrait(**values: float) -> torch.Tensor:
    """One frontal face of middling factors."""
    plain = {
        "skin_tone": 0.25,
        "grey": 0.0,
        "hair_length": 0.35,
        "receding": 0.1,
        "makeup": 0.0,
        "bangs": 0.0,
        "moustache": 0.0,
        "beard": 0.0,
        "beard_cover": 0.8,
        "earrings": 0.0,
        "glasses": 0.0,
        "hat": 0.0,
        "mouth_open": 0.0,
        "eye_open": 0.9,
    }
    middle = {factor.name: (factor.low + factor.high) / 2 for factor in FACTORS}
    return torch.tensor([[{**middle, **plain, **values}[name] for name in FACTOR_NAMES]])


def change(name: str, size: int = 64) -> torch.Tensor:
    """Mean absolute change of each pixel, in grey levels, as a factor runs through its range: (size, size)."""
    factor = FACTORS[FACTOR_NAMES.index(name)]
    context = {"beard_cover": {"beard": 0.8}, "hair_wave": {"hair_length": 0.9}}.get(name, {})
    stops = torch.linspace(factor.low, factor.high, 3).tolist()
    images = render(torch.cat([portrait(**{**context, name: value}) for value in stops]), size).float()
    return images.diff(dim=0).abs().sum(0).mean(0)


@pytest.mark.parametrize("name", FACTOR_NAMES)
def test_every_factor_shows(name):
    difference = change(name)
    assert (difference > 12).sum() >= 12, f"{name} changes {int((difference > 12).sum())} pixels of 4096"


@pytest.mark.parametrize("name", PLACES)
def test_local_factors_change_their_place(name):
    difference, (left, top, right, bottom) = change(name), PLACES[name]
    place = difference[int(top * 64) : int(bottom * 64), int(left * 64) : int(right * 64)]
    assert place.sum() > 0.9 * difference.sum()


@pytest.mark.parametrize("size", [8, 37, 64, 100])
def test_a_face_is_the_same_in_any_batch(size):
    factors = sample_factors(2, torch.arange(75))
    together = render(factors, size)
    assert together.shape == (75, 3, size, size) and together.dtype == torch.uint8
    for k in (0, 1, 36, 37, 74):
        assert torch.equal(render(factors[k : k + 1], size)[0], together[k])
    order = torch.randperm(75, generator=torch.Generator().manual_seed(0))
    assert torch.equal(render(factors[order], size), together[order])


def test_the_number_of_threads_changes_nothing():
    factors, threads = sample_factors(4, torch.arange(20)), torch.get_num_threads()
    expected = render(factors, 48)
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert torch.equal(render(factors, 48), expected)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)


def test_pictures_use_the_full_range():
    images = render(sample_factors(0, torch.arange(200)))
    assert images.min() < 16 and images.max() > 240
    assert images.float().flatten(1).std(1).min() > 8


@pytest.mark.parametrize("size", [32, 64])
def test_edges_are_soft(size):
    """A drawing of twice the size, averaged over 2×2 pixels, is nearly the drawing: no edge is cut hard."""
    factors = sample_factors(6, torch.arange(24))
    small = render(factors, size).float()
    averaged = torch.nn.functional.avg_pool2d(render(factors, 2 * size).float(), 2)
    difference = (small - averaged).abs()
    assert difference.mean() < 3
    assert torch.quantile(difference[:, :, ::2, ::2].flatten(), 0.99) < 32


def test_light_comes_from_its_side():
    dark = {"background_light": 0.0, "eye_open": 0.0}
    right, left = render(torch.cat([portrait(light_azimuth=a, **dark) for a in (0.9, -0.9)])).float().mean(1)
    cheeks = slice(34, 40), slice(20, 26), slice(38, 44)
    assert right[cheeks[0], cheeks[2]].mean() > right[cheeks[0], cheeks[1]].mean() + 20
    assert left[cheeks[0], cheeks[1]].mean() > left[cheeks[0], cheeks[2]].mean() + 20


def test_skin_runs_from_light_to_dark():
    tones = torch.cat([portrait(skin_tone=t) for t in (0, 0.25, 0.5, 0.75, 1)])
    forehead = render(tones).float()[:, :, 20:26, 28:36].mean((1, 2, 3))
    assert (forehead.diff() < -15).all() and forehead[0] > 180 and forehead[-1] < 70


def test_the_darkest_skin_is_no_silhouette():
    """Nine tenths of the grey levels of a face with closed eyes span a fifth of what they span on the lightest."""
    faces = render(torch.cat([portrait(skin_tone=t, eye_open=0.0) for t in (0, 1)])).float().mean(1)
    low, high = faces[:, 22:50, 20:44].flatten(1).quantile(torch.tensor([0.05, 0.95]), dim=1)
    assert (high - low)[1] > (high - low)[0] / 5


def test_values_beyond_the_range_are_clamped():
    assert torch.equal(render(portrait(smile=9.0)), render(portrait(smile=1.0)))


@pytest.mark.parametrize(
    ("factors", "size", "words"),
    [
        (torch.zeros(2, 3), 64, "shape"),
        (torch.zeros(len(FACTORS)), 64, "shape"),
        (torch.full((1, len(FACTORS)), float("nan")), 64, "NaN"),
        (torch.full((1, len(FACTORS)), float("inf")), 64, "infinity"),
        (torch.zeros(1, len(FACTORS)), 7, "8 or more"),
    ],
)
def test_bad_input_is_met_at_the_door(factors, size, words):
    with pytest.raises(LabkitError, match=words):
        render(factors, size)


def test_no_faces_make_no_pictures():
    assert render(torch.zeros(0, len(FACTORS)), 16).shape == (0, 3, 16, 16)
