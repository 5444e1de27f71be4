"""Lab 07's check of the waves of the time, put through right and wrong solutions."""

import math

import pytest
import torch

from labkit.labs import lab07
from labkit.matching.nets import TimeFeatures

SHAPE, SINES, COSINES, OWN, APART, KEPT = (
    "each time has a row of 2n numbers",
    "the first half of a row are sines of πt, 2πt, …, nπt",
    "the second half are the cosines",
    "a row depends on its own time alone",
    "two close times differ more in their waves than by themselves",
    "the times stay as they were",
)


def angle(time, count, start=1):
    return math.pi * time[:, None] * torch.arange(start, start + count)


def both(x):
    return torch.cat([x.sin(), x.cos()], 1)


def by_list(time, count):
    waves = (torch.sin, torch.cos)
    return torch.stack([wave(k * torch.pi * time) for wave in waves for k in range(1, count + 1)], 1)


def in_place(time, count):
    time *= math.pi
    return both(time[:, None] * torch.arange(1, count + 1))


def ranked(time, count):
    """As if times were spread evenly over the batch."""
    return both(angle(time - time.mean() + 0.5, count))


RIGHT = {
    "by broadcasting": (lambda time, count: both(angle(time, count)),),
    "by a list": (by_list,),
    "the kit's own": (lambda time, count: TimeFeatures(count)(time),),
}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "one row too few": (
        (lambda time, count: both(angle(time, count)).T,),
        dict.fromkeys((SHAPE, SINES, COSINES, OWN, APART), "column"),
    ),
    "changed places": (
        (lambda time, count: torch.cat([angle(time, count).cos(), angle(time, count).sin()], 1),),
        dict.fromkeys((SINES, COSINES), "changed places"),
    ),
    "without π": (
        (lambda time, count: both(angle(time, count) / math.pi),),
        {SINES: "π is missing", COSINES: "π is missing"},
    ),
    "whole turns": ((lambda time, count: both(2 * angle(time, count)),), {SINES: "2π", COSINES: "2π"}),
    "from 0": ((lambda time, count: both(angle(time, count, 0)),), dict.fromkeys((SINES, COSINES), "begins at 0")),
    "alternating": (
        (lambda time, count: torch.stack([angle(time, count).sin(), angle(time, count).cos()], 2).flatten(1),),
        dict.fromkeys((SINES, COSINES), "alternate"),
    ),
    "by the batch's mean": (
        (ranked,), {SINES: "expected", COSINES: "expected", OWN: "other times"},
    ),
    "times sorted": (
        (lambda time, count: both(angle(time.sort().values, count)),),
        {SINES: "expected", COSINES: "expected", OWN: ""},
    ),
    "times rounded": (
        (lambda time, count: both(angle(time.round(decimals=4), count)),), {SINES: "nearly", COSINES: "nearly"}
    ),
    "slow waves alone": (
        (lambda time, count: both(angle(time, count) / count),), {SINES: "", COSINES: "", APART: "look alike"}
    ),
    "in place": ((in_place,), {KEPT: "overwritten"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab07.time_waves, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab07.time_waves, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab07.time_waves, arguments=1)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab07.time_waves, RIGHT, WRONG)
