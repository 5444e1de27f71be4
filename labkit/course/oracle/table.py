"""How well the oracle reads each factor: the table in its docstring."""

import numpy as np
import pandas as pd
import torch

from labkit.drawn.factors import BINARY, FACTORS, sample_factors
from labkit.drawn.renderer.render import render
from labkit.oracle.net import SIDE
from labkit.oracle.oracle import READABLE, FactorOracle, Reading, blur

SOFT = 1.5  # pixels: the blur of the last column, that of a small VAE's pictures
TABLE_SEED = 2**20  # no face of training or calibration


def oracle_table(oracle: FactorOracle, n: int = 4000) -> pd.DataFrame:
    """How well the oracle reads each factor of n freshly drawn faces.

    Columns: `error`, the mean absolute error in the factor's unit (binary: the share of wrong answers); `guess`,
    the same for a reader who always says the mean (binary: the commoner answer); `r2`, 1 − squared error over
    variance (binary: of the probability, 1 − Brier score over variance); `balanced`, the balanced accuracy of a
    binary factor; `within`, the share of faces whose factor is within one `std` of the mean (should be 0.68);
    `r2_soft`, R² on the same pictures under a Gaussian blur of 1.5 pixels.
    """
    factors = sample_factors(TABLE_SEED, torch.arange(n))
    images = render(factors, SIDE)
    soft = oracle.read(blur(images.float() / 255, SOFT).clamp(0, 1))
    return score_reading(factors.numpy(), oracle.read(images), soft)


def score_reading(factors: np.ndarray, reading: Reading, soft: Reading) -> pd.DataFrame:
    """The columns of `oracle_table` for true factors (N, F) and what was read from sharp and from soft pictures."""
    truth, rows = np.asarray(factors, np.float64), {}
    for k, factor in enumerate(FACTORS):
        score = _binary_row if factor.kind == BINARY else _continuous_row
        row = score(truth[:, k], reading.mean[:, k], reading.std[:, k])
        rows[factor.name] = row | {"r2_soft": _r2(truth[:, k], soft.mean[:, k])}
    return pd.DataFrame(rows).T


def _r2(truth: np.ndarray, mean: np.ndarray) -> float:
    return 1 - np.mean((truth - mean) ** 2) / truth.var()


def _continuous_row(truth: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, float]:
    error = np.abs(truth - mean)
    return {
        "error": error.mean(),
        "guess": np.abs(truth - truth.mean()).mean(),
        "r2": _r2(truth, mean),
        "balanced": np.nan,
        "within": (error < std).mean(),
    }


def _binary_row(truth: np.ndarray, probability: np.ndarray, std: np.ndarray) -> dict[str, float]:
    positive, said = truth > 0.5, probability > 0.5
    return {
        "error": (said != positive).mean(),
        "guess": min(positive.mean(), 1 - positive.mean()),
        "r2": _r2(truth, probability),
        "balanced": 0.5 * (said[positive].mean() + (~said[~positive]).mean()),
        "within": np.nan,
    }


def table_text(table: pd.DataFrame) -> str:
    """The table as text, as in the docstring of `labkit.oracle.oracle`; "not read" where R² is below `READABLE`."""
    lines = [f"{'factor':<17}" + "".join(f"{name:>9}" for name in table.columns)]
    for name, row in table.iterrows():
        cells = "".join(f"{'–' if np.isnan(value) else format(value, '.3f'):>9}" for value in row)
        lines.append(f"{name:<17}{cells}" + ("  not read" if row["r2"] < READABLE else ""))
    return "\n".join(lines)
