import math

from labkit.claims import NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED


def by_rate(*values):
    return dict(zip(("1e-05", "0.0002", "0.002", "0.006", "0.02"), values, strict=True))


def by_beta(*values):
    return dict(zip(("0.5 at 0.0002", "0.9 at 0.0002", "0.5 at 0.002", "0.9 at 0.002"), values, strict=True))


CASES_D_GAN = {
    "D4": (
        {"swing": by_rate(0.1, 0.5, 0.9, 1.5, 2.5), "errors": by_rate(0.1, 0.1, 0.1, 0.1, 0.1)},
        REPRODUCED,
        [
            ({"swing": by_rate(0.1, 0.4, 0.9, 1.5, 2.5)}, NOT_REPRODUCED),
            ({"swing": by_rate(0.1, 0.5, math.inf, 1.5, 2.5)}, NOT_REPRODUCED),
            ({"swing": by_rate(0.1, 0.5, 0.9, 1.1, 2.5)}, NOT_REPRODUCED),
            ({"swing": by_rate(0.1, 0.5, 0.9, 1.5, 0.8)}, NOT_REPRODUCED),
            ({"swing": by_rate(0.1, 0.5, 0.9, 1.5, math.inf)}, REPRODUCED),
            (
                {
                    "swing": by_rate(0.1, 0.5, 0.9, 1.5, math.inf),
                    "errors": by_rate(0.1, 0.1, 0.1, 0.1, math.nan),
                },
                REPRODUCED,
            ),
            ({"errors": by_rate(0.1, 0.1, 0.1, 0.5, 0.1)}, NOT_REPRODUCED),
            ({"errors": by_rate(*[math.nan] * 5)}, NEEDS_FULL_DATA),
            (
                {"swing": {"0.0002": 0.5, "0.002": 0.9}, "errors": {"0.0002": 0.1, "0.002": 0.1}},
                NOT_REPRODUCED,
            ),
        ],
    ),
    "D5": (
        {"swing": by_beta(0.5, 1.0, 1.0, 2.0), "errors": by_beta(0.1, 0.1, 0.2, 0.2)},
        REPRODUCED,
        [
            ({"swing": by_beta(0.5, 0.7, 1.0, 2.0)}, NOT_REPRODUCED),
            ({"swing": by_beta(0.5, 1.0, 1.0, 1.4)}, NOT_REPRODUCED),
            ({"swing": by_beta(1.5, 2.0, 1.0, 2.0)}, NOT_REPRODUCED),
            ({"swing": by_beta(0.5, 1.0, 2.0, 1.0)}, NOT_REPRODUCED),
            ({"swing": by_beta(0.5, 1.0, 1.0, math.inf)}, REPRODUCED),
            ({"errors": by_beta(0.1, 0.1, 0.5, 0.5)}, NOT_REPRODUCED),
            ({"errors": by_beta(0.1, 0.1, 0.2, math.nan)}, NEEDS_FULL_DATA),
        ],
    ),
    "D6": (
        {
            "generator_change": -0.5,
            "discriminator_change": 0.3,
            "errors": {"generator": 0.1, "discriminator": 0.1},
            "epochs": 30,
            "training_images": 162_770,
        },
        REPRODUCED,
        [
            ({"epochs": 10, "training_images": 1000}, REPRODUCED),
            ({"generator_change": 0.5}, NOT_REPRODUCED),
            ({"generator_change": -0.15}, NOT_REPRODUCED),
            ({"discriminator_change": -0.3}, NOT_REPRODUCED),
            ({"discriminator_change": 0.15}, NOT_REPRODUCED),
            ({"discriminator_change": -0.3, "epochs": 29}, NEEDS_FULL_DATA),
            ({"discriminator_change": -0.3, "training_images": 3000}, NEEDS_FULL_DATA),
            ({"generator_change": math.nan}, NOT_REPRODUCED),
            ({"errors": {"generator": math.nan, "discriminator": 0.1}}, NEEDS_FULL_DATA),
            ({"errors": {"generator": 0.1, "discriminator": math.nan}}, NEEDS_FULL_DATA),
        ],
    ),
    "D8": (
        {
            "after": {"r2": 0.6, "turn": 2.0, "mirror": 0.9},
            "before": {"r2": 0.4, "turn": 0.3, "mirror": 0.6},
            "shuffled": -0.05,
            "epochs": 30,
        },
        REPRODUCED,
        [
            ({"epochs": 10}, REPRODUCED),
            ({"after": {"r2": 0.2, "turn": 2.0, "mirror": 0.9}}, NOT_REPRODUCED),
            ({"after": {"r2": 0.6, "turn": 0.9, "mirror": 0.9}}, NOT_REPRODUCED),
            ({"after": {"r2": 0.6, "turn": 2.0, "mirror": 0.7}}, NOT_REPRODUCED),
            ({"after": {"r2": 0.6, "turn": 2.0, "mirror": 0.7}, "epochs": 29}, NEEDS_FULL_DATA),
            ({"after": {"r2": math.nan, "turn": math.nan, "mirror": math.nan}}, NEEDS_FULL_DATA),
            ({"before": {"r2": 0.4, "turn": 1.3, "mirror": 0.9}, "epochs": 10}, NOT_REPRODUCED),
            ({"before": {"r2": 0.4, "turn": 1.3, "mirror": 0.6}}, REPRODUCED),
            ({"before": {"r2": 0.2, "turn": 1.3, "mirror": 0.9}}, REPRODUCED),
            ({"before": {"r2": 0.4, "turn": 0.9, "mirror": 0.9}}, REPRODUCED),
            ({"shuffled": 0.2}, NEEDS_FULL_DATA),
        ],
    ),
}
