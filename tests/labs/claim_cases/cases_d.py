import math

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED


def by_size(*values):
    return dict(zip(("32", "64", "256", "512"), values, strict=True))


SMALL_ERRORS = by_size(1.0, 1.0, 1.0, 1.0)
NO_GAP = {"gaps": by_size(10.0, 11.0, 10.5, 12.0), "held_out": by_size(-300.0, -301.0, -299.0, -300.0)}
FEW_ACTIVE = {"active": by_size(25, 26, 28, 27)}

CASES_D = {
    "D1": (
        {
            "time_ratio": 3.9,
            "distance_64": 20.0,
            "distance_128": 22.0,
            "distance_mean_face": 50.0,
            "training_images": 1600,
        },
        REPRODUCED,
        [
            ({"time_ratio": 1.9}, NOT_REPRODUCED),
            ({"distance_128": 25.1, "distance_mean_face": 60.0}, NEEDS_FULL_DATA),
            ({"distance_mean_face": 43.0}, NEEDS_FULL_DATA),
            ({"distance_mean_face": 43.0, "training_images": 162_770}, NOT_REPRODUCED),
            ({"distance_128": 15.0}, NEEDS_FULL_DATA),
            ({"distance_128": 15.0, "training_images": 162_770}, NOT_REPRODUCED),
            ({"distance_128": 15.0, "time_ratio": 1.9}, NOT_REPRODUCED),
        ],
    ),
    "D2": (
        {
            "gaps": by_size(10.0, 20.0, 30.0, 40.0),
            "gap_errors": SMALL_ERRORS,
            "held_out": by_size(-300.0, -310.0, -320.0, -330.0),
            "held_out_errors": SMALL_ERRORS,
            "active": by_size(32, 64, 200, 300),
            "skin_auc": 0.9,
            "smile_auc": 0.8,
            "epochs": 10,
            "training_images": 162_770,
        },
        REPRODUCED,
        [
            ({"epochs": 3}, REPRODUCED),
            ({"training_images": 1000}, REPRODUCED),
            ({"smile_auc": 0.5, "training_images": 1000}, NEEDS_FULL_DATA),
            (NO_GAP | {"training_images": 1000}, NEEDS_FULL_DATA),
            ({"smile_auc": 0.7}, NOT_REPRODUCED),
            ({"skin_auc": 0.7}, NOT_REPRODUCED),
            ({"skin_auc": math.nan}, NOT_REPRODUCED),
            ({"smile_auc": math.nan}, NOT_REPRODUCED),
            ({"smile_auc": 0.7, "epochs": 3}, NEEDS_FULL_DATA),
            ({"gap_errors": by_size(*[math.nan] * 4)}, NEEDS_FULL_DATA),
            ({"gap_errors": by_size(9.0, 9.0, 9.0, 9.0)}, NOT_REPRODUCED),
            ({"held_out": by_size(-300.0, -290.0, -280.0, -270.0)}, NOT_REPRODUCED),
            ({"gaps": by_size(10.0, 9.0, 30.0, 40.0)}, NOT_REPRODUCED),
            (NO_GAP, NOT_REPRODUCED),
            (NO_GAP | FEW_ACTIVE, CORRECTED),
            (NO_GAP | FEW_ACTIVE | {"epochs": 9}, NEEDS_FULL_DATA),
            (NO_GAP | FEW_ACTIVE | {"smile_auc": 0.7}, NOT_REPRODUCED),
            (FEW_ACTIVE, REPRODUCED),
        ],
    ),
    "D3": (
        {
            "samples_background": 0.2,
            "samples_face": 0.4,
            "reconstructions_background": 0.3,
            "reconstructions_face": 0.5,
            "epochs": 10,
            "training_images": 3000,
        },
        REPRODUCED,
        [
            ({"epochs": 9}, NEEDS_FULL_DATA),
            ({"samples_background": 0.6, "samples_face": 0.9}, NOT_REPRODUCED),
            ({"reconstructions_background": 0.6, "reconstructions_face": 0.9}, NOT_REPRODUCED),
            ({"samples_face": 0.2}, NEEDS_FULL_DATA),
            ({"reconstructions_face": 0.2}, NEEDS_FULL_DATA),
            ({"samples_face": 0.2, "training_images": 162_770}, CORRECTED),
        ],
    ),
}
