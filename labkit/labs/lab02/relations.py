"""Check of the phi coefficient between all pairs of attributes (Yule 1912; Matthews 1975)."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.checking import Missed, Property, evaluate, random_numbers, untouched, weak

TOLERANCE = 1e-6  # of float32
ROWS, COLUMNS = 60, 5
MANY = 200_000


def phi_matrix(phi: Callable[[np.ndarray], Any]) -> list[Property]:
    """Properties of a function: labels bool (N, A) → phi coefficients (A, A).

    Args:
        phi: 0 where one of the two attributes never varies.
    """
    return evaluate(
        {
            "one number for every pair, (A, A)": weak(lambda: _shape(phi) or untouched([_labels()], phi)),
            "always together gives 1, never together −1": lambda: _extremes(phi),
            "independent attributes give 0": weak(lambda: _independent(phi)),
            "the order of a pair does not matter": weak(lambda: _symmetric(phi)),
            "every pair agrees with scikit-learn": lambda: _reference(phi),
            "an attribute that never varies gives 0": weak(lambda: _constant(phi)),
        }
    )


def _labels() -> np.ndarray:
    """Attributes of unequal frequency that depend on each other."""
    generator = random_numbers()
    common = generator.normal(size=(ROWS, 1))
    weights, levels = np.array([1.0, -1.2, 0.6, 0.0, 0.8]), np.array([0.0, 0.7, -0.8, 0.3, 1.2])
    return weights * common + generator.normal(size=(ROWS, COLUMNS)) > levels


def _values(phi: Callable[[np.ndarray], Any], labels: np.ndarray) -> np.ndarray:
    """What the function gives, silently; a wrong shape is one property's fault and ends the others."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = phi(labels.copy())
    if result is None:
        raise Missed("it returns None: does your function end with a return?")
    values = np.asarray(result, float)
    if values.shape != (labels.shape[1],) * 2:
        raise Missed("this needs a matrix (A, A): see the first property.")
    varies = labels.any(0) & ~labels.all(0)
    both = np.outer(varies, varies)
    if np.isnan(values[both]).any():
        count = f"{np.isnan(values[both]).sum()} of {both.sum()} values are NaN"
        raise Missed(f"{count}, though both attributes vary: 0/0, or a root of a negative number?")
    return values


def _shape(phi: Callable[[np.ndarray], Any]) -> str | None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = phi(_labels())
    if result is None:
        return "it returns None: does your function end with a return?"
    shape = np.shape(result)
    if shape == (ROWS, ROWS):
        return "it compares images with each other: attributes are the columns, transpose the labels."
    if shape != (COLUMNS, COLUMNS):
        return f"for labels ({ROWS}, {COLUMNS}) expected ({COLUMNS}, {COLUMNS}), got {shape}."
    return None


