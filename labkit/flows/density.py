"""The log-density of a fused RealNVP with its gradient written out.

Autograd spends most of a training step of so small a model on its own books: a node for each operation, a copy for
each slice of a stacked weight. Here the chain rule is written for the whole flow. The loop over layers does only what
needs the layer before; everything else is one operation over all layers, and slices are made once. What is left to
spend is the time that starting an operation takes, so there are few of them, on memory that is used again.

What one layer moves, the next one keeps. Layers are counted from the latent's side; layer j = 1 … K computes, for the
half that layer j + 1 has moved and the one that it has kept,

    kept[j], normed[j] = ActNorm_j(moved[j + 1], kept[j + 1])
    moved[j] = (normed[j] − shift(kept[j])) · exp(−log-scale(kept[j])),

x being moved[K + 1] and kept[K + 1]. The base is one ActNorm more, of layer 0, and a standard normal.

Shapes, with N rows, K layers, m = d/2 features in a half, hidden width h: features come before rows, so that a
linear map is `weight @ features` and its transpose, which the gradient needs, costs no copy.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from labkit.flows.memory import Layout, Slices, Weights, Workspace

ROWS_AT_A_TIME = 1024


class Density:
    """log p(x) in nats, (N,), for x (N, 2m), with or without a gradient; keeps its workspaces.

    Args:
        bound: of the log-scale, None for none.
    """

    def __init__(self, layout: Layout, bound: float | None) -> None:
        self.layout, self.bound = layout, bound
        self._slices: Slices | None = None
        self._free: dict[tuple[Any, ...], list[Workspace]] = {}

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """Differentiable once, in x and in the weights, a vector."""
        if torch.is_grad_enabled():
            return _LogDensity.apply(self, x, weights)
        parts = []
        for rows in x.split(ROWS_AT_A_TIME):
            space = self.take(rows)
            parts.append(_forward(rows, self.slices(weights), self.bound, space))
            self.give_back(rows, space)
        return torch.cat(parts)

    def slices(self, weights: Tensor) -> Slices:
        """Those of these weights; made anew only if they lie elsewhere than last time."""
        if self._slices is None or self._slices.vector.data_ptr() != weights.data_ptr():
            self._slices = Slices(weights.detach(), self.layout)
        return self._slices

    def take(self, x: Tensor) -> Workspace:
        """A workspace for x that nobody else has."""
        free = self._free.get(_kind(x))
        return free.pop() if free else Workspace(x, self.layout)

    def give_back(self, x: Tensor, space: Workspace) -> None:
        """It may be used again for tensors like x."""
        self._free.setdefault(_kind(x), []).append(space)


class _LogDensity(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, density: Density, x: Tensor, weights: Tensor) -> Tensor:
        space = density.take(x)
        value = _forward(x, density.slices(weights), density.bound, space)
        context.density, context.space = density, space
        context.save_for_backward(x, weights)
        return value

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weights = context.saved_tensors
        density, space, context.space = context.density, context.space, None
        if space is None:
            raise RuntimeError("the log-density of a fused flow keeps no graph: compute it again for each backward()")
        of_weights = torch.empty_like(weights)
        _backward(gradient, density.slices(weights), density.bound, space, density.layout.views(of_weights))
        of_x = _gradient_in_rows(space) if context.needs_input_grad[1] else None
        density.give_back(x, space)
        return None, of_x, of_weights


def _forward(x: Tensor, weights: Slices, bound: float | None, space: Workspace) -> Tensor:
    """log p(x)."""
    whole, values, layers = weights.whole, space.values, len(space.factor_of)
    torch.exp(whole.act_s, out=space.act_scale)
    torch.mul(whole.act_t, space.act_scale, out=space.act_shift)
    values.hidden.copy_(whole.b12)
    values.out.copy_(whole.b3)
    for place, half in zip(values.entering_of[layers], _halves(x.T, layers)):
        place.copy_(half)
    for layer in range(layers, 0, -1):
        net, scale, factor = layer - 1, values.scale_of[layer], space.factor_of[layer - 1]
        _act_norm(layer, space)
        values.hidden1_of[net].addmm_(weights.w1[net], values.kept_of[layer]).relu_()
        values.hidden2_of[net].baddbmm_(weights.w2[net], values.by_net_of[net]).relu_()
        values.out_of[net].baddbmm_(weights.w3[net], values.hidden2_of[net])
        if bound is not None:
            scale.div_(bound).tanh_().mul_(bound)
        torch.exp(scale, out=factor)
        torch.add(values.moving_of[layer], values.shift_of[layer], out=values.moved_of[layer]).mul_(factor)
    z = _act_norm(0, space)
    log_det = values.out[:, 1].sum((0, 1)).add_(whole.act_s.sum())
    return log_det.sub_(z.square().sum((0, 1)), alpha=0.5).sub_(z.shape[1] * math.log(2 * math.pi))


def _act_norm(layer: int, space: Workspace) -> Tensor:
    values = space.values
    entering, scale, shift = values.entering_of[layer], space.act_scale_of[layer], space.act_shift_of[layer]
    return torch.addcmul(shift, entering, scale, out=values.normed_of[layer])


def _backward(gradient: Tensor, weights: Slices, bound: float | None, space: Workspace, of: Weights) -> None:
    """The gradient of `gradient` · log p: in the weights into `of`, in the features into the workspace."""
    values, into = space.values, space.gradients
    torch.mul(values.normed_of[0], -gradient, out=into.normed_of[0])
    for net, factor in enumerate(space.factor_of):
        layer, moved = net + 1, into.moved_of[net + 1]
        torch.mul(into.normed_of[net], space.act_scale_of[net], out=into.entering_of[net])
        torch.mul(moved, factor, out=into.shift_of[layer])
        torch.addcmul(gradient, moved, values.moved_of[layer], out=into.scale_of[layer])
        if bound is not None:
            into.scale_of[layer].mul_(1 - (values.scale_of[layer] / bound).square())
        torch.bmm(weights.w3_t[net], into.out_of[net], out=into.hidden2_of[net])
        _through_relu(into.hidden2_of[net], values.hidden2_of[net])
        torch.bmm(weights.w2_t[net], into.hidden2_of[net], out=into.by_net_of[net])
        _through_relu(into.hidden1_of[net], values.hidden1_of[net])
        into.kept_of[layer].addmm_(weights.w1_t[net], into.hidden1_of[net])

    (hidden1, hidden2), (of_hidden1, of_hidden2) = values.hidden, into.hidden
    torch.bmm(of_hidden1.flatten(1, 2), values.kept.mT, out=of.w1)
    torch.bmm(of_hidden2.flatten(0, 1), hidden1.flatten(0, 1).mT, out=of.w2)
    torch.bmm(into.out.flatten(0, 1), hidden2.flatten(0, 1).mT, out=of.w3)
    torch.sum(into.hidden, 4, keepdim=True, out=of.b12)
    torch.sum(into.out, 3, keepdim=True, out=of.b3)
    torch.sum(into.normed, 3, keepdim=True, out=of.act_t).mul_(space.act_scale)
    torch.sum(into.normed * values.normed, 3, keepdim=True, out=of.act_s).add_(gradient.sum())


def _gradient_in_rows(space: Workspace) -> Tensor:
    """The gradient in x, (N, 2m)."""
    halves = space.gradients.normed_of[-1] * space.act_scale_of[-1]
    rows = halves.new_empty(halves.shape[2], 2 * halves.shape[1])
    for place, half in zip(_halves(rows.T, len(space.factor_of)), halves):
        place.copy_(half)
    return rows


def _halves(features: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Views of features (2m, N): the half that the layer next to x keeps, and the other."""
    kept = (layers - 1) % 2
    return features[kept::2], features[1 - kept :: 2]


_threshold_backward = torch.ops.aten.threshold_backward.grad_input


def _through_relu(gradient: Tensor, reached: Tensor) -> None:
    """Keep of a gradient what passes a ReLU that gave `reached`."""
    _threshold_backward(gradient, reached, 0, grad_input=gradient)


def _kind(x: Tensor) -> tuple[Any, ...]:
    return len(x), x.dtype, x.device
