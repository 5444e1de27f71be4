"""The memory of a fused RealNVP: its weights in one vector, and all that a pass computes, whole and in slices.

Made once and used again and again, since making a slice takes as long as computing with it. Of a pair of halves the
first is the one that a layer keeps. Shapes as in `labkit.flows.density`.
"""

import math
from functools import cached_property
from typing import NamedTuple

from torch import Tensor


class Weights(NamedTuple):
    """The weights of a RealNVP's inverse, or their gradients, stacked over its layers.

    The inverse needs only minus the shifts and minus the log-scales, so these are what the last linear maps of the
    two nets give, in this order, and what is kept of ActNorms and base.

    Attributes:
        w1, w2, w3: of the linear maps of both nets, (K, 2h, m), (2K, h, h), (2K, m, h).
        b12, b3: their biases, (2, K, 2, h, 1) of both hidden layers, and (K, 2, m, 1).
        act_t, act_s: minus the shift and minus the log-scale of the base and then of each ActNorm, on the half that
            becomes kept[j] and on the other, (K + 1, 2, m, 1).
    """

    w1: Tensor
    w2: Tensor
    w3: Tensor
    b12: Tensor
    b3: Tensor
    act_t: Tensor
    act_s: Tensor


class Layout(NamedTuple):
    """K, m and h: how the weights lie in one vector, one field of `Weights` after the other."""

    layers: int
    m: int
    hidden: int

    def shapes(self) -> Weights:
        """The shape of each field."""
        layers, m, hidden = self
        return Weights(
            w1=(layers, 2 * hidden, m),
            w2=(2 * layers, hidden, hidden),
            w3=(2 * layers, m, hidden),
            b12=(2, layers, 2, hidden, 1),
            b3=(layers, 2, m, 1),
            act_t=(layers + 1, 2, m, 1),
            act_s=(layers + 1, 2, m, 1),
        )

    def views(self, vector: Tensor) -> Weights:
        """The fields of `vector`, which share its memory."""
        shapes = self.shapes()
        parts = vector.split([math.prod(shape) for shape in shapes])
        return Weights(*(part.view(shape) for part, shape in zip(parts, shapes)))


class Slices:
    """The linear maps of each layer, and their transposes: views of one vector.

    Attributes:
        vector: whose views they are.
        whole: the fields of `vector`.
        w1, w2, w3, w1_t, w2_t, w3_t: a view for each of layers 1 … K, counted from 0.
    """

    def __init__(self, vector: Tensor, layout: Layout) -> None:
        self.vector, self.whole = vector, layout.views(vector)
        self.w1, self.w2, self.w3 = self.whole.w1.unbind(0), self.whole.w2.split(2), self.whole.w3.split(2)
        self.w1_t, self.w2_t, self.w3_t = (
            [weight.mT for weight in weights] for weights in (self.w1, self.w2, self.w3)
        )


class Traces:
    """An array for each thing that every layer computes, whole and in slices; also for the gradients of these.

    Layer 0 is the base, and what layer K + 1 has moved and kept is x.

    Attributes:
        features: of each layer moved, kept, normed, minus the shift, minus the log-scale: (K + 2, 5, m, N). The
            third and the fourth are added up, so their gradient is the same and stands once: (K + 2, 4, m, N).
        hidden: of layers 1 … K after the ReLU, (2, K, 2, h, N).
        entering, normed: of the features, what enters each ActNorm and what leaves it, (K + 1, 2, m, N).
        kept, out: of the features, what the nets read and what they give, (K, m, N) and (K, 2, m, N).
        moved_of, kept_of, moving_of, shift_of, scale_of: (m, N) of a layer; `moving_of` is normed and not kept.
        entering_of, normed_of: (2, m, N) of a layer's ActNorm.
        hidden1_of, by_net_of, hidden2_of, out_of: of the nets of layers 1 … K, counted from 0. The first, (2h, N),
            is the same memory as the second, (2, h, N).
    """

    def __init__(self, like: Tensor, layout: Layout, rows: int, parts: int) -> None:
        layers, m, hidden = layout
        self.features = like.new_empty(layers + 2, parts, m, rows)
        self.hidden = like.new_empty(2, layers, 2, hidden, rows)
        self.entering, self.normed = self.features[1:, 0:2], self.features[:-1, 1:3]
        self.kept, self.out = self.features[1:-1, 1], self.features[1:-1, -2:]
        self.entering_of, self.normed_of = self.entering.unbind(0), self.normed.unbind(0)
        self.moved_of, self.kept_of, self.moving_of = (part.unbind(0) for part in self.features[:, :3].unbind(1))
        self.shift_of, self.scale_of = (part.unbind(0) for part in self.features[:, -2:].unbind(1))
        self.out_of = self.out.unbind(0)
        self.hidden1_of = self.hidden[0].flatten(1, 2).unbind(0)
        self.by_net_of, self.hidden2_of = (part.unbind(0) for part in self.hidden.unbind(0))


class Workspace:
    """Memory for one forward and one backward pass over N rows, used again and again.

    Attributes:
        values, gradients: what the layers compute, and the gradients in it; the second is made when it is asked for.
        factor_of: exp(−log-scale), (m, N) of layers 1 … K, counted from 0.
        act_scale, act_shift: what ActNorms multiply by, and add then, (K + 1, 2, m, 1).
        act_scale_of, act_shift_of: slices of a layer.
    """

    def __init__(self, x: Tensor, layout: Layout) -> None:
        layers, m, _ = layout
        self._like, self._layout, self._rows = x.detach(), layout, len(x)
        self.values = Traces(self._like, layout, self._rows, 5)
        self.factor_of = x.new_empty(layers, m, self._rows).unbind(0)
        self.act_scale, self.act_shift = x.new_empty(2, layers + 1, 2, m, 1).unbind(0)
        self.act_scale_of, self.act_shift_of = self.act_scale.unbind(0), self.act_shift.unbind(0)

    @cached_property
    def gradients(self) -> Traces:
        return Traces(self._like, self._layout, self._rows, 4)
