"""Lab 03's check of the odd share of pictures, on right and wrong solutions."""

import numpy as np
import pytest
import torch

from labkit.labs import lab03

RANGE, EVEN, ODD, SHARE, LOPSIDED, EXTREMES = (
    "one number from 0 to 1",
    "pictures that a mirror leaves alone give 0",
    "pictures whose differences a mirror reverses give 1",
    "else it is the odd part's share of the squares",
    "one common lopsided face counts as odd",
    "white and black do not wrap round",
)
EVERY = (RANGE, EVEN, ODD, SHARE, LOPSIDED, EXTREMES)


def share(centre="symmetric", flip=lambda x: x[..., ::-1], half=2, power=2):
    def odd(images):
        x = images.astype(float)
        mean = x.mean(0)
        chosen = {"symmetric": (mean + flip(mean)) / 2, "mean": mean, "none": 0}
        deviation = x - chosen[centre]
        part = (deviation - flip(deviation)) / half
        return (np.abs(part) ** power).mean() / (np.abs(deviation) ** power).mean()

    return odd


def by_torch(images):
    x = torch.from_numpy(images).double()
    mean = x.mean(0, keepdim=True)
    even, odd = (x + x.flip(-1)) / 2, (x - x.flip(-1)) / 2
    even = even - (mean + mean.flip(-1)) / 2
    return odd.square().sum() / (odd.square().sum() + even.square().sum())


def in_bytes(images):
    odd = (images - images[..., ::-1]) / 2
    x = images.astype(float)
    mean = x.mean(0)
    return (odd**2).mean() / ((x - (mean + mean[..., ::-1]) / 2) ** 2).mean()


def all_in_bytes(images):
    mean = images.mean(0)
    deviation = images - ((mean + mean[..., ::-1]) / 2).astype(images.dtype)
    odd = (deviation - deviation[..., ::-1]) / 2
    return (odd**2).mean() / (deviation.astype(float) ** 2).mean()


RIGHT = {"numpy": (share(),), "torch": (by_torch,)}
WRONG = {
    "mean not symmetric": ((share("mean"),), dict.fromkeys((SHARE, LOPSIDED, EXTREMES), "not made symmetric")),
    "no mean": ((share("none"),), dict.fromkeys((ODD, SHARE, LOPSIDED, EXTREMES), "not subtracted")),
    "up and down": (
        (share(flip=lambda x: x[..., ::-1, :]),),
        dict.fromkeys((EVEN, ODD, SHARE, LOPSIDED, EXTREMES), "up and down"),
    ),
    "no half": ((share(half=1),), dict.fromkeys((RANGE, ODD, SHARE, LOPSIDED, EXTREMES), "")),
    "no squares": ((share(power=1),), dict.fromkeys((SHARE, LOPSIDED), "not squares")),
    "the even part's": (
        (lambda images: 1 - share()(images),),
        dict.fromkeys((EVEN, ODD, SHARE, LOPSIDED, EXTREMES), "even part"),
    ),
    "differences of bytes": ((in_bytes,), {RANGE: "", **dict.fromkeys((ODD, SHARE, LOPSIDED, EXTREMES), "8 bits")}),
    "all in bytes": ((all_in_bytes,), dict.fromkeys((ODD, SHARE, LOPSIDED, EXTREMES), "8 bits")),
    "nothing": ((lambda images: None,), dict.fromkeys(EVERY, "`return` is missing")),
    "one for each picture": ((lambda images: np.ones(len(images)),), dict.fromkeys(EVERY, "a number")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab03.odd_share, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab03.odd_share, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab03.odd_share, arguments=1)
    prove.complete(lab03.odd_share, RIGHT, WRONG)
