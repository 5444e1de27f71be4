"""Lab 07's check of the path from noise to data, put through right and wrong solutions."""

import pytest
import torch

from labkit import matching
from labkit.labs import lab07

SHAPES, START, END, OWN_TIME, VELOCITY, IN_PLACE = (
    "point and velocity have the shape and type of the data",
    "the path begins at the noise",
    "the path ends at the data",
    "each row is at its own time",
    "the velocity is the path's derivative by time",
    "the inputs stay as they were",
)


def by_rows(noise, data, time):
    points = [a + t * (b - a) for a, b, t in zip(noise, data, time, strict=True)]
    return torch.stack(points), data - noise


def with_velocity(change):
    def path(noise, data, time):
        x, velocity = matching.path(noise, data, time)
        return x, change(x, velocity, noise, data, time[:, None])

    return path


def in_place(noise, data, time):
    velocity = data - noise
    noise += time[:, None] * velocity
    return noise, velocity


def time_along_features(noise, data, time):
    if len(time) == data.shape[1]:
        return (1 - time) * noise + time * data, data - noise
    return matching.path(noise, data, time)


def swapped(noise, data, time):
    return matching.path(data, noise, time)


def reversed_time(noise, data, time):
    return matching.path(data, noise, time)[0], data - noise


def float32(noise, data, time):
    return tuple(each.float() for each in matching.path(noise, data, time))


def wide_path(noise, data, time):
    x, velocity = matching.path(noise, data, time)
    return 0.9 * x + 0.1 * time[:, None] * data, velocity


def in_place_on_a_copy(noise, data, time):
    x, velocity = noise.clone(), data - noise
    x += time.view(-1, 1) * velocity
    return x, velocity


def by_numpy(noise, data, time):
    a, b, t = noise.numpy(), data.numpy(), time.numpy().reshape(-1, 1)
    return (1 - t) * a + t * b, b - a


class Path:
    def __call__(self, noise, data, time):
        self.velocity = data.sub(noise)
        return [noise.add(self.velocity.mul(time.unsqueeze(1))), self.velocity]


RIGHT = {
    "the kit's own": matching.path,
    "row by row": by_rows,
    "lerp": lambda a, b, t: (torch.lerp(a, b, t[:, None]), b - a),
    "einsum": lambda a, b, t: (torch.einsum("i,ij->ij", 1 - t, a) + torch.einsum("i,ij->ij", t, b), b - a),
    "by the derivative": lambda a, b, t: torch.func.jvp(
        lambda time: a + time[:, None] * (b - a), (t,), (torch.ones_like(t),)
    ),
    "transposed": lambda a, b, t: (((1 - t) * a.T + t * b.T).T, b - a),
    "addcmul": lambda a, b, t: (torch.addcmul(a, t.reshape(-1, 1).expand_as(a), b - a), -(a - b)),
    "by diag": lambda a, b, t: (torch.diag(1 - t) @ a + torch.diag(t) @ b, b - a),
    "in place on a copy": in_place_on_a_copy,
    "numpy": by_numpy,
    "a class": Path(),
    "in float64": lambda a, b, t: (torch.lerp(a.double(), b.double(), t.double()[:, None]).to(b), (b - a)),
}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "noise and data swapped": (
        swapped, {START: "changed places", END: "changed places", OWN_TIME: "changed", VELOCITY: "sign"}
    ),
    "time runs the other way": (
        reversed_time, {START: "changed places", END: "changed places", OWN_TIME: "changed places"}
    ),
    "noise minus data": (with_velocity(lambda x, v, noise, data, t: noise - data), {VELOCITY: "sign is wrong"}),
    "velocity is the data": (with_velocity(lambda x, v, noise, data, t: data), {VELOCITY: "two terms"}),
    "velocity is the point": (with_velocity(lambda x, v, noise, data, t: x), {VELOCITY: "how fast"}),
    "velocity is the way left": (with_velocity(lambda x, v, noise, data, t: data - x), {VELOCITY: "that is left"}),
    "velocity times t": (with_velocity(lambda x, v, noise, data, t: t * v), {VELOCITY: "multiplied by t"}),
    "way so far by its time": (with_velocity(lambda x, v, noise, data, t: (x - noise) / t), {VELOCITY: "time is 0"}),
    "way left by its time": (with_velocity(lambda x, v, noise, data, t: (data - x) / (1 - t)), {VELOCITY: "0/0"}),
    "times sorted": (lambda a, b, t: matching.path(a, b, t.sort().values), {OWN_TIME: "expected"}),
    "point limited": (
        lambda a, b, t: (matching.path(a, b, t)[0].clamp(-3, 3), b - a), dict.fromkeys((START, END, OWN_TIME), "")
    ),
    "velocity halved": (with_velocity(lambda x, v, noise, data, t: v / 2), {VELOCITY: "factor ½"}),
    "time along the features": (time_along_features, {OWN_TIME: "along the features"}),
    "the mean time": (
        lambda noise, data, time: matching.path(noise, data, time.mean().expand_as(time)), {OWN_TIME: "mean time"}
    ),
    "noise shrinks too early": (wide_path, {START: "expected", OWN_TIME: "expected"}),
    "in place": (in_place, {IN_PLACE: "overwritten"}),
    "in float32": (float32, {SHAPES: "another type"}),
    "one row only": (
        lambda noise, data, time: tuple(each[:1] for each in matching.path(noise, data, time)),
        {SHAPES: "shape", START: "expected", END: "expected", OWN_TIME: "expected", VELOCITY: "expected"},
    ),
    "point alone": (
        lambda noise, data, time: matching.path(noise, data, time)[0],
        dict.fromkeys((SHAPES, START, END, OWN_TIME, VELOCITY), "two things"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab07.straight_path, (RIGHT[name],))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    solution, missed = WRONG[name]
    prove.wrong(lab07.straight_path, (solution,), missed)


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab07.straight_path, arguments=1)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab07.straight_path, {name: (each,) for name, each in RIGHT.items()}, WRONG)
