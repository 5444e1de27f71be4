import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED


def by_beta(*values):
    return dict(zip(("0.5", "1", "4", "16", "64"), values, strict=True))


U, FLAT, RISING = by_beta(0.6, 0.7, 0.95, 0.9, 0.5), by_beta(*[0.9] * 5), by_beta(0.6, 0.7, 0.8, 0.9, 0.95)
LEFT = by_beta(0.6, 0.95, 0.9, 0.7, 0.5)
SMALL_ERRORS = by_beta(*[0.01] * 5)

CASES_C_DISENTANGLEMENT = {
    "C5": (
        {"scores": U, "errors": SMALL_ERRORS, "gap_scores": FLAT, "gap_errors": SMALL_ERRORS, "epochs": 30},
        REPRODUCED,
        [
            ({"epochs": 10}, REPRODUCED),
            ({"scores": FLAT, "epochs": 29}, NEEDS_FULL_DATA),
            ({"scores": FLAT, "gap_scores": U, "epochs": 10}, NEEDS_FULL_DATA),
            ({"errors": by_beta(*[math.nan] * 5)}, NEEDS_FULL_DATA),
            ({"gap_errors": by_beta(*[math.nan] * 5)}, NEEDS_FULL_DATA),
            ({"errors": by_beta(*[0.1] * 5)}, NOT_REPRODUCED),
            ({"scores": FLAT}, NOT_REPRODUCED),
            ({"scores": RISING}, NOT_REPRODUCED),
            ({"scores": LEFT}, NOT_REPRODUCED),
            ({"scores": by_beta(0.6, 0.94, 0.95, 0.9, 0.5)}, NOT_REPRODUCED),
            ({"scores": by_beta(0.6, 0.7, 0.9, 0.95, 0.94)}, NOT_REPRODUCED),
            ({"scores": by_beta(0.94, 0.7, 0.95, 0.9, 0.5)}, NOT_REPRODUCED),
            ({"scores": FLAT, "gap_scores": U}, CORRECTED),
            ({"scores": RISING, "gap_scores": LEFT}, NOT_REPRODUCED),
            ({"gap_scores": U}, REPRODUCED),
        ],
    ),
    "C6": (
        {
            "best_log2_beta": {"4": 2.0, "16": 4.0},
            "errors": {"4": 0.3, "16": 0.3},
            "apart_at_beta": 0.1,
            "apart_at_beta_norm": 0.04,
            "epochs": 60,
        },
        REPRODUCED,
        [
            ({"epochs": 10}, REPRODUCED),
            ({"epochs": 10, "apart_at_beta_norm": 0.06}, NEEDS_FULL_DATA),
            ({"apart_at_beta_norm": 0.06}, CORRECTED),
            ({"best_log2_beta": {"4": 2.0, "16": 2.9}}, CORRECTED),
            ({"best_log2_beta": {"4": 4.0, "16": 2.0}}, CORRECTED),
            ({"errors": {"4": 0.8, "16": 0.8}}, CORRECTED),
            ({"errors": {"4": 0.8, "16": 0.8}, "apart_at_beta_norm": 0.06}, NOT_REPRODUCED),
            ({"best_log2_beta": {"4": 2.0, "16": 2.0}, "apart_at_beta_norm": 0.2}, NOT_REPRODUCED),
            ({"errors": {"4": math.nan, "16": math.nan}}, NEEDS_FULL_DATA),
        ],
    ),
    "C7": (
        {
            "pca_correlation": 0.05,
            "ica_correlation": 0.05,
            "pca_dependence": 0.02,
            "ica_dependence": 0.01,
            "pca_mig": 0.2,
            "ica_mig": 0.1,
        },
        REPRODUCED,
        [
            ({"pca_dependence": 0.06}, CORRECTED),
            ({"ica_dependence": 0.06}, CORRECTED),
            ({"pca_mig": 0.6}, NOT_REPRODUCED),
            ({"ica_mig": 0.6, "ica_dependence": 0.06}, NOT_REPRODUCED),
            ({"pca_correlation": 0.2}, NOT_REPRODUCED),
            ({"ica_correlation": 0.2}, NOT_REPRODUCED),
        ],
    ),
    "C8": (
        {"elbo_higgins": 0.2, "elbo_mig": -0.3, "beta_error": 0.95, "epochs": 60},
        REPRODUCED,
        [
            ({"epochs": 10}, REPRODUCED),
            ({"epochs": 10, "elbo_higgins": 0.6, "elbo_mig": 0.6}, NEEDS_FULL_DATA),
            ({"epochs": 10, "beta_error": 0.8}, NEEDS_FULL_DATA),
            ({"elbo_higgins": -0.8, "elbo_mig": -0.8}, REPRODUCED),
            ({"elbo_higgins": 0.6, "elbo_mig": 0.6}, NOT_REPRODUCED),
            ({"elbo_higgins": 0.6}, CORRECTED),
            ({"elbo_mig": 0.6}, CORRECTED),
            ({"beta_error": 0.8}, CORRECTED),
            ({"elbo_higgins": 0.6, "elbo_mig": 0.6, "beta_error": 0.8}, NOT_REPRODUCED),
        ],
    ),
    "C9": (
        {"lost": {"50": 0.1, "100": 0.05, "500": 0.01}, "blind": 0.1, "epochs": 30},
        REPRODUCED,
        [
            ({"lost": {"50": 0.1, "100": 0.05, "500": 0.03}}, NOT_REPRODUCED),
            ({"lost": {"50": 0.0, "100": 0.0, "500": 0.0}, "blind": 0.01}, NOT_REPRODUCED),
            ({"epochs": 29}, NEEDS_FULL_DATA),
            ({"blind": 0.01, "epochs": 29}, NEEDS_FULL_DATA),
            ({"lost": {"50": 0.0, "100": 0.05, "500": 0.025}}, REPRODUCED),
        ],
    ),
}
