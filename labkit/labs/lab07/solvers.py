"""Check of Euler's and Heun's method, whose orders are measured on the exact flow of a Gaussian."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from labkit.checking import Missed, Property, any_number, as_tensor, close, evaluate, explain, no_nan, normal, weak
from labkit.matching import GaussianVelocity, grid

ROWS, FEATURES = 5, 2
ONE_STEP = torch.tensor([-6.4, -2.93], dtype=torch.float64)  # long and beyond [−1, 1]: limits and lost signs show
UNEVEN = torch.tensor([0.0, 0.1, 0.4, 0.7, 1.0], dtype=torch.float64)


class _Field(nn.Module):
    """A field that is neither linear nor constant in time, and remembers when it was evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        self.times.append(float(torch.as_tensor(time).reshape(-1)[0]))
        time = torch.as_tensor(time).reshape(-1, 1)
        return torch.sin(x) + time + time**2


class _Mirrored(nn.Module):
    """The same field with time reversed."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return -_Field()(x, 1 - torch.as_tensor(time))


def solvers(euler: Callable[..., Any], heun: Callable[..., Any]) -> list[Property]:
    """Properties of two solvers (velocity, x (N, d), times (S + 1,)) → x (N, d) at the last time.

    Args:
        euler: x + h v(x, t), step after step.
        heun: the same with the mean of the velocities at both ends of an Euler step.
    """
    return evaluate(
        {
            "both return points of the same shape and leave the first ones alone": weak(
                lambda: _shape(euler, "euler") or _shape(heun, "heun")
            ),
            "Euler's step is x + h v(x, t)": lambda: _euler(euler),
            "Heun's step has the mean velocity of both ends": lambda: _heun(heun),
            "steps follow the grid, which may be uneven": weak(
                lambda: _grid(euler, "euler", 1) or _grid(heun, "heun", 2)
            ),
            "both run backwards too": lambda: _backwards(euler, "euler") or _backwards(heun, "heun"),
            "Euler's error is halved when the steps are doubled": lambda: _order(euler, 1),
            "Heun's error is quartered when the steps are doubled": lambda: _order(heun, 2),
            "Euler evaluates the field once a step, Heun twice": lambda: _count(euler, heun),
        }
    )


def _solved(solver: Callable[..., Any], field: nn.Module, x: Tensor, times: Tensor) -> Tensor:
    got = no_nan(as_tensor(solver(field, x.clone(), times.clone()), "the result").detach())
    if got.shape == (len(times), *x.shape):
        raise Missed("it returns the point at every time; only the last one is wanted.")
    return got


def _own(x: Tensor, times: Tensor, order: int, even: bool = False) -> Tensor:
    """The right result, or that of steps of one length from the grid's times."""
    field = _Field()
    for start, end in pairwise(times):
        h = (times[-1] - times[0]) / (len(times) - 1) if even else end - start
        slope = field(x, start)
        ahead = field(x + h * slope, start + h) if order == 2 else slope
        x = x + h * (slope + ahead) / 2
    return x


def _shape(solver: Callable[..., Any], name: str) -> str | None:
    x = normal(ROWS, FEATURES)
    given, times = x.clone(), UNEVEN.clone()
    got = as_tensor(solver(_Field(), given, times), f"the result of {name}")
    if got.shape != x.shape:
        return f"{name} turns {tuple(x.shape)} into {tuple(got.shape)}: return x at the last time."
    if not torch.equal(times, UNEVEN):
        return f"{name} overwrites the times it is given."
    if not torch.equal(given, x):
        return f"{name} overwrites the points it is given: x = x + …, not x += …."
    return any_number(lambda x: solver(_Field(), x.clone(), UNEVEN.clone()), x, most=100)


def _euler(solver: Callable[..., Any]) -> str | None:
    x, times, h = normal(ROWS, FEATURES, seed=1), ONE_STEP, ONE_STEP[1] - ONE_STEP[0]
    slope = _Field()(x, times[0])
    return explain(
        _solved(solver, _Field(), x, times),
        x + h * slope,
        [
            (lambda: x + slope, "the step's length h is missing: it is the difference of two times."),
            (lambda: x - h * slope, "the step goes against the velocity."),
            (lambda: x + times[1] * slope, "h is not a time but the difference of two times."),
            (lambda: x + h * _Field()(x, times[1]), "the velocity is that of the step's end; take its start."),
            (lambda: _own(x, times, 2), "that is Heun's step."),
            (lambda: x, "nothing moves: with two times there is one step."),
        ],
        "one step from t to t + h is x + h · velocity(x, t).",
    )


