import math

from labkit.claims import NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED


def sets(imbalanced, balanced, reversed_):
    return {"imbalanced": imbalanced, "balanced": balanced, "reversed": reversed_}


CASES_D_RARE = {
    "D7": (
        {
            "gap": sets(4.0, 1.0, -3.0),
            "errors": sets(0.5, 0.5, 0.5),
            "reader_light": 0.99,
            "reader_dark": 0.97,
            "epochs": 30,
        },
        REPRODUCED,
        [
            ({"epochs": 5}, REPRODUCED),
            ({"gap": sets(0.9, -1.0, -3.0)}, NOT_REPRODUCED),
            ({"gap": sets(0.9, -1.0, -3.0), "epochs": 29}, NEEDS_FULL_DATA),
            ({"gap": sets(4.0, 2.1, -3.0)}, NOT_REPRODUCED),
            ({"gap": sets(4.0, 2.1, -3.0), "epochs": 5}, NEEDS_FULL_DATA),
            ({"gap": sets(1.1, 0.5, -3.0)}, NOT_REPRODUCED),
            ({"gap": sets(4.0, 1.0, -0.9)}, NOT_REPRODUCED),
            ({"gap": sets(4.0, 1.0, 3.0)}, NOT_REPRODUCED),
            ({"gap": sets(-4.0, -8.0, -9.0), "epochs": 5}, NOT_REPRODUCED),
            ({"gap": sets(-0.5, -8.0, -9.0), "epochs": 5}, NEEDS_FULL_DATA),
            ({"gap": sets(math.nan, 1.0, -3.0)}, NEEDS_FULL_DATA),
            ({"errors": sets(0.5, math.nan, 0.5)}, NEEDS_FULL_DATA),
            ({"reader_dark": 0.89}, NEEDS_FULL_DATA),
            ({"reader_light": 0.5}, NEEDS_FULL_DATA),
            ({"reader_dark": math.nan}, NEEDS_FULL_DATA),
        ],
    ),
}
