from simulate import Case, Seeds, Units

from labkit.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED


def gains(*means, sd=0.02, n=5):
    return dict(gains={share: Seeds(mean, sd, n) for share, mean in zip(("20", "10", "5", "1"), means, strict=True)})


def precision(low, many=0):
    """Ten attributes, `many` of them at `low`."""
    return {f"attribute {i}": Units(low if i < many else 0.3, 0.4, 50, "people") for i in range(10)}


CASES = {
    "C1": Case(
        gains(0.02, 0.05, 0.08, 0.2),
        REPRODUCED,
        [
            (gains(-0.03, 0.05, 0.08, 0.2), NOT_REPRODUCED),
            (gains(0.12, 0.05, 0.08, 0.2), NOT_REPRODUCED),
            (gains(0.02, 0.05, 0.08, 0.2, n=1), UNDECIDED),
            (gains(0.02, 0.05, 0.08, 0.2, n=3), UNDECIDED),
            (gains(0.2, 0.08, 0.05, 0.02), NOT_REPRODUCED),
        ],
        [(gains(0.05, 0.05, 0.05, 0.05), set()), (gains(0, 0, 0, 0), set())],
    ),
    "C2": Case(
        dict(
            start="ImageNet",
            precision_gain=precision(0.3),
            accuracy_gain=Units(0.05, 0.05, 30, "people"),
            over_random=Units(0.05, 0.05, 30, "people"),
        ),
        REPRODUCED,
        [
            (dict(start="random"), UNDECIDED),
            (dict(precision_gain=precision(-0.3, 1)), REPRODUCED),
            (dict(precision_gain=precision(-0.3, 3)), NOT_REPRODUCED),
            (dict(accuracy_gain=Units(-0.05, 0.05, 30, "people")), NOT_REPRODUCED),
            (dict(over_random=Units(-0.05, 0.05, 30, "people")), NOT_REPRODUCED),
        ],
        [
            (dict(accuracy_gain=Units(0, 0.05, 30, "people")), set()),
            (dict(over_random=Units(0, 0.05, 30, "people")), set()),
            (dict(precision_gain=precision(0, 2)), set()),
            (dict(precision_gain=precision(0, 10)), set()),
        ],
    ),
}
