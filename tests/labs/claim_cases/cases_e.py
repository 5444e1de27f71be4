import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED

E2 = {
    "distance": {"0.001": 9.0, "0.0001": 7.0, "1e-05": 5.0, "1e-06": 8.0},
    "errors": {"0.001": 0.3, "0.0001": 0.3, "1e-05": 0.3, "1e-06": 0.3},
    "training_images": 1600,
}
ANOTHER_BEST = {"0.001": 9.0, "0.0001": 4.0, "1e-05": 5.0, "1e-06": 8.0}
E3 = {
    "explained": 0.8,
    "penalty": {"32": 1.6, "64": 1.2, "128": 1.5},
    "spread": {"32": 0.05, "64": 0.05, "128": 0.05},
    "largest_step": {"32": 1.2, "64": 1.2, "128": 1.3},
}
CASES_E = {
    "E1": (
        {"explained": 0.8, "odd_share": 0.3, "yaw_spread": 0.2, "change": 0.3},
        REPRODUCED,
        [
            ({"explained": 0.4}, NEEDS_FULL_DATA),
            ({"explained": math.nan}, NEEDS_FULL_DATA),
            ({"yaw_spread": math.nan}, REPRODUCED),
            ({"yaw_spread": 0.6}, CORRECTED),
            ({"odd_share": 0.6}, CORRECTED),
            ({"change": 0.6}, CORRECTED),
            ({"odd_share": 0.6, "change": 0.6}, NOT_REPRODUCED),
            ({"yaw_spread": 0.6, "change": math.nan}, NOT_REPRODUCED),
        ],
    ),
    "E2": (
        E2,
        REPRODUCED,
        [
            ({"distance": E2["distance"] | {"0.0001": 5.5}}, NEEDS_FULL_DATA),
            ({"distance": E2["distance"] | {"1e-06": 5.5}}, NEEDS_FULL_DATA),
            ({"errors": dict.fromkeys(E2["errors"], math.nan)}, NEEDS_FULL_DATA),
            ({"distance": ANOTHER_BEST}, NEEDS_FULL_DATA),
            ({"distance": ANOTHER_BEST, "training_images": 162_770}, CORRECTED),
            ({"distance": ANOTHER_BEST | {"1e-06": 5.2}, "training_images": 162_770}, NOT_REPRODUCED),
        ],
    ),
    "E3": (
        E3,
        REPRODUCED,
        [
            ({"explained": 0.4}, NEEDS_FULL_DATA),
            ({"penalty": {"32": 1.6, "64": 1.4, "128": 1.5}}, CORRECTED),
            (
                {
                    "penalty": {"32": 1.6, "64": 1.49, "128": 1.65},
                    "spread": dict.fromkeys(E3["spread"], 0.001),
                },
                CORRECTED,
            ),
            ({"penalty": {"32": 1.6, "64": 0.9, "128": 1.5}}, NOT_REPRODUCED),
            ({"largest_step": {"32": 1.2, "64": 2.5, "128": 1.3}}, NOT_REPRODUCED),
            ({"spread": dict.fromkeys(E3["spread"], math.nan)}, CORRECTED),
        ],
    ),
    "E4": (
        {"gradient_difference": 0.1, "moved": 0.2},
        REPRODUCED,
        [
            ({"gradient_difference": 0.0, "moved": 0.0}, NOT_REPRODUCED),
            ({"moved": -0.1}, NOT_REPRODUCED),
        ],
    ),
    "E5": (
        {"tabulated": [64, 48], "mirrored": [64, 48]},
        REPRODUCED,
        [
            ({"tabulated": (40, 32)}, CORRECTED),
            ({"tabulated": [40, 32], "mirrored": [32, 24]}, NOT_REPRODUCED),
        ],
    ),
}
