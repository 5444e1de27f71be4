"""Lab 04's checks of slerp and of sums of latents, put through right and wrong solutions."""

import pytest
import torch

from labkit.checking import salted
from labkit.labs import lab04
from labkit.metrics.interpolation import spherical as one_path

SHAPE, ENDS, LENGTH, ANGLE, ROWS, PARALLEL = (
    "a latent for each pair, (N, M)",
    "weight 0 gives the start, weight 1 the end",
    "ends of one length: the length stays",
    "the angle to the start grows evenly",
    "each pair has its own angle",
    "ends in nearly one direction are no problem",
)
ONE, SINGLE, MEANS, TYPICAL, UNTOUCHED = (
    "the sum is one latent, (M,)",
    "of one exemplar each it is a − b + c",
    "each group counts by its mean",
    "its length is that of a latent",
    "the latents handed in stay as they were",
)


def angle_between(a, b):
    cosine = (a * b).sum(1, keepdim=True) / (a.norm(dim=1, keepdim=True) * b.norm(dim=1, keepdim=True))
    return torch.acos(cosine.clamp(-1, 1))


def slerp(a, b, w):
    angle = angle_between(a, b)
    sine = torch.sin(angle)
    straight = (1 - w) * a + w * b
    arc = (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / sine.clamp_min(1e-12)
    return torch.where(sine < 1e-4, straight, arc)


def by_rows(a, b, w):
    """A loop over pairs, by an orthonormal basis of each plane."""
    found = []
    for x, y in zip(a, b, strict=True):
        lengths, u = (x.norm(), y.norm()), x / x.norm()
        v = y - (y @ u) * u
        if v.norm() < 1e-5 * y.norm():
            found.append((1 - w) * x + w * y)
            continue
        v = v / v.norm()
        angle = torch.atan2(y @ v, y @ u)
        first, last = torch.sin((1 - w) * angle), torch.sin(w * angle)
        turned = torch.cos(angle) * u + torch.sin(angle) * v
        found.append((first * lengths[0] * u + last * lengths[1] * turned) / torch.sin(angle))
    return torch.stack(found)


def lerp(a, b, w):
    return (1 - w) * a + w * b


def pushed_out(a, b, w):
    length = (1 - w) * a.norm(dim=1, keepdim=True) + w * b.norm(dim=1, keepdim=True)
    return length * torch.nn.functional.normalize(lerp(a, b, w), dim=1)


def unguarded(a, b, w):
    cosine = (a * b).sum(1, keepdim=True) / (a.norm(dim=1, keepdim=True) * b.norm(dim=1, keepdim=True))
    angle = torch.acos(cosine)
    return (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / torch.sin(angle)


def one_angle(a, b, w):
    angle = angle_between(a, b).mean()
    if torch.sin(angle) < 1e-4:
        return lerp(a, b, w)
    return (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / torch.sin(angle)


def no_division(a, b, w):
    angle = angle_between(a, b)
    return torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b


def unit_directions(a, b, w):
    return torch.nn.functional.normalize(slerp(a, b, w), dim=1)


def stuck_at_start(a, b, w):
    return torch.where(torch.sin(angle_between(a, b)) < 1e-4, a, slerp(a, b, w))


def unnormalised(a, b, w):
    angle = torch.acos((a * b).sum(1, keepdim=True))
    return (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / torch.sin(angle)


WALK_RIGHT = {"with where": (slerp,), "by an orthonormal basis": (by_rows,)}
# Name → solution, and property → part of the hint that it must get.
WALK_WRONG = {
    "straight": ((lerp,), {LENGTH: "cuts through", ANGLE: "evenly"}),
    "straight, put back to its length": ((pushed_out,), {ANGLE: "evenly"}),
    "backwards": (
        (lambda a, b, w: slerp(b, a, w),),
        {ENDS: "backwards", ANGLE: "backwards"},
    ),
    "no guard": ((unguarded,), {PARALLEL: "clamp"}),
    "one angle for all": (
        (one_angle,),
        dict.fromkeys((LENGTH, ANGLE, ROWS), "mixes all rows"),
    ),
    "not divided": ((no_division,), {ENDS: "divide", LENGTH: "", PARALLEL: "middle"}),
    "on the unit sphere": (
        (unit_directions,),
        {ENDS: "length 1", LENGTH: "", PARALLEL: "middle"},
    ),
    "stays where both are alike": ((stuck_at_start,), {PARALLEL: "straight line"}),
    "cosine of long vectors": (
        (unnormalised,),
        {ENDS: "not finite", LENGTH: "", ANGLE: "", ROWS: "", PARALLEL: "divides"},
    ),
    "transposed": ((lambda a, b, w: slerp(a, b, w).T,), {SHAPE: "should be", PARALLEL: ""}),
    "one dimension more": ((lambda a, b, w: slerp(a, b, w)[None],), {SHAPE: "should be", PARALLEL: ""}),
    "in place": ((lambda a, b, w: a.copy_(slerp(a, b, w)),), {UNTOUCHED: "in place"}),
}


def combine(a, b, c):
    return a.mean(0) - b.mean(0) + c.mean(0)


def by_einsum(a, b, c):
    signs = torch.tensor([1.0, -1.0, 1.0], dtype=a.dtype)
    return torch.einsum("k,km->m", signs, torch.stack([group.sum(0) / len(group) for group in (a, b, c)]))


def in_place(a, b, c):
    expected = combine(a, b, c)
    a -= b.mean(0)
    return expected


def rows_first(a, b, c):
    return (a - b + c).mean(0)


def signs(first, second, third):
    return (lambda a, b, c: first * a.mean(0) + second * b.mean(0) + third * c.mean(0),)


SUM_RIGHT = {"by means": (combine,), "by einsum": (by_einsum,)}
SUM_WRONG = {
    "a + b − c": (signs(1, 1, -1), {SINGLE: "a + b − c"}),
    "a − b − c": (signs(1, -1, -1), {SINGLE: "a − b − c"}),
    "b − a + c": (signs(-1, 1, 1), {SINGLE: "other way"}),
    "all added": (signs(1, 1, 1), {SINGLE: "all three"}),
    "difference alone": (signs(1, -1, 0), {SINGLE: "missing", TYPICAL: "variance"}),
    "mean of the three": (signs(1 / 3, -1 / 3, 1 / 3), {SINGLE: "unscaled", TYPICAL: "variance"}),
    "first exemplar": (
        (lambda a, b, c: a[0] - b[0] + c[0],),
        {MEANS: "only the first", TYPICAL: "variance"},
    ),
    "sums of groups": (
        (lambda a, b, c: a.sum(0) - b.sum(0) + c.sum(0),),
        {MEANS: "added up", TYPICAL: "variance"},
    ),
    "no mean": (
        (lambda a, b, c: a - b + c,),
        {ONE: "each exemplar", MEANS: "", TYPICAL: ""},
    ),
    "mean of the rows' sums": ((rows_first,), {MEANS: "each group by itself"}),
    "a dimension left": ((lambda a, b, c: combine(a, b, c)[None],), {ONE: "should be"}),
    "in place": ((in_place,), {UNTOUCHED: "in place"}),
}  # fmt: skip


@pytest.mark.parametrize("name", WALK_RIGHT)
def test_a_right_walk_passes(prove, name):
    prove.right(lab04.spherical, WALK_RIGHT[name])


@pytest.mark.parametrize("name", WALK_WRONG)
def test_a_wrong_walk_is_found(prove, name):
    prove.wrong(lab04.spherical, *WALK_WRONG[name])


@pytest.mark.parametrize("name", SUM_RIGHT)
def test_a_right_sum_passes(prove, name):
    prove.right(lab04.arithmetic, SUM_RIGHT[name])


@pytest.mark.parametrize("name", SUM_WRONG)
def test_a_wrong_sum_is_found(prove, name):
    prove.wrong(lab04.arithmetic, *SUM_WRONG[name])


def test_the_stubs_and_the_number_of_solutions(prove):
    prove.stub(lab04.spherical, 1)
    prove.stub(lab04.arithmetic, 1)
    prove.complete(lab04.spherical, WALK_RIGHT, WALK_WRONG)
    prove.complete(lab04.arithmetic, SUM_RIGHT, SUM_WRONG)


@pytest.mark.parametrize("salt", range(8))
def test_one_pair_in_one_direction_among_others_is_asked_about_whatever_is_drawn(salt):
    def only_if_all(start, end, weight):
        angle = angle_between(start, end)
        sine = torch.sin(angle)
        if (sine < 1e-4).all():
            return (1 - weight) * start + weight * end
        return (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / sine

    with salted(salt):
        assert PARALLEL in [each.name for each in lab04.spherical(only_if_all) if not each.passed]


def test_the_kits_path_is_the_exercise():
    torch.manual_seed(0)
    start, end = torch.randn(2, 5, dtype=torch.float64)
    by_hand = torch.cat([slerp(start[None], end[None], float(w)) for w in torch.linspace(0, 1, 7)])
    torch.testing.assert_close(by_hand, one_path(start, end, 7), rtol=1e-6, atol=1e-6)
