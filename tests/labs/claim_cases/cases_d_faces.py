import math

from labkit.claims import NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED

CASES_D_FACES = {
    "D9": (
        {"arrived_low": 0.6, "random_high": 0.3, "others": 0.5, "move": 1.5, "training_images": 2600},
        REPRODUCED,
        [
            ({"arrived_low": 0.29}, NEEDS_FULL_DATA),
            ({"others": 0.8}, NEEDS_FULL_DATA),
            ({"move": -1.5}, NEEDS_FULL_DATA),
            ({"training_images": 162_770}, REPRODUCED),
            ({"arrived_low": 0.29, "training_images": 162_770}, NOT_REPRODUCED),
            ({"others": 0.8, "training_images": 162_770}, NOT_REPRODUCED),
            ({"move": math.nan, "training_images": 162_770}, NOT_REPRODUCED),
            ({"arrived_low": math.nan}, NEEDS_FULL_DATA),
        ],
    ),
    "D10": (
        {"gan": 0.02, "vae": 0.2, "errors": {"gan": 0.02, "vae": 0.03}},
        REPRODUCED,
        [
            ({"vae": 0.03}, NEEDS_FULL_DATA),
            ({"gan": 0.2, "vae": 0.2}, NEEDS_FULL_DATA),
            ({"gan": 0.15}, NEEDS_FULL_DATA),
            ({"gan": 0.2, "vae": 0.02}, NOT_REPRODUCED),
            ({"gan": 0.3, "vae": 0.1}, NOT_REPRODUCED),
            ({"gan": 0.02, "vae": -0.2}, NEEDS_FULL_DATA),
            ({"gan": -0.3, "vae": 0.0}, NEEDS_FULL_DATA),
            ({"errors": {"gan": math.nan, "vae": 0.03}}, NEEDS_FULL_DATA),
            ({"errors": {"gan": 0.02, "vae": math.nan}}, NEEDS_FULL_DATA),
            ({"gan": math.nan}, NEEDS_FULL_DATA),
        ],
    ),
}
