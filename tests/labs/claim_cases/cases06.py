from simulate import Case, Seeds

from labkit.claims import CORRECTED, NOT_REPRODUCED, REPRODUCED, UNDECIDED


def bits(hierarchical, flat, flat_longer, n=5):
    means = {"hierarchical": hierarchical, "flat": flat, "flat_longer": flat_longer}
    return dict(bits={name: Seeds(mean, 0.03, n) for name, mean in means.items()})


CASES = {
    "C10": Case(
        bits(3.0, 3.2, 3.15)
        | dict(field_depthwise=50, field_ordinary=20, weights_ratio=4.0, parameter_ratio=1.02, time_ratio=1.1),
        REPRODUCED,
        [
            (dict(field_depthwise=20), NOT_REPRODUCED),
            (dict(weights_ratio=1.9), NOT_REPRODUCED),
            (bits(3.0, 3.2, 2.8), CORRECTED),
            (bits(3.0, 2.8, 2.8), NOT_REPRODUCED),
            (dict(parameter_ratio=0.99), UNDECIDED),
            (dict(time_ratio=0.9), UNDECIDED),
            (bits(3.0, 3.2, 3.15, n=1), UNDECIDED),
        ],
        [(bits(3.0, 3.0, 3.0), set()), (bits(3.0, 3.2, 3.0), set())],
    ),
}
