"""The shipped oracle: what its docstring says, measured again."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from labkit.course.cli import app
from labkit.drawn.factors import BINARY, FACTOR_NAMES, FACTORS, sample_factors
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError
from labkit.oracle import oracle as oracles
from labkit.oracle import training as oracle_training
from labkit.oracle.oracle import (
    READABLE,
    SOFT,
    WEIGHTS,
    FactorOracle,
    Reading,
    load_oracle,
    network_input,
    score_reading,
)
from labkit.oracle.pictures import MIRRORED, blur, mirror_factors
from labkit.oracle.training import OracleConfig

FRESH, SEED = 2000, 31415  # faces of no training, calibration or table


@functools.cache
def oracle() -> FactorOracle:
    return load_oracle()


@functools.cache
def faces() -> tuple[torch.Tensor, torch.Tensor]:
    factors = sample_factors(SEED, torch.arange(FRESH))
    return factors, render(factors)


@functools.cache
def readings() -> tuple[Reading, Reading]:
    images = faces()[1]
    return oracle().read(images), oracle().read(blur(images.float() / 255, SOFT).clamp(0, 1))


def rows_of(reading: Reading, index: np.ndarray) -> Reading:
    return Reading(reading.mean[index], reading.std[index], reading.factor_names)


def documented() -> dict[str, list[float]]:
    """Factor → its numbers in the module's docstring."""
    lines = [line.split() for line in oracles.__doc__.splitlines()]
    return {
        line[0]: [float(cell.replace("–", "nan")) for cell in line[1:7]]
        for line in lines
        if len(line) > 6 and line[0] in FACTOR_NAMES
    }


def one_face(factors: np.ndarray) -> np.ndarray:
    """What one more wrong answer does to the row of a binary factor, (F, 6): no bootstrap finds errors among none."""
    share = factors.mean(0)
    scores = np.stack([0 * share + 1, 0 * share, 1 / (share * (1 - share)), 0.5 / share, 0 * share], 1)
    binary = np.array([factor.kind == BINARY for factor in FACTORS])
    return np.where(binary[:, None], scores[:, [0, 1, 2, 3, 4, 2]], 0) / len(factors)


def test_the_table_in_the_docstring_is_what_the_oracle_does():
    """Fresh faces of another seed; the difference is held against the bootstrap's standard error of both sides."""
    table, factors = documented(), faces()[0].numpy()
    assert tuple(table) == FACTOR_NAMES
    measured = score_reading(factors, *readings())
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(24):
        index = rng.integers(0, FRESH, FRESH)
        draws.append(score_reading(factors[index], *(rows_of(r, index) for r in readings())).to_numpy())
    error = np.sqrt(1.5 * np.var(draws, 0) + one_face(factors) ** 2)  # the table's faces are twice as many
    said, got = np.array(list(table.values())), measured.to_numpy()
    assert np.array_equal(np.isnan(said), np.isnan(got))
    off = np.abs(said - got) / (error + 2e-4)
    assert np.nanmax(off) < 5, [
        (FACTOR_NAMES[k], measured.columns[c], said[k, c], got[k, c]) for k, c in np.argwhere(off >= 5)
    ]
    # Together the factors say more than one by one: a table of another network would be off everywhere.
    assert np.nanmean(np.square(off)) < 2.5


def test_the_docstring_names_what_cannot_be_read():
    unread = {line.split()[0] for line in oracles.__doc__.splitlines() if line.endswith("not read")}
    assert unread == {name for name, row in documented().items() if row[2] < READABLE}


def test_uncertainty_is_calibrated():
    factors, reading = faces()[0].numpy(), readings()[0]
    continuous = [k for k, factor in enumerate(FACTORS) if factor.kind != BINARY]
    z = np.abs(factors - reading.mean)[:, continuous] / reading.std[:, continuous]
    assert np.mean(z < 1) == pytest.approx(0.6827, abs=0.01)
    assert np.mean(z < 2) == pytest.approx(0.9545, abs=0.02)
    for k in set(range(len(FACTORS))) - set(continuous):
        p = reading.mean[:, k]
        assert p.mean() == pytest.approx(factors[:, k].mean(), abs=0.03), FACTOR_NAMES[k]


def test_it_is_unsure_where_the_picture_hides_the_factor():
    """The hairline under a cap, the cover of a beard that is not there."""
    reading, column = readings()[0], FACTOR_NAMES.index
    factors = faces()[0].numpy()
    for hidden, by in (
        ("bangs", factors[:, column("hat")] > 0.5),
        ("beard_cover", factors[:, column("beard")] == 0),
    ):
        std = reading.std[:, column(hidden)]
        assert std[by].mean() > 1.2 * std[~by].mean(), hidden


def test_a_mirrored_picture_has_mirrored_factors():
    images, reading = faces()[1], readings()[0]
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
        readings()[0].column("nose")
    with pytest.raises(LabkitError, match="labkit oracle train"):
        load_oracle(path=tmp_path / "none.safetensors")
    short = tmp_path / "short.safetensors"
    short.write_bytes(WEIGHTS.read_bytes()[:5000])
    with pytest.raises(LabkitError, match="holds no oracle"):
        load_oracle(path=short)
    assert WEIGHTS.stat().st_size < 2_000_000


def test_the_command_trains_writes_and_prints(tmp_path, monkeypatch):
    small = functools.partial(oracle_training.train_oracle, OracleConfig(64, 32, 1, batch_size=32))
    monkeypatch.setattr(oracle_training, "train_oracle", small)
    monkeypatch.setattr(oracles, "oracle_table", functools.partial(oracles.oracle_table, n=100))
    out = tmp_path / "oracle.safetensors"
    trained = CliRunner().invoke(app, ["oracle", "train", "--out", str(out), "--seed", "3"])
    assert trained.exit_code == 0, trained.output
    assert all(name in trained.stdout for name in FACTOR_NAMES) and "minutes" in trained.stdout
    assert load_oracle(path=out).read(faces()[1][:2]).mean.shape == (2, len(FACTORS))
    shown = CliRunner().invoke(app, ["oracle", "table"])
    assert shown.exit_code == 0 and shown.stdout != trained.stdout
