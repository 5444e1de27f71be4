"""Training of the factor oracle, at toy size."""

import functools

import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn

from labkit.course.oracle.pictures import MIRRORED, draw_factors, mirror, mirror_factors, portrait_format, spoil
from labkit.course.oracle.training import OracleConfig, calibrate, save_oracle, train_oracle
from labkit.drawn.factors import BINARY, FACTOR_NAMES, FACTORS, sample_factors
from labkit.drawn.renderer.render import render
from labkit.oracle.oracle import blur, load_oracle, network_input

TINY = OracleConfig(faces=1600, held_out=300, epochs=3, batch_size=32)


@functools.cache
def tiny() -> nn.Module:
    return train_oracle(TINY, seed=1)


@functools.cache
def faces(n: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    factors = sample_factors(7, torch.arange(n))
    return factors, render(factors).float() / 255


def r2(net: nn.Module, name: str) -> float:
    factors, images = faces(300)
    k = FACTOR_NAMES.index(name)
    with torch.no_grad():
        read = net.read(images)[0][:, k]
    return (1 - (read - factors[:, k]).square().mean() / factors[:, k].var()).item()


def test_a_seed_names_the_weights_bit_for_bit(same):
    short = OracleConfig(faces=192, held_out=32, epochs=2, batch_size=32)
    one = train_oracle(short, seed=1)
    torch.rand(3)  # whatever was drawn before does not matter
    again, other = train_oracle(short, seed=1), train_oracle(short, seed=2)
    assert same(dict(one.state_dict()), dict(again.state_dict()))
    assert not same(dict(one.state_dict()), dict(other.state_dict()))


@pytest.mark.parametrize("name", ["skin_tone", "light_azimuth", "background_light", "hair_length"])
def test_it_learns_within_seconds(name):
    """Guessing the mean has R² = 0."""
    assert r2(tiny(), name) > 0.3


def test_the_file_holds_the_network(tmp_path):
    path = tmp_path / "oracle.safetensors"
    save_oracle(tiny(), path)
    assert path.stat().st_size < 2_000_000
    images = faces()[1]
    with torch.no_grad():
        wanted = tiny().read(images)[0]
    read = torch.from_numpy(load_oracle(path=path).read(images).mean)
    torch.testing.assert_close(read, wanted, atol=0.01, rtol=0)  # float16 kernels


def test_calibration_finds_what_the_spread_is_wrong_by():
    """A reader that is sure of itself by a factor of three, with logits four times too large."""

    class Reader(nn.Module):
        def __init__(self, location):
            super().__init__()
            self.location, self.start = location, 0
            self.binary = torch.tensor([factor.kind == BINARY for factor in FACTORS])
            self.centre, self.spread = torch.zeros(len(FACTORS)), torch.ones(len(FACTORS))
            self.scale = torch.ones(len(FACTORS))

        def forward(self, images):
            part = self.location[self.start : self.start + len(images)]
            self.start += len(images)
            return part, torch.zeros_like(part)

    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20000, len(FACTORS), generator=generator)
    binary = torch.tensor([factor.kind == BINARY for factor in FACTORS])
    tossed = (torch.rand(logits.shape, generator=generator) < torch.sigmoid(logits)).float()
    noisy = 4 * logits + 3 * torch.randn(logits.shape, generator=generator)
    reader = Reader(4 * logits)
    calibrate(reader, torch.zeros(20000, 3, 1, 1, dtype=torch.uint8), torch.where(binary, tossed, noisy))
    torch.testing.assert_close(reader.scale, torch.where(binary, 4.0, 3.0), rtol=0.06, atol=0)


def test_factors_of_a_mirrored_picture():
    """The flipped picture is nearer to the drawing of the mirrored factors than with any one left unmirrored."""
    factors, images = faces()
    flipped, mirrored = images.flip(-1), mirror_factors(factors)

    def distance(other: torch.Tensor) -> float:
        return (render(other).float() / 255 - flipped).abs().mean().item()

    assert torch.equal(mirror_factors(mirrored), factors)
    best = distance(mirrored)
    for k, factor in enumerate(FACTORS):
        if factor.low < 0:
            other = mirrored.clone()
            other[:, k] *= -1
            assert best < distance(other), factor.name
    assert {factor.name for factor in FACTORS if factor.name in MIRRORED} == set(MIRRORED)


def test_pictures_and_factors_are_mirrored_together():
    factors, images = faces()
    chosen = torch.arange(len(images)) % 3 == 0
    seen, read = mirror(images, factors, chosen)
    assert torch.equal(seen[~chosen], images[~chosen]) and torch.equal(read[~chosen], factors[~chosen])
    drawn = render(read[chosen]).float() / 255
    assert (seen[chosen] - drawn).abs().mean() < 0.2 * (images[chosen] - drawn).abs().mean()


def test_a_third_of_the_faces_has_factors_that_do_not_go_together():
    factors = draw_factors(9000, 3)
    together, apart = factors[:6000], factors[6000:]
    masculine, brow = FACTOR_NAMES.index("masculine"), FACTOR_NAMES.index("brow_thickness")

    def correlation(part: torch.Tensor) -> float:
        return torch.corrcoef(part[:, [masculine, brow]].T)[0, 1].item()

    assert correlation(together) > 0.4 and abs(correlation(apart)) < 0.08
    torch.testing.assert_close(apart.mean(0), together.mean(0), atol=0.05, rtol=0)
    assert torch.equal(draw_factors(9000, 3), factors)


def test_blur_is_a_gaussian():
    images = faces()[1][:2]
    wanted = images.numpy()
    for axis in (-1, -2):
        wanted = gaussian_filter1d(wanted, 1.6, axis, mode="nearest", truncate=2.5)
    torch.testing.assert_close(blur(images, 1.6), torch.from_numpy(wanted), atol=1e-5, rtol=0)
    assert torch.equal(blur(images, 0.0), images)


def test_the_portrait_format_is_what_the_oracle_makes_of_it():
    """Training and reading must pad 64×48 pictures alike."""
    images = faces()[1]
    assert torch.equal(network_input(images[..., 8:56]), portrait_format(images))


def test_spoilt_pictures_stay_pictures_of_the_same_faces():
    images = faces()[1]
    torch.manual_seed(0)
    spoilt = spoil(images)
    assert spoilt.shape == images.shape and spoilt.min() >= 0 and spoilt.max() <= 1
    assert not torch.equal(spoilt, images)
    distance = torch.cdist(spoilt.flatten(1), images.flatten(1))
    assert (distance.argmin(1) == torch.arange(len(images))).float().mean() > 0.95
