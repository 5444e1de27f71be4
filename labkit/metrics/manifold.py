"""Is what a model draws real, and is all that is real drawn: four shares of neighbourhoods in a space of features.

Precision and recall are those of Kynkäänniemi et al. (arXiv:1904.06991), density and coverage those of Naeem et al.
(arXiv:2002.09797). A set's manifold is the union of balls around its points, each open and as wide as the distance to
the point's k-th nearest neighbour in the same set, itself not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from labkit.errors import LabkitError

NEIGHBOURS = 5
ROWS = 512  # of distances held at a time


@dataclass(frozen=True)
class ManifoldScore:
    """All four depend on k and on both counts: compare scores only at equal ones.

    Attributes:
        precision: share of generated points inside the real manifold.
        recall: share of real points inside the generated manifold. One outlier among the generated points has a
            ball that may hold much of the data, which raises it; coverage does not have that weakness.
        density: how many real balls a generated point lies in on average, over k. 1 where the two sets are the same,
            more where generated points crowd where real ones do.
        coverage: share of real points with a generated point in their ball. Between two samples of one population,
            of N real and M generated points, it is 1 − (N−1)…(N−k) / ((M+N−1)…(M+N−k)) on average.
        neighbours: k.
        real, generated: counts.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    neighbours: int
    real: int
    generated: int


def manifold_score(real: np.ndarray, generated: np.ndarray, neighbours: int = NEIGHBOURS) -> ManifoldScore:
    """The four shares for features (N, D) of real and (M, D) of generated images, Euclidean distances.

    Args:
        neighbours: k; 3 in the paper of precision and recall, 5 in that of density and coverage.

    Raises LabkitError: other shapes, numbers that are not finite, or not more than k points in either set.
    """
    real, generated = (np.asarray(features, np.float64) for features in (real, generated))
    _check(real, generated, neighbours)
    # Shares have no unit; a power of two keeps every bit, and squared distances from overflow or from vanishing.
    exponent = np.frexp(max(np.abs(real).max(), np.abs(generated).max()))[1]
    real, generated = np.ldexp(real, -exponent), np.ldexp(generated, -exponent)
    real_radii, generated_radii = (radii(points, neighbours) for points in (real, generated))
    balls = np.zeros(len(generated), np.int64)  # real ones around each generated point
    recalled, covered = [], []
    for start, distances in _distances(real, generated):
        inside_real = distances < real_radii[start : start + len(distances), None]
        balls += inside_real.sum(0)
        covered.append(inside_real.any(1))
        recalled.append((distances < generated_radii).any(1))
    return ManifoldScore(
        precision=float((balls > 0).mean()),
        recall=float(np.concatenate(recalled).mean()),
        density=float(balls.mean() / neighbours),
        coverage=float(np.concatenate(covered).mean()),
        neighbours=neighbours,
        real=len(real),
        generated=len(generated),
    )


def radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance (N,) of each of `points` (N, D) to its k-th nearest among the others."""
    found = []
    for start, distances in _distances(points, points):
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf
        found.append(np.partition(distances, neighbours - 1, axis=1)[:, neighbours - 1])
    return np.concatenate(found)


def _distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(a), ROWS):
        yield start, cdist(a[start : start + ROWS], b)


def _check(real: np.ndarray, generated: np.ndarray, neighbours: int) -> None:
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1] or not real.shape[1]:
        raise LabkitError(
            f"manifold_score: features {real.shape} and {generated.shape} must be (N, D) and (M, D); "
            "flatten them, and take both from one extractor."
        )
    if not 1 <= neighbours < min(len(real), len(generated)):
        raise LabkitError(
            f"manifold_score: {len(real)} real and {len(generated)} generated points do not all have "
            f"neighbours = {neighbours} others; give more points."
        )
    if not (np.isfinite(real).all() and np.isfinite(generated).all()):
        raise LabkitError("manifold_score: some features are not finite; leave those images out.")
