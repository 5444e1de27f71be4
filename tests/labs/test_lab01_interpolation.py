"""Lab 01's check of walks between latents, put through right and wrong solutions."""

import pytest
import torch

from labkit.labs import lab01
from labkit.metrics.interpolation import linear, spherical

POINTS, ENDS, EVEN, RADIUS, ANGLES, BACKWARDS, PARALLEL = (
    "both give as many points as asked, (steps, d)",
    "both end points are included",
    "the straight path is evenly spaced",
    "the spherical path keeps the radius of its ends",
    "the spherical path turns by equal angles",
    "swapped ends give the same path backwards",
    "ends in one direction are no problem",
)


def lerp(start, end, steps):
    return torch.stack([torch.lerp(start, end, step / (steps - 1)) for step in range(steps)])


def slerp_by_frame(start, end, steps):
    """Turns within the plane of both ends, its radius going evenly from one to the other."""
    first = start / start.norm()
    across = end - (end @ first) * first
    if across.norm() < 1e-6 * end.norm():
        return lerp(start, end, steps)
    angle = torch.atan2(across.norm(), end @ first)
    weight = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    radius = (1 - weight) * start.norm() + weight * end.norm()
    return radius * (torch.cos(weight * angle) * first + torch.sin(weight * angle) * across / across.norm())


def bare_slerp(start, end, steps, clamp=False, unit=True, swap=False):
    weight = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    cosine = start @ end / (start.norm() * end.norm() if unit else 1.0)
    angle = torch.acos(cosine.clamp(-1, 1) if clamp else cosine)
    if swap:
        weight = 1 - weight
    return (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / torch.sin(angle)


def without_end(start, end, steps):
    return start + torch.arange(steps, dtype=start.dtype)[:, None] / steps * (end - start)


def squared_weights(start, end, steps):
    weight = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None] ** 2
    return (1 - weight) * start + weight * end


def scaled_line(start, end, steps):
    line = linear(start, end, steps)
    weight = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    radius = (1 - weight) * start.norm() + weight * end.norm()
    return line / line.norm(dim=1, keepdim=True) * radius


def no_parallel_case(start, end, steps):
    return bare_slerp(start, end, steps, clamp=True)


def long_cosine(start, end, steps):
    """The cosine is not divided by the lengths, and what is then no angle is walked straight."""
    if torch.sin(torch.acos((start @ end).clamp(-1, 1))) < 1e-4:
        return linear(start, end, steps)
    return bare_slerp(start, end, steps, clamp=True, unit=False)


RIGHT = {"the kit's own": (linear, spherical), "lerp and a turning frame": (lerp, slerp_by_frame)}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "arange leaves out the end": ((without_end, spherical), {ENDS: "arange", BACKWARDS: "change roles."}),
    "one point too many": ((lambda a, b, n: linear(a, b, n + 1), spherical), {POINTS: "for 2 steps"}),
    "transposed": ((linear, lambda a, b, n: spherical(a, b, n).T), dict.fromkeys((POINTS,), "transposed")),
    "end to start": ((lambda a, b, n: linear(b, a, n), spherical), {ENDS: "from end to start"}),
    "squared weights": ((squared_weights, spherical), {EVEN: "steps differ", BACKWARDS: "backwards"}),
    "a line for the arc": ((linear, linear), {RADIUS: "cuts through", ANGLES: "evenly"}),
    "a line of the right length": ((linear, scaled_line), {ANGLES: "evenly"}),
    "cosine not divided by lengths": (
        (linear, lambda a, b, n: bare_slerp(a, b, n, clamp=True, unit=False)),
        dict.fromkeys((ENDS, RADIUS, ANGLES, BACKWARDS), "divided by both lengths") | {PARALLEL: "Ω = 0"},
    ),
    "cosine of long vectors, else straight": (
        (linear, long_cosine),
        dict.fromkeys((RADIUS, ANGLES), "at a right angle"),
    ),
    "arc from end to start": ((linear, lambda a, b, n: spherical(b, a, n)), {ENDS: "from end to start"}),
    "no case for Ω = 0": ((linear, no_parallel_case), {PARALLEL: "Ω = 0"}),
    "no return": (
        (lambda *a: None, spherical),
        dict.fromkeys((POINTS, ENDS, EVEN, BACKWARDS, PARALLEL), "return"),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab01.interpolation, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab01.interpolation, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab01.interpolation, arguments=2)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab01.interpolation, RIGHT, WRONG)
