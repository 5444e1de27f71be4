"""Check of what a cell of convolutions costs and sees."""

from itertools import accumulate
from operator import mul

import torch
from torch import nn
from torch.nn.functional import conv1d

from labkit.checking import WRITTEN, Function, Hint, Property, evaluate, number

CELLS = ((16, 3, 5), (24, 2, 7), (7, 4, 3), (321, 5, 5))  # channels C, expansion E, side k of the kernel
STACKS = (
    ([3, 5, 2], [1, 1, 1]),
    ([3, 3, 3], [2, 2, 1]),
    ([5, 3], [1, 2]),
    ([4, 4, 4], [2, 2, 2]),
    ([3, 3, 5, 4], [3, 1, 2, 2]),
    ([5, 4, 3, 3, 2, 3], [4, 4, 3, 3, 2, 2]),
    ([3, 3, 3], [1, 2, 1]),
    ([9, 8, 8, 7], [7, 6, 6, 1]),
)


def depthwise_cell(weights: Function, receptive_field: Function) -> list[Property]:
    """Properties of two functions that count.

    Args:
        weights: (channels, expansion, kernel, depthwise) → the weights of 1×1, kernel×kernel and 1×1 convolutions,
            without biases and normalisation.
        receptive_field: (kernels, strides) → side of the square of input pixels that one output sees.
    """
    return evaluate(
        {
            "an ordinary cell has as many weights as torch's": lambda: _weights(weights, False),
            "a depthwise cell has as many weights as torch's": lambda: _weights(weights, True),
            "without strides the receptive field is that of a gradient": lambda: _field(receptive_field, STACKS[:1]),
            "with strides too": lambda: _field(receptive_field, STACKS[1:]),
        }
    )


def _counted(channels: int, expansion: int, kernel: int, depthwise: bool) -> int:
    hidden = channels * expansion
    plain = {"bias": False, "device": "meta"}  # which takes no room
    layers = (
        nn.Conv2d(channels, hidden, 1, **plain),
        nn.Conv2d(hidden, hidden, kernel, groups=hidden if depthwise else 1, **plain),
        nn.Conv2d(hidden, channels, 1, **plain),
    )
    return sum(layer.weight.numel() for layer in layers)


def _weights(weights: Function, depthwise: bool) -> Hint | None:
    for c, e, k in CELLS:
        expected = _counted(c, e, k, depthwise)
        got = number(weights(c, e, k, depthwise), "the count")
        if got == expected:
            continue
        hidden, ends = c * e, 2 * c * c * e
        middle = hidden * (1 if depthwise else hidden)
        hints = {
            _counted(
                c, e, k, not depthwise
            ): "you count the other kind: in a depthwise convolution each output channel "
            "looks at one input channel, in an ordinary one at all.",
            ends + middle * k: "a kernel has k · k weights, not k.",
            c * hidden + middle * k**2: "there are two 1×1 convolutions, one up and one back.",
            middle * k**2: "the two 1×1 convolutions are missing: C · EC and EC · C.",
            ends + (c if depthwise else c * c) * k**2: "the k×k convolution works on the expanded channels, E · C.",
            expected + 2 * hidden + c: "leave the biases out: normalisation follows.",
        }
        return Hint(f"for C = {c}, E = {e}, k = {k} torch counts {expected:,}, you {got:,.0f}.", hints.get(got, ""))
    return None


def _seen(kernels: list[int], strides: list[int]) -> int:
    """Side of the square of inputs that the gradient of one output reaches, by one of its two dimensions."""
    x = torch.ones(1, 1, 2500, dtype=torch.float64, requires_grad=True)
    out = x
    for kernel, stride in zip(kernels, strides):
        out = conv1d(out, torch.ones(1, 1, kernel, dtype=torch.float64), stride=stride)
    (gradient,) = torch.autograd.grad(out[0, 0, out.shape[-1] // 2], x)
    return int((gradient != 0).sum())


def _field(receptive_field: Function, stacks: tuple) -> str | Hint | None:
    for kernels, strides in stacks:
        expected = _seen(kernels, strides)
        given = list(kernels), list(strides)
        got = number(receptive_field(*given), "the receptive field")
        if given != (kernels, strides):
            return WRITTEN
        if got == expected:
            continue
        grown = sum(k - 1 for k in kernels)
        own = "a layer's own stride does not widen what it sees; the product of all strides before it does."
        after = 1
        for k, s in zip(kernels, strides):
            after = (after + k - 1) * s
        hints = {
            grown: "start from 1: a net without layers sees the pixel itself.",
            sum(kernels): "each layer adds k − 1, not k: neighbouring windows overlap.",
            1 + sum(kernels): "each layer adds k − 1, not k: neighbouring windows overlap.",
            1 + grown: "a stride makes the steps of all later layers longer: multiply by the strides before.",
            1 + sum((k - 1) * s for k, s in zip(kernels, strides)): own,
            1 + sum((k - 1) * s for k, s in zip(kernels, accumulate(strides, mul))): own,
        }
        where = f"kernels {kernels} with strides {strides} see {expected} pixels, not {got:g}."
        return Hint(where, hints.get(got, ""))
    return None
