"""Disentanglement, completeness and informativeness of a code.

Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations", ICLR 2018.
"""

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from labkit.metrics.disentanglement.table import CodeTable, DisentanglementScore

TREES = 20
SMALLEST_LEAF = 20  # rows: smaller leaves split on noise, and noise spreads the importance


def dci(table: CodeTable, *, seed: int = 0) -> DisentanglementScore:
    """How concentrated is the importance of the latents in predicting the factors?

    Each factor is predicted from all latents by a random forest (20 trees, leaves of 20 rows or more, all latents
    looked at in each split), fitted to one half of the rows; a classifier for categorical factors. The importance
    R (D, F) is the forest's share of the impurity removed. Disentanglement of a latent: 1 − entropy of its row's
    shares / log F, averaged with the rows' sums as weights. Completeness of a factor: 1 − entropy of its column's
    shares / log D, averaged over the factors. Informativeness: R² (accuracy where categorical) on the other half.

    The paper offers lasso and forests, with depths chosen by cross-validation; others use gradient boosting: compare
    within one choice only. A forest shares out an importance of 1 for each factor, also for one that it cannot
    predict: a missing factor spreads its share over all latents as noise and so lowers disentanglement; look at the
    informativeness. The order, sign and scale of the latents do not matter, but for ties.

    Returns:
        score: disentanglement, 0 to 1; others: "completeness", "informativeness". matrix: R (D, F).
        per_factor: the completeness.
    """
    codes, factors = _for_trees(table.codes), _for_trees(table.factors)
    fitted, scored = np.array_split(np.random.default_rng(seed).permutation(len(table.codes)), 2)
    columns, informativeness = [], []
    for factor, unordered in enumerate(table.categorical):
        kind = RandomForestClassifier if unordered else RandomForestRegressor
        target = (table.levels if unordered else factors)[:, factor]
        forest = kind(TREES, max_features=None, min_samples_leaf=SMALLEST_LEAF, random_state=seed, n_jobs=1).fit(
            codes[fitted], target[fitted]
        )
        columns.append(forest.feature_importances_)
        informativeness.append(forest.score(codes[scored], target[scored]))
    importance = np.stack(columns, 1)
    total = importance.sum()
    latents = concentration(importance)
    disentanglement = float((latents * importance.sum(1)).sum() / total) if total > 0 else 0.0
    factors = concentration(importance.T)
    protocol = table.protocol(
        predictor=f"random forest, {TREES} trees, leaves of {SMALLEST_LEAF} rows or more",
        training_rows=len(fitted),
        test_rows=len(scored),
        seed=seed,
    )
    others = {"completeness": float(factors.mean()), "informativeness": float(np.mean(informativeness))}
    return DisentanglementScore("DCI disentanglement", disentanglement, protocol, factors, importance, others)


def _for_trees(codes: np.ndarray) -> np.ndarray:
    """Codes or factors, rescaled where scikit-learn's trees, in float32, would lose their differences."""
    low, reach = codes.min(0), np.abs(codes).max(0)
    with np.errstate(over="ignore"):
        span = np.ptp(codes, 0)
    lost = (span > 0) & ((span < 1e-3 * reach) | (reach > 1e30) | (reach < 1e-30))
    unit = np.where(lost, np.maximum(reach, np.finfo(float).tiny), 1.0)
    shifted = codes / unit - np.where(lost, low / unit, 0.0)
    return shifted / np.where(lost, np.ptp(shifted, 0), 1.0)


def concentration(rows: np.ndarray) -> np.ndarray:
    """1 − entropy of each row's shares / log of its length, (R,): 1 for one entry alone, 0 for all alike or none."""
    total = rows.sum(1, keepdims=True)
    share = rows / np.where(total > 0, total, 1.0)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1)
    return np.where(total[:, 0] > 0, 1 - entropy / np.log(max(rows.shape[1], 2)), 0.0)
