"""The table in the oracle's docstring, measured again, and the command that prints it."""

import functools

import numpy as np
import torch
from typer.testing import CliRunner

from labkit.course.cli import app
from labkit.course.oracle import table as tables
from labkit.course.oracle import training
from labkit.course.oracle.table import SOFT, score_reading
from labkit.course.oracle.training import OracleConfig
from labkit.drawn.factors import BINARY, FACTOR_NAMES, FACTORS, sample_factors
from labkit.drawn.renderer.render import render
from labkit.oracle import Reading, blur, load_oracle
from labkit.oracle import oracle as oracles

FRESH, SEED = 2000, 31415  # faces of no training, calibration or table


@functools.cache
def faces() -> tuple[torch.Tensor, torch.Tensor]:
    factors = sample_factors(SEED, torch.arange(FRESH))
    return factors, render(factors)


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
    images, oracle = faces()[1], load_oracle()
    readings = oracle.read(images), oracle.read(blur(images.float() / 255, SOFT).clamp(0, 1))
    measured = score_reading(factors, *readings)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(24):
        index = rng.integers(0, FRESH, FRESH)
        draws.append(score_reading(factors[index], *(rows_of(r, index) for r in readings)).to_numpy())
    error = np.sqrt(1.5 * np.var(draws, 0) + one_face(factors) ** 2)  # the table's faces are twice as many
    said, got = np.array(list(table.values())), measured.to_numpy()
    assert np.array_equal(np.isnan(said), np.isnan(got))
    off = np.abs(said - got) / (error + 2e-4)
    assert np.nanmax(off) < 5, [
        (FACTOR_NAMES[k], measured.columns[c], said[k, c], got[k, c]) for k, c in np.argwhere(off >= 5)
    ]
    # Together the factors say more than one by one: a table of another network would be off everywhere.
    assert np.nanmean(np.square(off)) < 2.5


def test_the_command_trains_writes_and_prints(tmp_path, monkeypatch):
    small = functools.partial(training.train_oracle, OracleConfig(64, 32, 1, batch_size=32))
    monkeypatch.setattr(training, "train_oracle", small)
    monkeypatch.setattr(tables, "oracle_table", functools.partial(tables.oracle_table, n=100))
    out = tmp_path / "oracle.safetensors"
    trained = CliRunner().invoke(app, ["oracle", "train", "--out", str(out), "--seed", "3"])
    assert trained.exit_code == 0, trained.output
    assert all(name in trained.stdout for name in FACTOR_NAMES) and str(out) in trained.stdout
    assert load_oracle(path=out).read(faces()[1][:2]).mean.shape == (2, len(FACTORS))
    shown = CliRunner().invoke(app, ["oracle", "table"])
    assert shown.exit_code == 0 and shown.stdout != trained.stdout
