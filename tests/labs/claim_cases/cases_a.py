import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED

A8 = {
    "epochs": 500,
    "strong_not_finite": {"new shots": 0.3, "strangers": 0.6},
    "strong_median_margin": {"new shots": -5.0, "strangers": math.nan},
    "report_cure_margin": {"new shots": 3.0, "strangers": 0.5},
}
WALK = {"plausible_share": 0.95, "largest_step": 0.2, "upward_steps": 0.95}
MIXED = {
    "quantiles": {"Eyeglasses": 0.9, "Beard": 0.8, "Mustache": 0.1},
    "likelihood_quantile": 0.0,
    "epochs": 100,
}
CASES_A = {
    "A1": ({"components_for_90": 66}, REPRODUCED, [({"components_for_90": 65}, NOT_REPRODUCED)]),
    "A2": (
        {"share_at_64": 0.8974},
        REPRODUCED,
        [({"share_at_64": 0.8976}, NOT_REPRODUCED), ({"share_at_64": 0.8964}, NOT_REPRODUCED)],
    ),
    "A3": (
        {"component": 7, "correlation": -0.71, "one_sign_share": 0.98, "auc": 0.81},
        REPRODUCED,
        [
            ({"correlation": 0.5}, NOT_REPRODUCED),
            ({"one_sign_share": 0.89}, NOT_REPRODUCED),
            ({"auc": 0.54}, NOT_REPRODUCED),
            ({"auc": math.nan}, NOT_REPRODUCED),
        ],
    ),
    "A4": (
        {"epochs": 5000, "slope_k14": -20.0, "slope_k8": -3.0},
        REPRODUCED,
        [
            ({"epochs": 1500}, NEEDS_FULL_DATA),
            ({"slope_k14": -2.0}, NOT_REPRODUCED),
            ({"slope_k8": -9.0}, NOT_REPRODUCED),
            ({"slope_k8": 9.0}, NOT_REPRODUCED),
        ],
    ),
    "A5": (
        {"early_epochs": 500, "late_epochs": 5000, "early": 0.103, "late": 0.1},
        REPRODUCED,
        [
            ({"early": 0.11}, NOT_REPRODUCED),
            ({"early": 0.05}, REPRODUCED),
            ({"late_epochs": 1500}, NEEDS_FULL_DATA),
            ({"early_epochs": 1000}, NEEDS_FULL_DATA),
        ],
    ),
    "A6": (
        {"p_value": 0.001, "rank_correlation": -0.6, "most_likely": 4, "epochs": 1500},
        CORRECTED,
        [
            ({"rank_correlation": 0.1}, NEEDS_FULL_DATA),
            ({"rank_correlation": 0.1, "epochs": 5000}, NOT_REPRODUCED),
            ({"p_value": 0.2, "epochs": 5000}, NOT_REPRODUCED),
            ({"p_value": 0.2}, NEEDS_FULL_DATA),
        ],
    ),
    "A7": (
        {"r2_linear": 0.99, "r2_logarithmic": 0.7, "epochs": 5000},
        REPRODUCED,
        [
            ({"r2_linear": 0.97}, NOT_REPRODUCED),
            ({"r2_logarithmic": 0.995}, NOT_REPRODUCED),
            ({"epochs": 600}, NEEDS_FULL_DATA),
        ],
    ),
    "A8": (
        A8,
        REPRODUCED,
        [
            ({"report_cure_margin": {"new shots": 3.0, "strangers": -4.0}}, CORRECTED),
            ({"report_cure_margin": {"new shots": -1.0, "strangers": -math.inf}}, NOT_REPRODUCED),
            ({"report_cure_margin": {"new shots": math.inf, "strangers": math.nan}}, NOT_REPRODUCED),
            (
                {"strong_not_finite": {"a": 0.0}, "strong_median_margin": {"a": 2.0}},
                NEEDS_FULL_DATA,
            ),
            (
                {"strong_not_finite": {"a": 0.0}, "strong_median_margin": {"a": 2.0}, "epochs": 5000},
                NOT_REPRODUCED,
            ),
            ({"strong_not_finite": {"a": 0.0}, "strong_median_margin": {"a": -65.0}}, REPRODUCED),
        ],
    ),
    "A9": (
        WALK,
        REPRODUCED,
        [
            ({"plausible_share": 0.8}, NOT_REPRODUCED),
            ({"largest_step": 0.4}, NOT_REPRODUCED),
            ({"upward_steps": 0.8}, NOT_REPRODUCED),
        ],
    ),
    "A10": (WALK, REPRODUCED, [({"largest_step": math.nan}, NOT_REPRODUCED)]),
    "A11": (
        {"strong_usable": 0.2, "weak_usable": 1.0, "epochs": 200},
        REPRODUCED,
        [
            ({"strong_usable": 0.7}, NEEDS_FULL_DATA),
            ({"strong_usable": 0.7, "epochs": 5000}, NOT_REPRODUCED),
            ({"weak_usable": 0.5}, NOT_REPRODUCED),
        ],
    ),
    "A12": (
        MIXED,
        REPRODUCED,
        [
            ({"likelihood_quantile": 0.6}, NEEDS_FULL_DATA),
            ({"likelihood_quantile": 0.6, "epochs": 5000}, NOT_REPRODUCED),
            ({"quantiles": {"Eyeglasses": 0.9, "Beard": 0.2}, "epochs": 5000}, NOT_REPRODUCED),
        ],
    ),
}
