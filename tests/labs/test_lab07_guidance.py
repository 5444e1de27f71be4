"""Lab 07's check of the guided velocity, put through right and wrong solutions."""

import pytest
import torch

from labkit.labs import lab07
from labkit.matching import guided

SHAPE, ZERO, WITHOUT, FURTHER, ASKED, KEPT = (
    "the velocity has the shape of the pictures",
    "weight 0 gives the model with its label, exactly",
    "weight −1 gives the model without a label",
    "a weight goes that much further, beyond the label",
    "no label means zeros, at the same place and time",
    "pictures and labels stay as they were",
)


def solution(mix, none=torch.zeros_like, place=lambda x: x, when=lambda t: t):
    """The mix of both velocities: mix(with the label, without, weight)."""

    def answer(velocity, x, time, label, weight):
        return mix(velocity(x, time, label), velocity(place(x), when(time), none(label)), weight)

    return (answer,)


def right(told, without, weight):
    return told + weight * (told - without)


def by_kit(velocity, x, time, label, weight):
    return guided(velocity, label, weight)(x, time)


def early(velocity, x, time, label, weight):
    told = velocity(x, time, label)
    return told if weight == 0 else right(told, velocity(x, time, 0 * label), weight)


def in_place(velocity, x, time, label, weight):
    told = velocity(x, time, label)
    label *= 0
    return right(told, velocity(x, time, label), weight)


def four_times(velocity, x, time, label, weight):
    velocity(x, time, label)
    return solution(right)[0](velocity, x, time, label, weight)


def in_one_batch(velocity, x, time, label, weight):
    told, without = velocity(torch.cat([x, x]), time, torch.cat([label, 0 * label])).chunk(2)
    return right(told, without, weight)


def by_picture(velocity, x, time, label, weight):
    pairs = zip(x.split(1), label.split(1))
    return torch.cat([solution(right)[0](velocity, each, time, own, weight) for each, own in pairs])


RIGHT = {
    "both in one batch": (in_one_batch,),
    "picture by picture": (by_picture,),
    "as the formula": solution(right),
    "as a sum of two": solution(lambda told, without, weight: (1 + weight) * told - weight * without),
    "the kit's own": (by_kit,),
    "one evaluation at weight 0": (early,),
}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "no label at all": (
        solution(lambda told, without, weight: without), {ZERO: "without its label", FURTHER: "expected"}
    ),
    "the label alone": (
        solution(lambda told, without, weight: told), {WITHOUT: "changes nothing", FURTHER: "expected"}
    ),
    "away from the label": (
        solution(lambda told, without, weight: told + weight * (without - told)),
        {WITHOUT: "wrong sign", FURTHER: "reversed"},
    ),
    "from the unlabelled": (
        solution(lambda told, without, weight: without + weight * (told - without)),
        {ZERO: "without its label", WITHOUT: "expected", FURTHER: "start from"},
    ),
    "difference alone": (
        solution(lambda told, without, weight: weight * (told - without)),
        {ZERO: "own velocity is missing", WITHOUT: "expected", FURTHER: "own velocity is missing"},
    ),
    "weight left out": (
        solution(lambda told, without, weight: 2 * told - without),
        {ZERO: "expected", WITHOUT: "wrong sign", FURTHER: "weight is missing"},
    ),
    "a mean": (
        solution(lambda told, without, weight: right(told, without, weight) / (1 + abs(weight))),
        {WITHOUT: "expected", FURTHER: "a mean"},
    ),
    "a mean of all pictures": (
        solution(lambda told, without, weight: right(told, without, weight).mean(0)),
        {SHAPE: "it has shape", ZERO: "shape", WITHOUT: "shape", FURTHER: "shape"},
    ),
    "ones for no label": (
        solution(right, none=torch.ones_like), {WITHOUT: "expected", FURTHER: "expected", ASKED: "without a label"}
    ),
    "at another place": (
        solution(right, place=lambda x: x + 1), {WITHOUT: "expected", FURTHER: "expected", ASKED: "another place"}
    ),
    "at another time": (
        solution(right, when=lambda t: t / 2), {WITHOUT: "expected", FURTHER: "expected", ASKED: "another time"}
    ),
    "the labels' mean for no label": (
        solution(right, none=lambda label: label.mean(0).expand_as(label)),
        {WITHOUT: "expected", FURTHER: "expected", ASKED: "without a label"},
    ),
    "label rounded": (
        (lambda v, x, t, label, weight: solution(right)[0](v, x, t, label.round(), weight),),
        {ZERO: "expected", FURTHER: "expected", ASKED: "with the label"},
    ),
    "three evaluations": ((four_times,), {ASKED: "twice is enough"}),
    "label overwritten": ((in_place,), {KEPT: "overwritten"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab07.guided_velocity, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab07.guided_velocity, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab07.guided_velocity, arguments=1)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab07.guided_velocity, RIGHT, WRONG)
