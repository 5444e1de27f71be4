"""Lab 07's check of the loss, put through right and wrong solutions."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from labkit import matching
from labkit.labs import lab07

SCALAR, PLACES, ZERO, MEAN, GRADIENT, TWO_POINTS, STAY = (
    "the loss is one number",
    "the field is evaluated at x_t and t",
    "a field that is right everywhere has loss zero",
    "it is the mean of the squared errors, over rows and features",
    "its gradient reaches the field",
    "for two points it is least at the closed form",
    "noise, data and time stay as they were",
)


def by_functional(velocity, noise, data, time):
    x = torch.lerp(noise, data, time[:, None])
    return functional.mse_loss(velocity(x, time), data - noise)


def with_error(reduce):
    def loss(velocity, noise, data, time):
        x, target = matching.path(noise, data, time)
        return reduce(velocity(x, time) - target)

    return loss


def with_target(target):
    def loss(velocity, noise, data, time):
        x, _ = matching.path(noise, data, time)
        return (velocity(x, time) - target(noise, data, x)).square().mean()

    return loss


def at(place):
    """Evaluates the field at place(noise, data, x, time) instead of x."""

    def loss(velocity, noise, data, time):
        x, target = matching.path(noise, data, time)
        return (velocity(*place(noise, data, x, time)) - target).square().mean()

    return loss


def detached(velocity, noise, data, time):
    x, target = matching.path(noise, data, time)
    return (velocity(x, time).detach() - target).square().mean()


def by_loops(velocity, noise, data, time):
    total = 0.0
    for a, b, t in zip(noise, data, time, strict=True):
        error = velocity(((1 - t) * a + t * b)[None], t[None])[0] - (b - a)
        for each in error:
            total = total + each**2
    return total / data.numel()


def by_module(velocity, noise, data, time):
    t = time.unsqueeze(-1)
    return nn.MSELoss()(velocity(noise + t * (data - noise), time), data - noise)


class Loss(nn.Module):
    def forward(self, velocity, noise, data, time):
        x, target = matching.path(noise, data, time)
        return torch.dist(velocity(x, time), target) ** 2 / target.numel()


RIGHT = {
    "the kit's own": matching.matching_loss,
    "torch's own": by_functional,
    "MSELoss": by_module,
    "row by row": by_loops,
    "a class": Loss(),
    "pow and mean": with_error(lambda error: error.pow(2).mean()),
    "mean of means": with_error(lambda error: (error * error).mean(-1).mean()),
    "sum over count": with_error(lambda error: torch.sum(error**2) / (error.shape[0] * error.shape[1])),
    "einsum": with_error(lambda error: torch.einsum("ij,ij->", error, error) / error.numel()),
    "norm": with_error(lambda error: torch.linalg.vector_norm(error, dim=1).square().mean() / error.shape[1]),
    "stack of rows": with_error(lambda error: torch.stack([row @ row / len(row) for row in error]).mean()),
    "in float64": with_error(lambda error: error.double().square().mean()),
}


def in_place(velocity, noise, data, time):
    loss = by_functional(velocity, noise, data, time)
    noise.mul_(0)
    return loss


# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "noise overwritten": (in_place, {STAY: "writes into"}),
    "sum over the batch": (with_error(lambda error: error.square().sum()), {MEAN: "grows with the batch"}),
    "sum over the features": (with_error(lambda error: error.square().sum(1).mean()), {MEAN: "over features too"}),
    "absolute error": (with_error(lambda error: error.abs().mean()), {MEAN: "median", TWO_POINTS: "lower loss"}),
    "root": (with_error(lambda error: error.square().mean().sqrt()), {MEAN: "root"}),
    "half": (with_error(lambda error: error.square().mean() / 2), {MEAN: "half"}),
    "Huber": (with_error(lambda error: 2 * functional.huber_loss(error, 0 * error, delta=5.0)), {MEAN: "expected"}),
    "times as a column": (at(lambda noise, data, x, time: (x, time[:, None])), {PLACES: "takes them as (N,)"}),
    "not squared": (with_error(lambda error: error.mean()), {MEAN: "cancel", TWO_POINTS: "lower loss"}),
    "square of the mean": (
        with_error(lambda error: error.mean().square()), {MEAN: "after the mean", TWO_POINTS: "lower loss"}
    ),
    "no mean": (with_error(lambda error: error.square()), {SCALAR: "one number"}),
    "one number per row": (with_error(lambda error: error.square().mean(1)), {SCALAR: "one number"}),
    "target's sign": (
        with_target(lambda noise, data, x: noise - data),
        {ZERO: "points from noise to data", MEAN: "expected", TWO_POINTS: "lower loss"},
    ),
    "target is the data": (
        with_target(lambda noise, data, x: data),
        dict.fromkeys((ZERO, MEAN, TWO_POINTS), "a difference"),
    ),
    "target is the noise": (
        with_target(lambda noise, data, x: noise),
        {ZERO: "what is the target", MEAN: "expected", TWO_POINTS: "lower loss"},
    ),
    "field at the data": (
        at(lambda noise, data, x, time: (data, time)),
        dict.fromkeys((PLACES, MEAN, TWO_POINTS), "end of the path"),
    ),
    "field at the noise": (
        at(lambda noise, data, x, time: (noise, time)),
        {PLACES: "end of the path", MEAN: "expected", TWO_POINTS: "lower loss"},
    ),
    "time runs the other way": (
        at(lambda noise, data, x, time: (x, 1 - time)),
        {PLACES: "another time", MEAN: "expected", TWO_POINTS: "lower loss"},
    ),
    "path runs the other way": (
        at(lambda noise, data, x, time: (noise + data - x, time)),
        {PLACES: "elsewhere", MEAN: "expected", TWO_POINTS: "lower loss"},
    ),
    "field is detached": (detached, {GRADIENT: "no gradient"}),
    "a plain number": (
        with_error(lambda error: error.square().mean().item()), {GRADIENT: "no gradient"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab07.regression, (RIGHT[name],))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    solution, missed = WRONG[name]
    prove.wrong(lab07.regression, (solution,), missed)


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab07.regression, arguments=1)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab07.regression, {name: (each,) for name, each in RIGHT.items()}, WRONG)
