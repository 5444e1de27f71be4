import math

from labkit.claims import NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED

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
}
