"""The shipped oracle: what its docstring says, measured again."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from labkit.course.oracle.pictures import MIRRORED, mirror_factors
from labkit.drawn.factors import BINARY, FACTOR_NAMES, FACTORS, sample_factors
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError
from labkit.oracle import oracle as oracles
from labkit.oracle.oracle import READABLE, WEIGHTS, FactorOracle, Reading, load_oracle, network_input

FRESH, SEED = 2000, 31415  # faces of no training, calibration or table


@functools.cache
def oracle() -> FactorOracle:
    return load_oracle()


@functools.cache
def faces() -> tuple[torch.Tensor, torch.Tensor]:
    factors = sample_factors(SEED, torch.arange(FRESH))
    return factors, render(factors)


@functools.cache
def reading_of_all() -> Reading:
    return oracle().read(faces()[1])


def documented() -> dict[str, list[float]]:
    """Factor → its numbers in the module's docstring."""
    lines = [line.split() for line in oracles.__doc__.splitlines()]
    return {
        line[0]: [float(cell.replace("–", "nan")) for cell in line[1:7]]
        for line in lines
        if len(line) > 6 and line[0] in FACTOR_NAMES
    }


def test_the_docstring_names_what_cannot_be_read():
    unread = {line.split()[0] for line in oracles.__doc__.splitlines() if line.endswith("not read")}
    assert unread == {name for name, row in documented().items() if row[2] < READABLE}


def test_uncertainty_is_calibrated():
    factors, reading = faces()[0].numpy(), reading_of_all()
    continuous = [k for k, factor in enumerate(FACTORS) if factor.kind != BINARY]
    z = np.abs(factors - reading.mean)[:, continuous] / reading.std[:, continuous]
    assert np.mean(z < 1) == pytest.approx(0.6827, abs=0.01)
    assert np.mean(z < 2) == pytest.approx(0.9545, abs=0.02)
    for k in set(range(len(FACTORS))) - set(continuous):
        p = reading.mean[:, k]
        assert p.mean() == pytest.approx(factors[:, k].mean(), abs=0.03), FACTOR_NAMES[k]


def test_it_is_unsure_where_the_picture_hides_the_factor():
    """The hairline under a cap, the cover of a beard that is not there."""
    reading, column = reading_of_all(), FACTOR_NAMES.index
    factors = faces()[0].numpy()
    for hidden, by in (("bangs", factors[:, column("hat")] > 0.5), ("beard_cover", factors[:, column("beard")] == 0)):
        std = reading.std[:, column(hidden)]
        assert std[by].mean() > 1.2 * std[~by].mean(), hidden


def test_a_mirrored_picture_has_mirrored_factors():
    images, reading = faces()[1], reading_of_all()
    mirrored = oracle().read(images.flip(-1))
    wanted = mirror_factors(torch.from_numpy(reading.mean)).numpy()
    for name in MIRRORED:
        k = FACTOR_NAMES.index(name)
        assert np.corrcoef(mirrored.mean[:, k], wanted[:, k])[0, 1] > 0.95, name
    change = np.abs(mirrored.mean - wanted).mean(0)
    for k, (name, row) in enumerate(documented().items()):
        assert change[k] < 2 * row[0] + 0.005, name  # both readings are off by the error, at most this way and that


@pytest.mark.parametrize("shape", [(3, 64, 48), (3, 218, 178), (3, 32, 32), (3, 48, 64)])
def test_any_size_can_be_read(shape):
    images = F.interpolate(faces()[1][:9].float() / 255, shape[1:], mode="bilinear", antialias=True)
    reading = oracle().read(images)
    assert reading.mean.shape == reading.std.shape == (9, len(FACTORS))
    assert reading.mean.dtype == reading.std.dtype == np.float32
    assert oracle().features(images).shape == (9, oracle().net.dims)


def test_fine_stripes_become_grey_and_not_other_stripes():
    stripes = (torch.arange(256) % 5 < 2).float().expand(1, 3, 256, 256)
    assert network_input(stripes)[..., 4:-4].std() < 0.12  # 0.49 before, and about that where pixels are skipped


def test_a_larger_picture_and_its_crop_are_read_as_the_same_face():
    factors = faces()[0][:200]
    wanted = oracle().read(faces()[1][:200]).mean
    spread = faces()[0].numpy().std(0)
    for other in (render(factors, 128), faces()[1][:200, :, :, 8:56]):
        difference = np.abs(oracle().read(other).mean - wanted).mean(0) / spread
        read = [k for k, row in enumerate(documented().values()) if row[2] > 0.8]
        assert difference[read].mean() < 0.25


def test_bytes_floats_arrays_and_batches_make_no_difference(monkeypatch):
    images = faces()[1][:50]
    wanted = oracle().read(images)
    for same in (images.float() / 255, images.numpy(), (images.double() / 255).numpy()):
        np.testing.assert_allclose(oracle().read(same).mean, wanted.mean, atol=1e-5)
    monkeypatch.setattr(oracles, "BATCH", 7)
    np.testing.assert_allclose(oracle().read(images).std, wanted.std, atol=1e-4)
    np.testing.assert_array_equal(wanted.column("glasses"), wanted.mean[:, FACTOR_NAMES.index("glasses")])


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(2, 1, 64, 64), "grey"),
        (torch.zeros(3, 64, 64), "shape"),
        (torch.zeros(0, 3, 64, 64), "at least one"),
        (torch.full((2, 3, 64, 64), -1.0), "range from -1"),
        (torch.full((2, 3, 64, 64), float("nan")), "range from nan"),
        (torch.zeros(2, 3, 64, 64, dtype=torch.int64), "int64"),
    ],
)
def test_what_it_refuses(images, words):
    with pytest.raises(LabkitError, match=words):
        network_input(images)


def test_unknown_factors_and_files_are_refused(tmp_path):
    with pytest.raises(LabkitError, match="no factor 'nose'"):
        reading_of_all().column("nose")
    with pytest.raises(LabkitError, match="labkit oracle train"):
        load_oracle(path=tmp_path / "none.safetensors")
    short = tmp_path / "short.safetensors"
    short.write_bytes(WEIGHTS.read_bytes()[:5000])
    with pytest.raises(LabkitError, match="holds no oracle"):
        load_oracle(path=short)
    assert WEIGHTS.stat().st_size < 2_000_000