def _heun(solver: Callable[..., Any]) -> str | None:
    x, times, h = normal(ROWS, FEATURES, seed=2), ONE_STEP, ONE_STEP[1] - ONE_STEP[0]
    slope = _Field()(x, times[0])
    ahead = x + h * slope
    return explain(
        _solved(solver, _Field(), x, times),
        x + h / 2 * (slope + _Field()(ahead, times[1])),
        [
            (lambda: x + h * slope, "that is Euler's step: look ahead, and take the mean of both velocities."),
            (lambda: x + h * _Field()(ahead, times[1]), "only the velocity of the end counts; take the mean."),
            (lambda: x + h * (slope + _Field()(ahead, times[1])), "the sum of two velocities is not their mean."),
            (
                lambda: x + h / 2 * (slope + _Field()(ahead, times[0])),
                "the second velocity is taken at the first time.",
            ),
            (lambda: x + h / 2 * (slope + _Field()(x, times[1])), "the second velocity is taken at the first point."),
            (
                lambda: ahead + h / 2 * (slope + _Field()(ahead, times[1])),
                "the step begins at the point ahead; that one only serves to look.",
            ),
            (
                lambda: x + h * _Field()(x + h / 2 * slope, times.mean()),
                "that is the midpoint rule, as good a method, but not Heun's.",
            ),
        ],
        "take an Euler step to look ahead; then step from x with the mean of the velocities here and there.",
    )


def _grid(solver: Callable[..., Any], name: str, order: int) -> str | None:
    x = normal(ROWS, FEATURES, seed=3)
    got = _solved(solver, _Field(), x, UNEVEN)
    if close(got, _solved_by_step(solver, x, UNEVEN)):
        return None
    even = torch.linspace(0, 1, len(UNEVEN), dtype=torch.float64)
    if close(got, _own(x, even, order)) or close(got, _own(x, UNEVEN, order, even=True)):
        return f"{name} makes even steps: the length of each is the difference of its two times."
    return (
        f"{name} over four steps differs from its own four single steps: each step starts where the last one ended."
    )


def _solved_by_step(solver: Callable[..., Any], x: Tensor, times: Tensor) -> Tensor:
    for pair in pairwise(times):
        x = _solved(solver, _Field(), x, torch.stack(pair))
    return x


def _backwards(solver: Callable[..., Any], name: str) -> str | None:
    x, times = normal(ROWS, FEATURES, seed=4), torch.linspace(1.0, 0.5, 41, dtype=torch.float64)
    back = _solved(solver, _Field(), x, times)
    there = _solved(solver, _Field(), back, times.flip(0))
    # Euler's 40 steps are off by some hundredths; the way itself is about one long.
    if (there - x).abs().max() < 0.15 and (back - x).abs().max() > 0.15:
        # Backwards through v(x, t) is forwards through −v(x, 1 − t), step for step.
        mirrored = _solved(solver, _Mirrored(), x, 1 - UNEVEN.flip(0))
        if close(_solved(solver, _Field(), x, UNEVEN.flip(0)), mirrored):
            return None
    return f"{name} from t = 1 to t = 0.5 and back does not return: h is negative where the times fall."


def _order(solver: Callable[..., Any], order: int) -> str | None:
    field = GaussianVelocity(*(torch.tensor(each, dtype=torch.float64) for each in ([1.0, -0.5], [0.5, 2.0])))
    noise = normal(ROWS, FEATURES, seed=5)
    coarse, fine = (
        (_solved(solver, field, noise, grid(n, like=noise)) - field.flow(noise)).abs().max().item() for n in (60, 120)
    )
    measured = torch.log2(torch.tensor(coarse / max(fine, 1e-300))).item()
    if abs(measured - order) < 0.2 or measured > order == 2:  # the midpoint rule does better here
        return None
    name = "Euler" if order == 1 else "Heun"
    return (
        f"on the exact flow of a Gaussian 60 steps are off by {coarse:.2g}, 120 steps by {fine:.2g}: an order of "
        f"{measured:.1f}, but {name}'s is {order}."
    )


def _count(euler: Callable[..., Any], heun: Callable[..., Any]) -> str | None:
    steps = len(UNEVEN) - 1
    for solver, name, needed in ((euler, "euler", steps), (heun, "heun", 2 * steps)):
        field = _Field()
        _solved(solver, field, normal(ROWS, FEATURES), UNEVEN)
        if len(field.times) != needed:
            return f"{name} evaluates the field {len(field.times)} times in {steps} steps; {needed} are enough."
    return None
