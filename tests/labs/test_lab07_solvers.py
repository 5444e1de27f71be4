"""Lab 07's check of Euler's and Heun's method, put through right and wrong solutions."""

from functools import reduce
from itertools import pairwise

import pytest
import torch

from labkit.labs import lab07
from labkit.matching import euler, heun

SHAPE, EULER, HEUN, GRID, BACK, ORDER_1, ORDER_2, COUNT = (
    "both return points of the same shape and leave the first ones alone",
    "Euler's step is x + h v(x, t)",
    "Heun's step has the mean velocity of both ends",
    "steps follow the grid, which may be uneven",
    "both run backwards too",
    "Euler's error is halved when the steps are doubled",
    "Heun's error is quartered when the steps are doubled",
    "Euler evaluates the field once a step, Heun twice",
)


def stepping(step):
    """A solver that makes step(velocity, x, start, end) for each pair of times."""

    def solver(velocity, x, times):
        for start, end in pairwise(times):
            x = step(velocity, x, start, end)
        return x

    return solver


def euler_by_index(velocity, x, times):
    for i in range(len(times) - 1):
        x = x + (times[i + 1] - times[i]) * velocity(x, times[i])
    return x


def heun_as_correction(velocity, x, times):
    for h, start in zip(times.diff(), times[:-1], strict=True):
        slope = velocity(x, start)
        guess = x + h * slope
        x = guess + h / 2 * (velocity(guess, start + h) - slope)
    return x


def even_steps(solver):
    return lambda velocity, x, times: solver(velocity, x, torch.linspace(times[0], times[-1], len(times)).to(times))


def of_one_length(velocity, x, times):
    """The field is asked at the grid's times, but each step is as long as the others."""
    for start in times[:-1]:
        x = x + (times[-1] - times[0]) / (len(times) - 1) * velocity(x, start)
    return x


def forgets_last_step(solver):
    return lambda velocity, x, times: (
        solver(velocity, x, times[:-1]) if len(times) > 2 else solver(velocity, x, times)
    )


def in_place(velocity, x, times):
    for start, end in pairwise(times):
        x += (end - start) * velocity(x, start)
    return x


def frozen_slope(velocity, x, times):
    slope = velocity(x, times[0])
    return x + (times[-1] - times[0]) * slope


def heun_step(second):
    """Heun's step with another velocity of the end: second(velocity, x, ahead, start, end)."""

    def step(velocity, x, start, end):
        slope = velocity(x, start)
        ahead = x + (end - start) * slope
        return x + (end - start) * (slope + second(velocity, x, ahead, start, end)) / 2

    return stepping(step)


def midpoint(velocity, x, start, end):
    h = end - start
    return x + h * velocity(x + h / 2 * velocity(x, start), start + h / 2)


def sum_of_both(velocity, x, start, end):
    slope = velocity(x, start)
    return x + (end - start) * (slope + velocity(x + (end - start) * slope, end))


def from_ahead(velocity, x, start, end):
    slope = velocity(x, start)
    ahead = x + (end - start) * slope
    return ahead + (end - start) * (slope + velocity(ahead, end)) / 2


def looks_forwards(velocity, x, start, end):
    h, slope = end - start, velocity(x, start)
    return x + h * (slope + velocity(x + h.abs() * slope, end)) / 2


def evaluates_thrice(velocity, x, start, end):
    h = end - start
    return x + h * (velocity(x, start) + velocity(x + h * velocity(x, start), end)) / 2


def euler_step(velocity, x, start, end):
    return torch.add(x, velocity(x, start), alpha=float(end - start))


def both_slopes(velocity, x, start, end):
    first = velocity(x, start)
    second = velocity(x.add(first.mul(end - start)), end)
    return x + (end - start) * torch.stack([first, second]).mean(0)


def by_floats(velocity, x, times):
    times = times.tolist()
    while len(times) > 1:
        start = times.pop(0)
        x = x + (times[0] - start) * velocity(x, torch.tensor(start, dtype=x.dtype))
    return x


def heun_on_a_copy(velocity, x, times):
    x = x.clone()
    for start, end in pairwise(times):
        h, slope = end - start, velocity(x.clone(), start)
        second = velocity(x + h * slope, start + h)
        x += 0.5 * h * slope
        x += 0.5 * h * second
    return x


def recursive(step):
    def solver(velocity, x, times):
        return x if len(times) == 1 else solver(velocity, step(velocity, x, *times[:2]), times[1:])

    return solver


def folded(step):
    return lambda velocity, x, times: reduce(lambda at, pair: step(velocity, at, *pair), pairwise(times), x)


