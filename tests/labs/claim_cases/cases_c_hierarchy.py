import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED

FULL = {"training_images": 162_770}


def bits(hierarchical, flat, flat_longer):
    return {"hierarchical": hierarchical, "flat": flat, "flat_longer": flat_longer}


CASES_C_HIERARCHY = {
    "C10": (
        {
            "field_depthwise": 25,
            "field_ordinary": 17,
            "weights_ratio": 20.0,
            "bits": bits(5.0, 5.4, 5.3),
            "bits_errors": bits(0.03, 0.04, 0.05),
            "parameter_ratio": 1.03,
            "time_ratio": 1.1,
            "training_images": 1600,
        },
        REPRODUCED,
        [
            ({"field_ordinary": 25}, NOT_REPRODUCED),
            ({"weights_ratio": 1.9}, NOT_REPRODUCED),
            ({"weights_ratio": math.nan}, NOT_REPRODUCED),
            (FULL, REPRODUCED),
            ({"bits": bits(5.3, 5.4, 5.3)}, NEEDS_FULL_DATA),
            ({"bits": bits(5.4, 5.4, 5.6)}, NEEDS_FULL_DATA),
            ({"bits": bits(5.0, 5.09, 5.3)}, NEEDS_FULL_DATA),
            ({"bits": bits(5.0, 5.11, 5.3)}, REPRODUCED),
            (FULL | {"bits": bits(5.0, 5.09, 5.3)}, NOT_REPRODUCED),
            (FULL | {"bits": bits(5.5, 5.4, 5.3)}, NOT_REPRODUCED),
            (FULL | {"bits": bits(5.0, 5.4, 5.0)}, CORRECTED),
            (FULL | {"bits": bits(5.0, 5.4, math.nan)}, CORRECTED),
            ({"bits_errors": bits(math.nan, math.nan, math.nan)}, NEEDS_FULL_DATA),
            (FULL | {"bits_errors": bits(math.nan, math.nan, math.nan)}, NEEDS_FULL_DATA),
            (FULL | {"parameter_ratio": 0.9}, NEEDS_FULL_DATA),
            (FULL | {"time_ratio": 0.9}, NEEDS_FULL_DATA),
            (FULL | {"time_ratio": 0.9, "bits": bits(5.5, 5.4, 5.3)}, NEEDS_FULL_DATA),
        ],
    ),
}
