"""Checks of walking along the sphere and of sums of latents (Shoemake, 1985; Radford et al., arXiv:1511.06434)."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

from labkit.checking import (
    Hint,
    Missed,
    Mistake,
    Property,
    as_tensor,
    close,
    dtype,
    evaluate,
    explain,
    normal,
    untouched,
    weak,
)

ROWS, LATENTS = 4, 7
WEIGHTS = (0.2, 0.5, 0.7)
IN_PLACE = "it is changed in place: a -= b writes into the caller's latents; write a - b."
Function = Callable[..., Any]
Ends = tuple[Tensor, Tensor]


def spherical(walk: Function) -> list[Property]:
    """Properties of a function (start (N, M), end (N, M), weight in [0, 1]) → latents (N, M) on the arcs.

    Args:
        walk: the student's function; the weight is one number for all rows.
    """
    return evaluate(
        {
            "a latent for each pair, (N, M)": weak(lambda: _shape(walk)),
            "weight 0 gives the start, weight 1 the end": weak(lambda: _ends(walk)),
            "ends of one length: the length stays": weak(lambda: _length(walk)),
            "the angle to the start grows evenly": lambda: _angle(walk),
            "each pair has its own angle": weak(lambda: _rows(walk)),
            "ends in nearly one direction are no problem": weak(lambda: _parallel(walk)),
            "the latents handed in stay as they were": weak(
                lambda: untouched(_on_sphere(), lambda *ends: walk(*ends, 0.3), IN_PLACE)
            ),
        }
    )


def arithmetic(combine: Function) -> list[Property]:
    """Properties of a function (with_both (A, M), with_one (B, M), with_none (C, M)) → the sum a − b + c, (M,).

    Args:
        combine: the student's function; each group is the latents of several exemplars.
    """
    return evaluate(
        {
            "the sum is one latent, (M,)": weak(lambda: _one_latent(combine)),
            "of one exemplar each it is a − b + c": lambda: _single(combine),
            "each group counts by its mean": weak(lambda: _means(combine)),
            "its length is that of a latent": weak(lambda: _typical(combine)),
            "the latents handed in stay as they were": weak(lambda: untouched(_groups(3, 3, 3), combine, IN_PLACE)),
        }
    )


def _walk(walk: Function, ends: Ends, weight: float) -> Tensor:
    return as_tensor(walk(ends[0].clone(), ends[1].clone(), weight), "the latents").detach()


def _sound(walk: Function, ends: Ends, weight: float) -> Tensor:
    """The latents as (N, M), also of a function that gives a wrong shape: that has a property of its own."""
    found = _walk(walk, ends, weight)
    if not bool(found.isfinite().all()):
        raise Missed(
            "it is not finite between ordinary latents: the cosine of Ω is the dot product over both lengths."
        )
    if found.shape == ends[0].shape[::-1] and found.ndim == 2:
        return found.T
    if found.shape == (1, *ends[0].shape):
        return found[0]
    if found.shape != ends[0].shape:
        raise Missed(f"latents of shape {tuple(found.shape)} cannot be judged.")
    return found


def _on_sphere() -> Ends:
    """Directions of length 3, in each row at another angle: acute, right, obtuse, nearly opposite."""
    start, other = normal(2, ROWS, LATENTS, seed=1)
    start = start / start.norm(dim=1, keepdim=True)
    across = other - (start * other).sum(1, keepdim=True) * start
    angle = torch.tensor([50.0, 90.0, 125.0, 178.5], dtype=start.dtype).deg2rad()[:, None]
    return 3 * start, 3 * (angle.cos() * start + angle.sin() * across / across.norm(dim=1, keepdim=True))


def _shape(walk: Function) -> str | None:
    got = _walk(walk, _on_sphere(), 0.3).shape
    if got == (ROWS, LATENTS):
        return None
    return f"for two times {(ROWS, LATENTS)} it should be {(ROWS, LATENTS)}, not {tuple(got)}."


def _ends(walk: Function) -> str | None:
    start, _ = _on_sphere()
    end = 2 * normal(ROWS, LATENTS, seed=2)
    first, last = (_sound(walk, (start, end), weight) for weight in (0.0, 1.0))
    if close(first, end) and close(last, start):
        return "it walks backwards: sin((1 − w)Ω) belongs to the start, sin(wΩ) to the end."
    if close(first, start) and close(last, end):
        return None
    norms = [each.norm(dim=1) for each in (first, last)]
    if all(close(each, torch.ones(ROWS)) for each in norms):
        return "its latents have length 1: take directions for Ω only, and add up the latents themselves."
    return "at w = 0 the weights are 1 and 0, at w = 1 they are 0 and 1: divide both sines by sin Ω."


def _length(walk: Function) -> str | Hint | None:
    norms = torch.stack([_sound(walk, _on_sphere(), weight).norm(dim=1) for weight in WEIGHTS])
    if close(norms, torch.full_like(norms, 3.0)):
        return None
    if hint := _rows(walk):
        return hint
    shortest = norms[1].min().item()
    if shortest < 3:
        return (
            f"ends of length 3, but half-way it is {shortest:.2f}: the straight line cuts through the ball; the "
            "weights are sin((1 − w)Ω)/sin Ω and sin(wΩ)/sin Ω."
        )
    return "the length changes on the way: the weights are sin((1 − w)Ω)/sin Ω and sin(wΩ)/sin Ω."


def _between(a: Tensor, b: Tensor) -> Tensor:
    return torch.cosine_similarity(a, b, dim=1).clamp(-1, 1).acos()


def _angle(walk: Function) -> str | Hint | None:
    start, end = _on_sphere()
    whole = _between(start, end)
    for weight in WEIGHTS:
        turned = _between(start, _sound(walk, (start, end), weight))
        if close(turned, weight * whole, 1e-4):
            continue
        if close(turned, (1 - weight) * whole, 1e-4):
            return "it walks backwards: sin((1 − w)Ω) belongs to the start, sin(wΩ) to the end."
        return _rows(walk) or (
            f"at w = {weight} a row has turned by {math.degrees(turned[0]):.1f}° of "
            f"{math.degrees(whole[0]):.1f}°; a straight line, even if put back to its length, does not turn evenly."
        )
    if _ends(walk) or _length(walk):
        return None
    for a, b, lengths in ((start / 6, 2 * end, "½ and 6"), (300 * start, 200 * end, "900 and 600")):
        if not close(_sound(walk, (a, b), 0.3), _arc(a, b, 0.3)):
            return f"ends of lengths {lengths}: Ω comes of both lengths, the sines weigh the latents as they are."
    return None


def _arc(start: Tensor, end: Tensor, weight: float) -> Tensor:
    angle = _between(start, end)[:, None]
    return (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / torch.sin(angle)


def _rows(walk: Function) -> Hint | None:
    start, end = _on_sphere()
    together = _sound(walk, (start, end), 0.3)
    apart = torch.cat([_sound(walk, (a[None], b[None]), 0.3) for a, b in zip(start, end, strict=True)])
    if close(together, apart):
        return None
    return Hint(
        "a row comes out differently beside other rows.",
        "each pair has its own angle: yours mixes all rows of the batch.",
        "Ω is (N, 1), from sums over dimension 1 with keepdim=True.",
    )


def _parallel(walk: Function) -> str | None:
    start = torch.cat((3 * torch.eye(LATENTS)[:1].to(dtype()), _on_sphere()[0][1:]))  # of one cosine is 1 to the bit
    # Of a walk that is wrong everywhere only the middle is asked: that it is wrong here too is no second mistake.
    sound = not (_ends(walk) or _length(walk) or _angle(walk))
    for nearly, factor in ((0.0, 1.0), (1e-9, 1.0), (0.0, 2.0)):
        end = factor * start + nearly * normal(ROWS, LATENTS, seed=3)
        for weight, tolerance in ((0.5, 1e-3), (0.4, 1e-5))[: 1 + sound]:
            found = _walk(walk, (start, end), weight)
            if not bool(found.isfinite().all()):
                return (
                    "where Ω is 0 it divides 0 by 0: clamp the cosine to [−1, 1], and take the straight line where "
                    "sin Ω is tiny (torch.where)."
                )
            if not close(_sound(walk, (start, end), weight), (1 - weight) * start + weight * end, tolerance):
                return "where both ends point one way, half-way is not in their middle: take the straight line there."
    mixed = torch.cat((start[:1], _on_sphere()[1][1:]))
    if sound and not close(_walk(walk, (start, mixed), 0.4), torch.cat((start[:1], _arc(start, mixed, 0.4)[1:]))):
        return "one pair in one direction, and others in two: decide row by row, with torch.where."
    many = normal(100, LATENTS, seed=4)  # of so many some cosines are rounded beyond ±1
    for sign, what in (
        (-1, "opposite ends give NaN: rounding takes the cosine below −1"),
        (1, "a cosine is above 1"),
    ):
        if not bool(_walk(walk, (many, sign * many), 0.5).isfinite().all()):
            return f"{what}; clamp it to [−1, 1]."
    return None


def _groups(*counts: int) -> tuple[Tensor, ...]:
    # Far out, so that a limit shows.
    return tuple(200 * normal(count, LATENTS, seed=10 + i) + i for i, count in enumerate(counts))


def _sum(combine: Function, groups: tuple[Tensor, ...]) -> Tensor:
    """The sum as (M,), also of a function that leaves a dimension of one."""
    found = as_tensor(combine(*(group.clone() for group in groups)), "the sum").detach()
    return found[0] if found.shape == (1, LATENTS) else found


def _one_latent(combine: Function) -> str | None:
    found = as_tensor(combine(*_groups(3, 3, 3)), "the sum")
    if found.shape == (LATENTS,):
        return None
    if found.shape == (3, LATENTS):
        return f"it has {tuple(found.shape)}, a sum for each exemplar: first take each group's mean, .mean(0)."
    return f"for groups of {(3, LATENTS)} it should be {(LATENTS,)}, not {tuple(found.shape)}: .mean(0)."


def _mistakes(groups: tuple[Tensor, ...]) -> list[Mistake]:
    a, b, c = (group.mean(0) for group in groups)
    return [
        (lambda: a + b - c, "that is a + b − c: subtract the second group and add the third."),
        (lambda: a - b - c, "that is a − b − c: add the third group."),
        (lambda: b - a + c, "it goes the other way: a − b adds what a has and b lacks."),
        (lambda: a - b, "the third group, to which the difference is added, is missing."),
        (lambda: a + b + c, "all three are added: the second is taken away."),
    ]


def _single(combine: Function) -> str | None:
    for scale in (1, 0.001):  # what is added to small ones shows
        groups = tuple(scale * group for group in _groups(1, 1, 1))
        expected = (groups[0] - groups[1] + groups[2])[0]
        said = "it should be a − b + c, unscaled."
        if hint := explain(_sum(combine, groups), expected, _mistakes(groups), said):
            return hint
    return None


def _means(combine: Function) -> str | Hint | None:
    """Whatever a function makes of single exemplars, of many it must make the same of their means."""
    for counts in ((3, 3, 3), (2, 5, 4), (6, 4, 9)):
        groups, sizes = _groups(*counts), ", ".join(map(str, counts))
        try:
            found = _sum(combine, groups)
        except (RuntimeError, ValueError):
            if len(set(counts)) == 1:
                raise
            where = f"groups of {sizes} exemplars stop it with an error."
            return Hint(where, "groups may have different sizes, so average each group by itself first.", ".mean(0)")
        expected = _sum(combine, tuple(group.mean(0, keepdim=True) for group in groups))
        if found.shape == expected.shape and close(found, expected):
            continue
        if close(found, _sum(combine, tuple(group[:1] for group in groups))):
            return "only the first exemplar of each group counts."
        ways = product(*((group.mean(0, keepdim=True), group.sum(0, keepdim=True)) for group in groups))
        added = any(close(found, _sum(combine, way)) for way in ways)
        why = "the exemplars of a group are added up, not averaged." if added else ""
        return Hint(f"groups of {sizes} exemplars do not give what their means give.", why, ".mean(0) of each.")
    return None


def _typical(combine: Function) -> str | None:
    """With k exemplars a group the sum has variance 3/k: at 3 that of the prior."""
    groups = normal(3, 3, 400, LATENTS, seed=20)
    variance = torch.stack([_sum(combine, tuple(groups[:, :, i])) for i in range(400)]).square().mean().item()
    if abs(variance - 1) < 0.15:
        return None
    return (
        f"three exemplars a group should give variance 3/3 = 1 per number, as a latent drawn from the prior has; "
        f"here it is {variance:.2f}."
    )
