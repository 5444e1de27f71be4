import math

from labkit.claims import NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED

CASES_B = {
    "B1": ({"nearest_power_of_two": 64}, REPRODUCED, [({"nearest_power_of_two": 128}, NOT_REPRODUCED)]),
    "B2": (
        {"final_loss": -5.3, "final_loss_wrong_divisor": -5.75, "epochs": 150},
        REPRODUCED,
        [
            ({"final_loss": 53.3, "final_loss_wrong_divisor": 57.7}, NOT_REPRODUCED),
            ({"final_loss": 53.3}, REPRODUCED),
            ({"final_loss": math.nan, "final_loss_wrong_divisor": math.nan}, NOT_REPRODUCED),
            ({"epochs": 10}, NEEDS_FULL_DATA),
        ],
    ),
    "B3": (
        {"low": -33.0, "high": 18.0, "epochs": 150},
        REPRODUCED,
        [
            ({"low": -66.0}, NOT_REPRODUCED),
            ({"high": 40.0}, NOT_REPRODUCED),
            ({"epochs": 10}, NEEDS_FULL_DATA),
        ],
    ),
}
