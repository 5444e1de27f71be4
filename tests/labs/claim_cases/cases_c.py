import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED

CASES_C = {
    "C1": (
        {
            "gains": {"20": 0.02, "10": 0.04, "5": 0.06, "1": 0.2},
            "errors": {"20": 0.01, "10": 0.01, "5": 0.01, "1": 0.03},
        },
        REPRODUCED,
        [
            ({"gains": {"20": -0.01, "10": 0.04, "5": 0.06, "1": 0.2}}, NEEDS_FULL_DATA),
            ({"gains": {"20": -0.03, "10": 0.04, "5": 0.06, "1": 0.2}}, NOT_REPRODUCED),
            ({"gains": {"1": 0.2, "5": 0.05, "20": 0.06, "10": 0.04}}, REPRODUCED),
            ({"gains": {"20": 0.09, "10": 0.04, "5": 0.05, "1": 0.2}}, NOT_REPRODUCED),
            ({"errors": {"20": 0.01, "10": 0.01, "5": 0.01, "1": 0.15}}, NEEDS_FULL_DATA),
            ({"errors": {"20": math.nan, "10": math.nan, "5": math.nan, "1": math.nan}}, NEEDS_FULL_DATA),
        ],
    ),
    "C2": (
        {"start": "ImageNet", "learnt_share": 0.95, "accuracy_gain": 0.05, "training_images": 300},
        REPRODUCED,
        [
            ({"start": "random"}, NEEDS_FULL_DATA),
            ({"learnt_share": 0.8}, NEEDS_FULL_DATA),
            ({"learnt_share": 0.8, "training_images": 162_770}, NOT_REPRODUCED),
            ({"accuracy_gain": -0.01, "training_images": 162_770}, NOT_REPRODUCED),
        ],
    ),
    "C3": (
        {"meaningful": 9.0, "by_chance": 3.0, "error": 1.0, "found": 4, "readable": 5, "epochs": 12},
        REPRODUCED,
        [
            ({"by_chance": 7.5}, CORRECTED),
            ({"error": math.nan}, NEEDS_FULL_DATA),
            ({"meaningful": 2.5}, NOT_REPRODUCED),
            ({"found": 2}, NOT_REPRODUCED),
            ({"found": 2, "epochs": 9}, NEEDS_FULL_DATA),
            ({"found": 2, "readable": 2}, NEEDS_FULL_DATA),
            ({"epochs": 2}, REPRODUCED),
        ],
    ),
    "C4": (
        {"alone": 0.2, "margin": 0.30, "rotated": 0.28, "error": 0.02, "control": 0.9, "epochs": 12},
        REPRODUCED,
        [
            ({"margin": 0.40}, CORRECTED),
            ({"alone": 0.6}, NOT_REPRODUCED),
            ({"alone": 0.6, "epochs": 9}, NEEDS_FULL_DATA),
            ({"control": 0.5}, NEEDS_FULL_DATA),
            ({"control": math.nan}, NEEDS_FULL_DATA),
            ({"error": math.nan}, NEEDS_FULL_DATA),
        ],
    ),
}
