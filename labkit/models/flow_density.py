"""The log-density of a fused RealNVP with its gradient written out.

Autograd spends most of a training step of so small a model on its own books: a node for each operation, a copy for
each slice of a stacked weight. Here the chain rule is written for the whole flow. The loop over layers carries only
the gradient of the features; what the weights need of each layer is laid into one array, so that the gradient of
each stacked weight is a single product over all layers.

Shapes, with N rows, K layers, m = d/2 live features, hidden width h. A pair is (even, odd) features, or for what the
nets compute (minus the log-scale, shift).
"""

import math
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS_AT_A_TIME = 1024


class Weights(NamedTuple):
    """The stacked weights of a RealNVP: see `labkit.models.flow_engine.FusedRealNVP` for their shapes."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    w3: Tensor
    b3: Tensor
    act_s: Tensor
    act_t: Tensor
    loc: Tensor
    log_scale: Tensor


class Traces:
    """An array for each thing that every layer computes, whole and in slices; also for the gradients of these.

    Attributes:
        normed: after the ActNorm, (K, 2, N, m).
        hidden1: of both nets, after the ReLU, (K, N, 2h); `by_net` is the same memory as (K, 2, N, h).
        hidden2: after the ReLU, (K, 2, N, h).
        out: of the nets, the log-scale bounded, (K, 2, N, m).
        normed_halves, out_parts: slices of a half or part, layer l at 2 l and 2 l + 1.
        outs, hidden1s, by_nets, hidden2s: slices of a layer.
    """

    def __init__(self, x: Tensor, shape: tuple[int, int, int]) -> None:
        (layers, m, wide), rows = shape, len(x)
        self.normed, self.out = x.new_empty(layers, 2, rows, m), x.new_empty(layers, 2, rows, m)
        self.hidden1, self.hidden2 = x.new_empty(layers, rows, wide), x.new_empty(layers, 2, rows, wide // 2)
        self.by_net = self.hidden1.unflatten(2, (2, -1)).transpose(1, 2)
        self.normed_halves, self.out_parts = _halves(self.normed), _halves(self.out)
        self.normeds, self.outs = self.normed.unbind(0), self.out.unbind(0)
        self.hidden1s, self.by_nets = self.hidden1.unbind(0), self.by_net.unbind(0)
        self.hidden2s = self.hidden2.unbind(0)


class Workspace:
    """Memory for one forward and one backward pass over N rows, used again and again.

    Attributes:
        values, gradients: what the layers compute, and the gradients in it; the second is made when it is asked for.
        factors, moveds: exp(−log-scale), and the new value of the moved half, (N, m) for each layer.
    """

    def __init__(self, x: Tensor, shape: tuple[int, int, int]) -> None:
        layers, m, _ = shape
        self._like, self._shape = x.detach(), shape
        self.values = Traces(x, shape)
        self.factors, self.moveds = (x.new_empty(layers, len(x), m).unbind(0) for _ in range(2))

    @cached_property
    def gradients(self) -> Traces:
        return Traces(self._like, self._shape)


class Density:
    """log p(x) in nats, (N,), for x (N, 2m), with or without a gradient; keeps its workspaces.

    Args:
        bound: of the log-scale, None for none.
    """

    def __init__(self, bound: float | None) -> None:
        self.bound = bound
        self._free: dict[tuple[Any, ...], list[Workspace]] = {}

    def __call__(self, x: Tensor, weights: Weights) -> Tensor:
        """Differentiable once, in x and in the weights."""
        if torch.is_grad_enabled():
            return _LogDensity.apply(self, x, *weights)
        parts = []
        for rows in x.split(ROWS_AT_A_TIME):
            space = self.take(rows, weights)
            parts.append(_forward(rows, weights, self.bound, space)[0])
            self.give_back(rows, space)
        return torch.cat(parts)

    def take(self, x: Tensor, weights: Weights) -> Workspace:
        """A workspace for x that nobody else has."""
        free = self._free.get(_kind(x))
        return free.pop() if free else Workspace(x, weights.w1.shape)

    def give_back(self, x: Tensor, space: Workspace) -> None:
        """It may be used again for tensors like x."""
        self._free.setdefault(_kind(x), []).append(space)


class _LogDensity(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, density: Density, x: Tensor, *stacked: Tensor) -> Tensor:
        weights = Weights(*stacked)
        space = density.take(x, weights)
        value, centred = _forward(x, weights, density.bound, space)
        context.density, context.space = density, space
        context.save_for_backward(centred, *weights)
        return value

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        centred, *stacked = context.saved_tensors
        space, context.space = context.space, None
        if space is None:
            raise RuntimeError(
                "the log-density of a fused flow keeps no graph: compute it again for each backward()"
            )
        of_x, of_weights = _backward(gradient, Weights(*stacked), context.density.bound, centred, space)
        context.density.give_back(of_x, space)
        return None, of_x, *of_weights


def _forward(x: Tensor, weights: Weights, bound: float | None, space: Workspace) -> tuple[Tensor, Tensor]:
    """log p(x), and the latents less the base's mean (2, N, m)."""
    w1, b1, w2, b2, w3, b3 = (weight.unbind(0) for weight in weights[:6])
    act_scale = (-weights.act_s).exp()
    scales, shifts = _halves(act_scale), _halves(-weights.act_t * act_scale)
    values, factors, moveds = space.values, space.factors, space.moveds
    normed, parts = values.normed_halves, values.out_parts
    halves = [x[:, 0::2], x[:, 1::2]]
    for layer in reversed(range(len(w1))):
        even, kept, moved = 2 * layer, layer % 2, 1 - layer % 2
        for half in range(2):
            torch.addcmul(shifts[even + half], halves[half], scales[even + half], out=normed[even + half])
        torch.addmm(b1[layer], normed[even + kept], w1[layer], out=values.hidden1s[layer]).relu_()
        torch.baddbmm(b2[layer], values.by_nets[layer], w2[layer], out=values.hidden2s[layer]).relu_()
        torch.baddbmm(b3[layer], values.hidden2s[layer], w3[layer], out=values.outs[layer])
        if bound is not None:
            parts[even].div_(bound).tanh_().mul_(bound)
        torch.exp(parts[even], out=factors[layer])
        halves[kept] = normed[even + kept]
        halves[moved] = torch.sub(normed[even + moved], parts[even + 1], out=moveds[layer]).mul_(
            factors[layer]
        )
    centred = torch.stack(halves) - weights.loc
    z = centred * (-weights.log_scale).exp()
    constant = weights.act_s.sum() + weights.log_scale.sum() + z.shape[2] * math.log(2 * math.pi)
    return values.out[:, 0].sum((0, 2)) - 0.5 * z.square().sum((0, 2)) - constant, centred


