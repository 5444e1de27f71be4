import math

from simulate import Case, Seeds

from labkit.claims import CORRECTED, NOT_REPRODUCED, REPRODUCED, UNDECIDED


def by_beta(*means, sd=0.03, n=5):
    return {beta: Seeds(mean, sd, n) for beta, mean in zip(("1", "4", "16", "64", "256"), means, strict=True)}


def codes(pca, ica, sd):
    return {"PCA": Seeds(pca, sd), "ICA": Seeds(ica, sd)}


U, FLAT, RISING = (0.7, 0.8, 0.95, 0.8, 0.5), (0.9,) * 5, (0.6, 0.7, 0.8, 0.9, 0.95)
COLLAPSE = (0.9, 0.9, 0.9, 0.9, 0.4)
CASES = {
    "C5": Case(
        dict(scores=by_beta(*U), gap_scores=by_beta(*FLAT), epochs=30),
        REPRODUCED,
        [
            (dict(epochs=10), REPRODUCED),
            (dict(scores=by_beta(*FLAT)), NOT_REPRODUCED),
            (dict(scores=by_beta(*FLAT), epochs=29), UNDECIDED),
            (dict(scores=by_beta(*RISING)), NOT_REPRODUCED),
            (dict(scores=by_beta(*U[::-1])), REPRODUCED),
            (dict(scores=by_beta(0.95, 0.9, 0.8, 0.7, 0.5)), NOT_REPRODUCED),
            (dict(scores=by_beta(*FLAT), gap_scores=by_beta(*U)), CORRECTED),
            (dict(scores=by_beta(*U, n=2)), UNDECIDED),
            (dict(scores=by_beta(*U, n=1), gap_scores=by_beta(*FLAT, n=1)), UNDECIDED),
            (dict(scores={"1": Seeds(0.9, 0.01), "4": Seeds(0.9, 0.01)}), NOT_REPRODUCED),
        ],
        [
            (dict(scores=by_beta(*FLAT)), {NOT_REPRODUCED}),
            (dict(scores=by_beta(*COLLAPSE), gap_scores=by_beta(*COLLAPSE)), {NOT_REPRODUCED}),
        ],
    ),
    "C6": Case(
        dict(
            best_log2_beta={"6": Seeds(2, 1), "24": Seeds(6, 1)},
            apart_at_beta=Seeds(0.2, 0.02),
            apart_at_beta_norm=Seeds(0.04, 0.02),
            epochs=60,
        ),
        REPRODUCED,
        [
            (dict(epochs=10), REPRODUCED),
            (dict(apart_at_beta_norm=Seeds(0.2, 0.02)), CORRECTED),
            (dict(apart_at_beta_norm=Seeds(0.2, 0.02), epochs=10), UNDECIDED),
            (dict(best_log2_beta={"6": Seeds(2, 1), "24": Seeds(2, 1)}), CORRECTED),
            (
                dict(best_log2_beta={"6": Seeds(4, 1), "24": Seeds(2, 1)}, apart_at_beta_norm=Seeds(0.2, 0.02)),
                NOT_REPRODUCED,
            ),
            (dict(best_log2_beta={"6": Seeds(2, 1, 2), "24": Seeds(6, 1, 2)}), UNDECIDED),
        ],
        [
            (dict(best_log2_beta={"6": Seeds(2, 1), "24": Seeds(2, 1)}), {CORRECTED}),
            (dict(apart_at_beta_norm=Seeds(0.1, 0.02)), set()),
            (
                dict(best_log2_beta={"6": Seeds(2, 1), "24": Seeds(3, 1)}, apart_at_beta_norm=Seeds(0.1, 0.02)),
                {REPRODUCED},
            ),
        ],
    ),
    "C7": Case(
        dict(correlation=codes(0.03, 0.03, 0.01), dependence=codes(0.01, 0.01, 0.01), mig=codes(0.1, 0.1, 0.05)),
        REPRODUCED,
        [
            (dict(correlation=codes(0.03, 0.2, 0.01)), NOT_REPRODUCED),
            (dict(mig=codes(0.1, 0.7, 0.05)), NOT_REPRODUCED),
            (dict(dependence=codes(0.2, 0.01, 0.01)), CORRECTED),
            (dict(dependence={"PCA": Seeds(0.01, 0.01, 2), "ICA": Seeds(0.01, 0.01, 2)}), UNDECIDED),
        ],
        [
            (dict(dependence=codes(0.05, 0.01, 0.01)), set()),
            (dict(dependence=codes(0.05, 0.05, 0.01)), set()),
            (dict(mig=codes(0.5, 0.5, 0.05), correlation=codes(0.1, 0.1, 0.01)), set()),
        ],
    ),
    "C8": Case(
        dict(elbo_higgins=Seeds(-0.3, 0.3), elbo_mig=Seeds(-0.3, 0.3), beta_error=Seeds(0.98, 0.03), epochs=30),
        REPRODUCED,
        [
            (dict(elbo_higgins=Seeds(0.9, 0.1)), CORRECTED),
            (dict(elbo_higgins=Seeds(0.9, 0.1), epochs=10), UNDECIDED),
            (dict(elbo_higgins=Seeds(0.9, 0.1), elbo_mig=Seeds(0.9, 0.1)), NOT_REPRODUCED),
            (dict(beta_error=Seeds(0.5, 0.1)), CORRECTED),
            (dict(elbo_higgins=Seeds(math.nan, 0.1)), UNDECIDED),
        ],
        [
            (dict(elbo_higgins=Seeds(0.5, 0.3)), set()),
            (dict(elbo_higgins=Seeds(0.5, 0.3), elbo_mig=Seeds(0.5, 0.3)), set()),
            (dict(beta_error=Seeds(0.9, 0.03)), set()),
        ],
    ),
    "C9": Case(
        dict(lost=Seeds(0.004, 0.005), blind=Seeds(0.08, 0.02), epochs=30),
        REPRODUCED,
        [
            (dict(lost=Seeds(0.06, 0.005)), NOT_REPRODUCED),
            (dict(blind=Seeds(0.01, 0.002)), UNDECIDED),
            (dict(epochs=10), UNDECIDED),
            (dict(lost=Seeds(0.004, 0.005, 2), blind=Seeds(0.08, 0.02, 2)), UNDECIDED),
        ],
        [(dict(lost=Seeds(0.02, 0.005)), set()), (dict(lost=Seeds(0.005, 0.005), blind=Seeds(0.02, 0.02)), set())],
    ),
}
