"""The metric of the β-VAE paper: which factor did all these pairs have in common?

Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR 2017,
section 3.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from labkit.errors import LabkitError
from labkit.metrics.disentanglement.table import CodeTable, DisentanglementScore


def mean_differences(
    table: CodeTable, points: int, pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, D), the mean |z1 − z2| over the pairs of each, and the factor int64 (P,) that these pairs share.

    As many points for each factor, `points` in all (rounded up to a multiple of F).
    """
    each = -(-points // len(table.names))
    differences = []
    for factor in range(len(table.names)):
        first, second = table.pairs(factor, each, pairs, rng)
        differences.append(np.abs(table.codes[first] - table.codes[second]).mean(1))
    return np.concatenate(differences), np.repeat(np.arange(len(table.names)), each)


def higgins_score(
    table: CodeTable,
    *,
    pairs: int = 64,
    training_points: int = 2000,
    test_points: int = 1000,
    strength: float = 1.0,
    standardise: bool = True,
    seed: int = 0,
) -> DisentanglementScore:
    """Accuracy of a linear classifier that tells the shared factor from mean differences; chance is 1 / F.

    A point: draw L pairs of rows; the two rows of a pair share the value of one factor, everything else is free;
    average |z1 − z2| over the L pairs. The fixed factor's latents differ less. The classifier is multinomial logistic
    regression with an L2 penalty (scikit-learn, C = strength), fitted to training points; the score is its accuracy
    on other points.

    Three things to know before comparing numbers. L averages noise away: with a larger L weaker and weaker traces of
    a factor suffice. The penalty acts on weights, so that without `standardise` the score depends on the scale of
    the code: latents whose scales go from 0.001 to 1 score 0.82 where the same perfect ones score 1. And the score is
    1.0 when one factor is missing from the code altogether: holding it reduces no difference, and a linear classifier
    that knows the F − 1 patterns of the others tells it by elimination. Only a second missing factor costs: the two
    are guessed between. A rotation costs less than with the other metrics, and less the larger L is: each factor
    leaves a pattern of its own, unless it is rotated by 45° with another, which makes two patterns one.

    Args:
        pairs: L.
        training_points, test_points: rounded up to a multiple of F.
        strength: C, the inverse of the penalty.
        standardise: scale each latent's mean differences to mean 0 and variance 1 over the training points, which
            makes the score independent of the scale, sign and order of the latents. False is what the paper does.

    Returns:
        matrix: the confusion (F, F): share of the points of factor i that were called factor j. per_factor: its
        diagonal.

    Raises LabkitError: counts below 1.
    """
    if min(pairs, training_points, test_points) < 1 or strength <= 0:
        raise LabkitError("higgins_score: pairs, training_points, test_points and strength must be positive.")
    rng = np.random.default_rng(seed)
    (x, y), (x_test, y_test) = (
        mean_differences(table, points, pairs, rng) for points in (training_points, test_points)
    )
    if standardise:
        mean, spread = x.mean(0), x.std(0)
        spread[spread == 0] = 1.0
        x, x_test = (x - mean) / spread, (x_test - mean) / spread
    guess = LogisticRegression(C=strength, max_iter=2000).fit(x, y).predict(x_test)
    count = len(table.names)
    confusion = np.bincount(y_test * count + guess, minlength=count**2).reshape(count, count)
    confusion = confusion / confusion.sum(1, keepdims=True)
    protocol = table.protocol(
        pairs=pairs,
        training_points=len(x),
        test_points=len(x_test),
        classifier=f"logistic regression, L2, C = {strength:g}",
        mean_differences="standardised" if standardise else "as they are",
        seed=seed,
    )
    score = float(np.diag(confusion).mean())
    return DisentanglementScore("Higgins", score, protocol, np.diag(confusion).copy(), confusion)