def _extremes(phi: Callable[[np.ndarray], Any]) -> str | None:
    # A matrix of images would not fit into memory below.
    if hint := _named(_values(phi, _labels()), _labels()):
        return hint
    a = random_numbers(1).permutation(np.array([1, 1, 1, 0, 0, 0, 0, 0, 1, 0], bool))
    a = np.tile(a, MANY // len(a))  # enough rows to overflow 8 and 16 bits
    rare = np.arange(MANY) < MANY // 10_000
    values = _values(phi, np.stack([a, a, ~a, rare, rare, ~rare, ~rare], 1))
    for i, j, who in ((3, 4, "has"), (5, 6, "lacks")):
        if (
            np.isclose(values[0, 1], 1)
            and np.isclose(values[0, 2], -1)
            and not np.isclose(values[i, j], 1, atol=1e-3)
        ):
            return (
                f"twins that one face in 10,000 {who} give {values[i, j]:.2f}: only where one never varies put 0; "
                "add nothing to the scale."
            )
    if np.isclose(values[0, 1], 1) and np.isclose(values[0, 2], -1):
        return None
    if np.isclose(values[0, 1], 1) and np.isclose(values[0, 2], 1):
        return "opposites give +1: keep the sign."
    if np.isclose(values[0, 1], 1):
        return f"opposites give {values[0, 2]:.2f}: subtract the mean of each attribute first."
    return f"twins give {values[0, 1]:.2f}: divide the covariance by both standard deviations."


def _independent(phi: Callable[[np.ndarray], Any]) -> str | None:
    """Exactly independent, with unequal frequencies: 1/4 and 1/3."""
    a, b = np.meshgrid(np.arange(4) < 1, np.arange(3) < 1)
    value = _values(phi, np.stack([a.ravel(), b.ravel()], 1))[0, 1]
    if abs(value) < TOLERANCE:
        return None
    return f"independent attributes give {value:.2f}: what both have by chance must be subtracted, p₁₁ − p₁ p₂."


def _symmetric(phi: Callable[[np.ndarray], Any]) -> str | None:
    values = _values(phi, _labels())
    if np.allclose(values, values.T, atol=TOLERANCE):
        return None
    return "row and column are treated differently: divide by the square root of p₁(1 − p₁) p₂(1 − p₂)."


def _reference(phi: Callable[[np.ndarray], Any]) -> str | None:
    from sklearn.metrics import matthews_corrcoef  # takes seconds, which a kernel that is graded need not spend

    labels = _labels()
    values = _values(phi, labels)
    expected = np.array([[matthews_corrcoef(a, b) for b in labels.T] for a in labels.T])
    if np.allclose(values, expected, atol=1e-5):
        return _as_many(phi, labels, expected)
    if np.allclose(values, np.abs(expected), atol=1e-8):
        return "the sizes are right but signs are lost: a negative association is one too."
    if np.allclose(values, expected**2, atol=1e-8):
        return "that is phi squared: divide by the square root."
    if np.allclose(values, expected * ROWS / (ROWS - 1), atol=1e-5):
        return f"it is {ROWS}/{ROWS - 1} of φ: covariance and deviations must both divide by N, or both by N − 1."
    if np.allclose(values, expected * (ROWS - 1) / ROWS, atol=1e-5):
        return f"it is {ROWS - 1}/{ROWS} of φ: covariance and deviations must both divide by N, or both by N − 1."
    if hint := _named(values, labels):
        return hint
    i, j = np.unravel_index(np.nanargmax(np.abs(values - expected)), values.shape)
    return f"attributes {i} and {j}: got {values[i, j]:.3f}, not the correlation of the two columns."


def _named(values: np.ndarray, labels: np.ndarray) -> str | None:
    share = labels.mean(0)
    variance, chance = np.outer(share * (1 - share), share * (1 - share)), np.outer(share, share)
    if np.allclose(values, (labels.T.astype(float) @ labels / len(labels) - chance) / variance, atol=1e-5):
        return "the covariance is divided by both variances: take the square root of p₁(1 − p₁) p₂(1 − p₂)."
    if np.allclose(values, ((labels.T @ labels) / len(labels) - chance) / np.sqrt(variance), atol=1e-5):
        return "a product of bools says whether two occur together, not how often: use labels.astype(float)."
    return None


def _as_many(phi: Callable[[np.ndarray], Any], labels: np.ndarray, expected: np.ndarray) -> str | None:
    """The same rows many times over, in disorder, and two columns more."""
    columns = [0, 1, 2, 3, 4, 1, 3]
    rows = random_numbers(2).permutation(np.arange(ROWS * (MANY // ROWS)) % ROWS)
    values = _values(phi, labels[rows][:, columns])
    if np.allclose(values, expected[np.ix_(columns, columns)], atol=1e-4):
        return None
    return (
        f"right for {ROWS} rows, but not for the same rows {MANY // ROWS:,} times over and {len(columns)} columns: "
        "does a product overflow its type, or is a size written in?"
    )


def _constant(phi: Callable[[np.ndarray], Any]) -> str | None:
    labels = _labels()
    labels[:, 2], labels[:, 4] = False, True
    values = _values(phi, labels)
    lines = np.concatenate([values[[2, 4]].ravel(), values[:, [2, 4]].ravel()])
    if np.allclose(lines, 0, atol=TOLERANCE):
        return None
    if not np.isfinite(lines).all():
        return "0/0 gives NaN: a rare attribute may be absent from a part; put 0 there, as scikit-learn does."
    worst = lines[np.abs(lines).argmax()]
    return f"an attribute that never varies tells nothing of another: expected 0, got {worst:.2f}."