class Solver:
    """Both methods by their weights of the slopes at the start and at the end."""

    def __init__(self, *weights):
        self.weights = weights

    @torch.no_grad()
    def __call__(self, velocity, x, times):
        for i, h in enumerate(torch.diff(times)):
            slopes = [velocity(x, times[i])]
            if len(self.weights) == 2:
                slopes.append(velocity(x + h * slopes[0], times[i + 1]))
            x = x + h * sum(w * slope for w, slope in zip(self.weights, slopes, strict=True))
        return x


def kept_path(step):
    def solver(velocity, x, times):
        path = [x]
        for i in range(1, len(times)):
            path.append(step(velocity, path[-1], times[i - 1], times[i]))
        return torch.stack(path)[-1]

    return solver


RIGHT = {
    "the kit's own": (euler, heun),
    "by index, by correction": (euler_by_index, heun_as_correction),
    "by floats, on a copy": (by_floats, heun_on_a_copy),
    "recursion": (recursive(euler_step), recursive(both_slopes)),
    "reduce": (folded(euler_step), folded(both_slopes)),
    "a class": (Solver(1.0), Solver(0.5, 0.5)),
    "the whole path kept": (kept_path(euler_step), kept_path(both_slopes)),
    "unbound times": (
        lambda v, x, times: stepping(euler_step)(v, x, times.unbind()),
        lambda v, x, times: stepping(both_slopes)(v, x, list(times)),
    ),
    "in float64": (
        lambda v, x, times: euler(v, x.double(), times.double()).to(x),
        lambda v, x, times: heun(v, x.double(), times.double()).to(x),
    ),
}
OFF = {ORDER_1: "off by"}
OFF_2 = {ORDER_2: "off by"}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "no step length": (
        (stepping(lambda v, x, a, b: x + v(x, a)), heun), {EULER: "length h is missing", BACK: "negative"} | OFF
    ),
    "against the velocity": (
        (stepping(lambda v, x, a, b: x - (b - a) * v(x, a)), heun), {EULER: "against"} | OFF
    ),
    "step is the end's time": (
        (stepping(lambda v, x, a, b: x + b * v(x, a)), heun), {EULER: "difference of two", BACK: "negative"} | OFF
    ),
    "velocity of the end": ((stepping(lambda v, x, a, b: x + (b - a) * v(x, b)), heun), {EULER: "step's end"}),
    "Heun in place of Euler": ((heun, heun), {EULER: "Heun's step", COUNT: "enough"} | OFF),
    "Euler in place of Heun": ((euler, euler), {HEUN: "Euler's step", COUNT: "enough"} | OFF_2),
    "only the end counts": (
        (euler, heun_step(lambda v, x, ahead, a, b: 2 * v(ahead, b) - v(x, a))),
        {HEUN: "only the velocity of the end", COUNT: "enough"} | OFF_2,
    ),
    "sum, no mean": ((euler, stepping(sum_of_both)), {HEUN: "not their mean"} | OFF_2),
    "second at the first time": (
        (euler, heun_step(lambda v, x, ahead, a, b: v(ahead, a))), {HEUN: "at the first time"} | OFF_2
    ),
    "second at the first point": (
        (euler, heun_step(lambda v, x, ahead, a, b: v(x, b))), {HEUN: "at the first point"} | OFF_2
    ),
    "from the point ahead": ((euler, stepping(from_ahead)), {HEUN: "only serves to look"} | OFF_2),
    "the midpoint rule": ((euler, stepping(midpoint)), {HEUN: "midpoint"}),
    "even steps": ((even_steps(euler), heun), {GRID: "even steps"}),
    "steps of one length": ((of_one_length, heun), {GRID: "even steps"}),
    "Heun's steps even": ((euler, even_steps(heun)), {GRID: "even steps"}),
    "last step left out": (
        (euler, forgets_last_step(heun)), {GRID: "four single steps", COUNT: "enough"} | OFF_2
    ),
    "velocity never anew": (
        (frozen_slope, heun), {GRID: "four single steps", COUNT: "enough", BACK: "not return"} | OFF
    ),
    "always forwards": (
        (stepping(lambda v, x, a, b: x + (b - a).abs() * v(x, a)), heun), {BACK: "negative"}
    ),
    "looks ahead forwards only": ((euler, stepping(looks_forwards)), {BACK: "negative"}),
    "in place": ((in_place, heun), {SHAPE: "overwrites"}),
    "three evaluations": ((euler, stepping(evaluates_thrice)), {COUNT: "enough"}),
    "every point": (
        (lambda v, x, times: torch.stack([euler(v, x, times[: i + 1]) for i in range(len(times))]), heun),
        {SHAPE: "last time"} | dict.fromkeys((EULER, GRID, BACK, ORDER_1, COUNT), "only the last one"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab07.solvers, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab07.solvers, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab07.solvers, arguments=2)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab07.solvers, RIGHT, WRONG)
