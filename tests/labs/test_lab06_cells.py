"""Lab 06's check of a cell's weights and receptive field, put through right and wrong solutions."""

import math

import pytest

from labkit.hvae import cells as hvae_cells
from labkit.labs import lab06

ORDINARY, DEPTHWISE, PLAIN, STRIDED = (
    "an ordinary cell has as many weights as torch's",
    "a depthwise cell has as many weights as torch's",
    "without strides the receptive field is that of a gradient",
    "with strides too",
)


def weights(channels, expansion, kernel, depthwise):
    hidden = channels * expansion
    return 2 * channels * hidden + kernel**2 * hidden * (1 if depthwise else hidden)


def weights_by_layers(channels, expansion, kernel, depthwise):
    wide = expansion * channels
    layers = [(channels, wide, 1), (1 if depthwise else wide, wide, kernel), (wide, channels, 1)]
    return sum(inputs * outputs * side * side for inputs, outputs, side in layers)


def field(kernels, strides):
    seen, step = 1, 1
    for kernel, stride in zip(kernels, strides):
        seen, step = seen + (kernel - 1) * step, step * stride
    return seen


def field_backwards(kernels, strides):
    seen = 1
    for kernel, stride in zip(kernels[::-1], strides[::-1]):
        seen = (seen - 1) * stride + kernel
    return seen


def own_stride(kernels, strides):
    return 1 + sum((k - 1) * s for k, s in zip(kernels, strides))


def steps_with_own(kernels, strides):
    return 1 + sum((k - 1) * math.prod(strides[: i + 1]) for i, k in enumerate(kernels))


def counting(change):
    return (lambda c, e, k, d: change(c, e * c, k, d, weights(c, e, k, d)), field)


def seeing(change):
    return (weights, change)


BOTH = {ORDINARY: "", DEPTHWISE: ""}
RIGHT = {
    "by formula": (weights, field),
    "by layers, backwards": (weights_by_layers, field_backwards),
    "the kit's": (weights, hvae_cells.receptive_field),
}
WRONG = {
    "always depthwise": (counting(lambda c, h, k, d, right: 2 * c * h + k**2 * h), {ORDINARY: "other kind"}),
    "never depthwise": (counting(lambda c, h, k, d, right: 2 * c * h + k**2 * h * h), {DEPTHWISE: "other kind"}),
    "k for k²": (
        counting(lambda c, h, k, d, right: 2 * c * h + k * h * (1 if d else h)),
        {ORDINARY: "torch counts", DEPTHWISE: "k · k"},
    ),
    "one 1×1": (counting(lambda c, h, k, d, right: right - c * h), {ORDINARY: "two 1×1", DEPTHWISE: "two 1×1"}),
    "no 1×1": (counting(lambda c, h, k, d, right: right - 2 * c * h), dict.fromkeys(BOTH, "are missing")),
    "not expanded": (
        counting(lambda c, h, k, d, right: 2 * c * h + k**2 * (c if d else c * c)), dict.fromkeys(BOTH, "expanded")
    ),
    "text": (counting(lambda c, h, k, d, right: str(right)), dict.fromkeys(BOTH, "should be a number")),
    "biases": (counting(lambda c, h, k, d, right: right + 2 * h + c), dict.fromkeys(BOTH, "biases")),
    "from zero": (seeing(lambda k, s: sum(each - 1 for each in k)), {PLAIN: "start from 1", STRIDED: ""}),
    "sum of kernels": (seeing(lambda k, s: sum(k)), {PLAIN: "k − 1", STRIDED: "k − 1"}),
    "no strides": (seeing(lambda k, s: 1 + sum(each - 1 for each in k)), {STRIDED: "later layers"}),
    "own stride": (seeing(own_stride), {STRIDED: "own stride"}),
    "steps with its own stride": (seeing(steps_with_own), {STRIDED: "see 15 pixels, not 21. a layer's own stride"}),
    "each stride is 2": (seeing(lambda k, s: field(k, [min(each, 2) for each in s])), {STRIDED: "see 39"}),
    "three layers at most": (seeing(lambda k, s: field(k[:3], s[:3])), {STRIDED: "see 39"}),
    "product of kernels": (seeing(lambda k, s: math.prod(k)), {PLAIN: "see 8", STRIDED: ""}),
    "no number": (seeing(lambda k, s: None), {PLAIN: "`return` is missing", STRIDED: "`return` is missing"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab06.depthwise_cell, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab06.depthwise_cell, *WRONG[name])


def test_stub_fails_cleanly_and_every_property_is_missed_by_some_solution(prove):
    prove.stub(lab06.depthwise_cell, arguments=2)
    prove.complete(lab06.depthwise_cell, RIGHT, WRONG)
