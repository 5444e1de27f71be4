"""Two metrics that ask how far a factor's best latent is ahead of its second: MIG and SAP."""

import numpy as np
from scipy.stats import entropy
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier

from labkit.metrics.disentanglement.table import BINS, CodeTable, DisentanglementScore, levels_of
from labkit.metrics.scaling import in_unit


def mig(table: CodeTable) -> DisentanglementScore:
    """Mutual information gap: per factor (I1 − I2) / H, averaged; 0 to 1.

    Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", NeurIPS 2018. I1 and I2 are the
    largest and second largest mutual information (nats) of the factor with a latent, H is the factor's entropy. The
    paper samples z from the posterior; here, as is usual since, the table's codes are counted: a latent of at
    most 64 distinct values (eight rows each on average) by value, any other in 20 bins of equal count, so that the
    order, sign and any monotone scale of the latents do not matter. A factor of K > 20 levels then scores
    log 20 / log K at best (dSprites' orientation 0.81, its positions 0.86). Counting biases I upwards, by about
    (bins − 1)(levels − 1) / 2N, for all latents alike.

    Returns:
        matrix: I / H, (D, F). per_factor: the gaps.
    """
    columns = [levels_of(column)[0] for column in table.codes.T]
    share = np.array([[_information(code, factor) for factor in table.levels.T] for code in columns])
    share = share / [entropy(np.bincount(factor)) for factor in table.levels.T]
    return _gaps("MIG", share, table.protocol(bins_of_a_code=f"{BINS} of equal count"))


def sap(table: CodeTable, *, seed: int = 0) -> DisentanglementScore:
    """Separated attribute predictability: per factor the best latent's score less the second's, averaged.

    Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations", ICLR 2018. A
    latent's score for an ordered factor is the R² of a linear regression on that latent alone, over all rows: 1 for a
    perfect code. For a categorical factor of K levels it is the balanced accuracy of K − 1 or fewer thresholds on
    that latent (a decision tree of K leaves, fitted to one half of the rows and scored on the other): between 1 / K
    and 1, so that the gap is 1 − 1 / K at best. A latent that does not vary scores 0, as in the paper. The order,
    sign and scale of the latents do not matter.

    Returns:
        matrix: the scores (D, F). per_factor: the gaps.
    """
    factors, scores = in_unit(table.factors), np.zeros((table.codes.shape[1], len(table.names)))
    for latent in table.live:
        code = table.codes[:, latent]
        for factor, unordered in enumerate(table.categorical):
            if unordered:
                scores[latent, factor] = _thresholds(code, table.levels[:, factor], seed)
            else:
                scores[latent, factor] = np.corrcoef(code, factors[:, factor])[0, 1] ** 2
    classifier = f"tree of K leaves for {', '.join(np.array(table.names)[table.categorical])}"
    return _gaps(
        "SAP",
        scores,
        table.protocol(predictor="linear R²" + (f"; {classifier}" if table.categorical.any() else ""), seed=seed),
    )


def _gaps(metric: str, scores: np.ndarray, protocol: dict) -> DisentanglementScore:
    ordered = np.sort(np.vstack([scores, np.zeros_like(scores[:1])]), 0)  # a lone latent is ahead of none
    gaps = ordered[-1] - ordered[-2]
    return DisentanglementScore(metric, float(gaps.mean()), protocol, gaps, scores)


def _information(one: np.ndarray, other: np.ndarray) -> float:
    """Mutual information of two columns of levels, in nats; ten times as fast as scikit-learn's."""
    joint = np.bincount(one * (other.max() + 1) + other)
    return entropy(np.bincount(one)) + entropy(np.bincount(other)) - entropy(joint)


def _thresholds(code: np.ndarray, level: np.ndarray, seed: int) -> float:
    order = np.random.default_rng(seed).permutation(len(code))
    fitted, scored = np.array_split(order, 2)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=max(2, level.max() + 1), class_weight="balanced", random_state=seed
    ).fit(code[fitted, None], level[fitted])
    return float(balanced_accuracy_score(level[scored], tree.predict(code[scored, None])))