def _backward(
    gradient: Tensor, weights: Weights, bound: float | None, centred: Tensor, space: Workspace
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The gradient of `gradient` · log p in x (N, 2m), and in each of the weights."""
    total, column = gradient.sum(), gradient[:, None].contiguous()
    act_scale = (-weights.act_s).exp()
    scales, factors, moveds = act_scale.unbind(0), space.factors, space.moveds
    w1, w2, w3 = (weight.mT.unbind(0) for weight in (weights.w1, weights.w2, weights.w3))
    values, into = space.values, space.gradients
    normed, parts = into.normed_halves, into.out_parts

    current = centred * (-2 * weights.log_scale).exp() * -column
    of_loc = -current.sum(1, keepdim=True)
    of_log_scale = -(current * centred).sum(1, keepdim=True) - total
    for layer in range(len(scales)):
        even, kept, moved = 2 * layer, layer % 2, 1 - layer % 2
        arriving = current.unbind(0)
        torch.addcmul(column, arriving[moved], moveds[layer], out=parts[even])
        if bound is not None:
            parts[even].mul_(1 - (values.out_parts[even] / bound).square())
        torch.mul(arriving[moved], factors[layer], out=normed[even + moved])
        torch.neg(normed[even + moved], out=parts[even + 1])
        _through_relu(torch.bmm(into.outs[layer], w3[layer]), values.hidden2s[layer], into.hidden2s[layer])
        _through_relu(torch.bmm(into.hidden2s[layer], w2[layer]), values.by_nets[layer], into.by_nets[layer])
        torch.addmm(arriving[kept], into.hidden1s[layer], w1[layer], out=normed[even + kept])
        current = into.normeds[layer] * scales[layer]

    kept_halves = torch.stack([values.normed_halves[2 * layer + layer % 2] for layer in range(len(scales))])
    of_w2 = torch.empty_like(weights.w2)
    for net in range(2):
        torch.bmm(values.by_net[:, net].mT, into.hidden2[:, net], out=of_w2[:, net])
    of_w3 = torch.bmm(values.hidden2.flatten(0, 1).mT, into.out.flatten(0, 1)).view_as(weights.w3)
    return torch.stack(current.unbind(0), 2).flatten(1), (
        torch.bmm(kept_halves.mT, into.hidden1),
        into.hidden1.sum(1),
        of_w2,
        into.hidden2.sum(2, keepdim=True),
        of_w3,
        into.out.sum(2, keepdim=True),
        -(into.normed * values.normed).sum(2, keepdim=True) - total,
        -act_scale * into.normed.sum(2, keepdim=True),
        of_loc,
        of_log_scale,
    )


def _halves(stacked: Tensor) -> tuple[Tensor, ...]:
    """The slices of (K, 2, …): the pair of layer l at 2 l and 2 l + 1."""
    return stacked.flatten(0, 1).unbind(0)


def _through_relu(gradient: Tensor, reached: Tensor, into: Tensor) -> None:
    """Let a gradient pass where the ReLU's output `reached` is positive."""
    torch.ops.aten.threshold_backward.grad_input(gradient, reached, 0, grad_input=into)


def _kind(x: Tensor) -> tuple[Any, ...]:
    return len(x), x.dtype, x.device
