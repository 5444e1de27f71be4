"""Checks of Wilson's interval (1927) and of weights that balance the groups of a training set."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from labkit.checking import (
    Hint,
    Missed,
    Property,
    as_tensor,
    close,
    evaluate,
    no_nan,
    normal,
    results,
    untouched,
    weak,
)

GROUPS, PEOPLE, MOST_SHOTS, ALBUM = 3, 160, 6, 300
RARE, FEW = 0.02, 100  # a group's share, and images seen of all
Function = Callable[..., Any]
# Of Wilson's root, without its second term, and with four times as much of it.
ROOTS = (
    "under the root z²/4n² is left out, which keeps the interval wide where none or all were seen.",
    "under the root stands z²/n² where z²/4n² belongs.",
)
Limits = tuple[Tensor, Tensor]
SWAPPED = "the first limit lies above the second: return low, high."
SQUARE = "in the score interval p(1 − p) stands at the limit p itself, not at the share seen"


def wilson_interval(limits: Function) -> list[Property]:
    """Properties of a function (count, total, z) → (low, high), the limits of a share.

    Args:
        limits: the student's function, for numbers and for arrays (N,) of counts.
    """
    return evaluate(
        {
            "two limits, the lower one first": weak(lambda: _two(limits)),
            "none and all of the total leave room on one side": lambda: _edges(limits),
            "each limit is z standard errors from the share, by its own spread": lambda: _score(limits),
            "z is the one handed in": lambda: _z(limits),
            "arrays of counts get arrays of limits": weak(lambda: _arrays(limits)),
            "95 of 100 intervals hold a rare group's share": lambda: _coverage(limits),
        }
    )


def balancing_weights(weigh: Function) -> list[Property]:
    """Properties of a function (group (N,), person (N,)) → probabilities (N,) to draw each image with.

    Args:
        weigh: the student's function; groups and people come as whole numbers, and a person is in one group.
    """
    return evaluate(
        {
            "a probability for each image, of sum 1": weak(lambda: _probabilities(weigh)),
            "nobody is lost": weak(lambda: _nobody_lost(weigh)),
            "each group is drawn as often as each other": lambda: _groups_equal(weigh),
            "within a group each person counts the same": lambda: _people_equal(weigh),
            "a person's images share evenly": weak(lambda: _shots_equal(weigh)),
            "groups and people stay as they were": weak(lambda: untouched(_faces(), weigh)),
        }
    )


def _limits(limits: Function, count: Any, total: Any, z: float) -> Limits:
    found = limits(count, total, z)
    if found is None:
        raise Missed("it returns None: end with return low, high.")
    low, high = results(found, "the lower limit", "the upper limit")
    return no_nan(low), no_nan(high)


def _cases() -> list[tuple[int, int, float]]:
    """Counts inside their totals, and a z each; in the last z² is more than the total."""
    numbers = normal(5, 3, seed=1).abs()
    totals = [20 + int(40 * row[0]) for row in numbers]
    counts = [1 + int((total - 2) * float(row[1].tanh())) for row, total in zip(numbers, totals, strict=True)]
    usual = ((c, n, 1 + float(row[2])) for c, n, row in zip(counts, totals, numbers, strict=True))
    return [*usual, (60_000, 130_000, 2.0), (1, 3, 4.0)]


def _two(limits: Function) -> str | None:
    for count, total, z in _cases():
        low, high = _limits(limits, count, total, z)
        if low.numel() != 1 or high.numel() != 1:
            return f"for one count each limit should be one number, not of shape {tuple(low.shape)}."
        if bool(low > high):
            return SWAPPED
        share = count / total
        if not float(low) <= share <= float(high):
            return (
                f"{count} of {total} were seen, but the limits are {float(low):.3g} and {float(high):.3g}: "
                "they are limits of a share, and the share seen lies between them."
            )
    return None


def _edges(limits: Function) -> str | Hint | None:
    total, z = 10 + int(30 * normal(1, seed=2).abs()), 1.96
    room = z**2 / (total + z**2)
    for count, wanted in ((0, (0.0, room)), (total, (1 - room, 1.0))):
        low, high = (float(limit) for limit in _limits(limits, count, total, z))
        if high < low - 1e-9:
            return SWAPPED
        named = _mistake(count, total, z, low, high)
        if named in ROOTS:
            return Hint(
                f"{count} of {total} gives {low:.3f} to {high:.3f}, not {wanted[0]:.3f} to {wanted[1]:.3f}.", named
            )
        if high - low < 1e-9:
            return (
                f"{count} of {total} gives an interval of width 0, as if {total} images could prove that a group "
                f"never occurs: {SQUARE}."
            )
        if low < -1e-9 or high > 1 + 1e-9:
            return f"{count} of {total} gives {low:.3f} to {high:.3f}, and a share lies between 0 and 1."
        if abs(low - wanted[0]) > 1e-6 or abs(high - wanted[1]) > 1e-6:
            return (
                f"{count} of {total} should give {wanted[0]:.3f} to {wanted[1]:.3f} at z = {z}, "
                f"not {low:.3f} to {high:.3f}."
            )
    return None


def _known(count: int, total: int, z: float) -> dict[str, tuple[float, float]]:
    """Limits of common mistakes."""
    share, weight = count / total, z**2 / total
    half = z * math.sqrt(share * (1 - share) / total)
    inner = math.sqrt(weight * (share * (1 - share) + weight / 4))
    middle = share + weight / 2
    roots = (math.sqrt(weight * (share * (1 - share) + part * weight)) for part in (0, 1))
    return {
        f"this is the plain interval share ± z √(share (1 − share)/n): {SQUARE}.": (
            share - half,
            share + half,
        ),
        "the whole is not divided by 1 + z²/n.": (middle - inner, middle + inner),
        "its middle is the share seen: it moves towards ½, by z²/2n, before all is divided by 1 + z²/n.": (
            share - inner / (1 + weight),
            share + inner / (1 + weight),
        ),
    } | {
        hint: ((middle - root) / (1 + weight), (middle + root) / (1 + weight))
        for hint, root in zip(ROOTS, roots, strict=True)
    }


def _mistake(count: int, total: int, z: float, low: float, high: float) -> str:
    """What to say of the common mistake that gives these limits; empty if there is none."""
    for hint, mistake in _known(count, total, z).items():
        if max(abs(low - mistake[0]), abs(high - mistake[1])) < 1e-6:
            return hint
    return ""


def _score(limits: Function) -> str | None:
    for count, total, z in _cases():
        found = _limits(limits, count, total, z)
        low, high = (float(limit.sum()) for limit in found)
        off = [abs(count / total - p) - z * math.sqrt(max(p * (1 - p), 0) / total) for p in (low, high)]
        if max(map(abs, off)) < 1e-6:
            continue
        if hint := _mistake(count, total, z, low, high):
            return hint
        if _other_z(count, total, low, high):
            continue  # an interval of another z than the one handed in: that has a property of its own
        return f"for {count} of {total} at z = {z:.2f} the limit {low:.4f} or {high:.4f} is off: {SQUARE}."
    return None


def _distance(count: int, total: int, limit: float) -> float:
    """Standard errors, by the limit's own spread, from the share seen to a limit in (0, 1)."""
    return abs(count / total - limit) / math.sqrt(limit * (1 - limit) / total)


def _other_z(count: int, total: int, low: float, high: float) -> bool:
    """Whether both limits are Wilson's for one z, whichever."""
    if not 0 < low < high < 1:
        return False
    return abs(_distance(count, total, low) - _distance(count, total, high)) < 1e-5


def _z(limits: Function) -> str | Hint | None:
    found = next((hint for i in (0, -1, -2) if (hint := _z_of(limits, *_cases()[i][:2]))), None)
    named = _edges(limits) if found else None  # a wrong root grows in a wrong way with z, too
    return named if isinstance(named, Hint) else found


def _z_of(limits: Function, count: int, total: int) -> str | None:
    found = {z: tuple(float(x.sum()) for x in _limits(limits, count, total, z)) for z in (1.0, 2.5)}
    widths = [high - low for low, high in found.values()]
    if abs(widths[1] - widths[0]) < 1e-9:
        return "the interval is as wide at z = 1 as at z = 2.5: use the argument z, not 1.96."
    if max(widths) < 0:
        return SWAPPED
    if widths[1] < 1.2 * widths[0]:
        return "a larger z should give a wider interval: z stands in front of the root."
    for z, (low, high) in found.items():
        if _other_z(count, total, low, high) and abs(_distance(count, total, low) - z) > 1e-4:
            other = _distance(count, total, low)
            return f"at z = {z:g} it gives the interval of z = {other:.3g}: check where z is squared."
    return None


def _arrays(limits: Function) -> str | Hint | None:
    counts, totals = np.array([0, 1, 20, 60_000]), np.array([20, 25, 20, 130_000])
    try:
        low, high = _limits(limits, counts.copy(), totals.copy(), 1.5)
    except TypeError as error:
        where = f"four counts at once give a TypeError: {error}."
        return Hint(where, "what works on one number, as the module math does, does not on arrays.", "np.sqrt")
    if low.shape != (4,) or high.shape != (4,):
        return f"for arrays of four counts each limit should be (4,), not {tuple(low.shape)}: np.sqrt, not math.sqrt."
    one_by_one = [_limits(limits, int(c), int(n), 1.5) for c, n in zip(counts, totals, strict=True)]
    for got, each in ((low, [pair[0] for pair in one_by_one]), (high, [pair[1] for pair in one_by_one])):
        if not close(got, torch.stack([limit.reshape(()) for limit in each])):
            return "an array of counts gives other limits than the counts one by one."
    return untouched([counts, totals], lambda *both: limits(*both, 1.5))


def _coverage(limits: Function) -> str | None:
    held = 0.0
    for count in range(FEW + 1):
        low, high = _limits(limits, count, FEW, 1.96)
        if bool(low.sum() > high.sum()):
            return SWAPPED
        held += binom.pmf(count, FEW, RARE) * bool(low.sum() <= RARE <= high.sum())
    if 0.93 <= held <= 0.99:
        return None
    kind = "too narrow where a group is rare" if held < 0.93 else "too wide"
    return f"at z = 1.96, of the intervals from {FEW} images {held:.1%} hold a share of {RARE:.0%}: it is {kind}."


def _faces(groups: int = GROUPS) -> tuple[np.ndarray, np.ndarray]:
    """Group and person of each image in disorder: people of 1 to 6 shots, groups of unequal size, odd names.

    Counts and names, one person's album too, are beyond 8 bits, where they would overflow or meet each other.
    """
    numbers = normal(3, PEOPLE, seed=5)
    shots = 1 + (numbers[0].abs() * 2.5).long().clamp(max=MOST_SHOTS - 1).numpy()
    size = numbers[1].argsort().argsort().numpy()
    shots[size == PEOPLE - 1] = ALBUM
    group = np.where(size < 4, 7, np.where(size < 12, 2, 7 + 256))
    group[group == 2] = 7 if groups < GROUPS else 2
    names = 500 + 4 * numbers[2].argsort().numpy()
    order = normal(int(shots.sum()), seed=6).argsort().numpy()
    return np.repeat(group, shots)[order], np.repeat(names, shots)[order]


def _weights(weigh: Function) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of sum 1, also of a function whose sum is another: that has a property of its own."""
    group, person = _faces()
    found = as_tensor(weigh(group.copy(), person.copy()), "the weights").detach().numpy()
    if found.shape != group.shape:
        raise Missed(f"the weights should be ({len(group)},), one per image, not {found.shape}.")
    if np.isnan(found).any():
        raise Missed(f"{np.isnan(found).sum()} of {len(found)} weights are NaN: a quotient 0/0?")
    if not np.isfinite(found).all() or found.min() < 0 or found.sum() <= 0:
        raise Missed("a probability is finite and not negative: did a count overflow a small type of numbers?")
    return found / found.sum(), group, person


def _probabilities(weigh: Function) -> str | None:
    return _sum_of_all(weigh, *_faces()) or _sum_of_all(weigh, *_faces(GROUPS - 1))


def _sum_of_all(weigh: Function, group: np.ndarray, person: np.ndarray) -> str | None:
    total = float(as_tensor(weigh(group.copy(), person.copy()), "the weights").sum())
    _weights(weigh)
    if abs(total - 1) < 1e-6:
        return None
    if abs(total - len(np.unique(group))) < 1e-6:
        return f"they add up to {total:g}, the number of groups: each group has 1 instead of its part of 1."
    return f"they add up to {total:.4g}: divide by the sum."


def _nobody_lost(weigh: Function) -> str | None:
    weights, _, person = _weights(weigh)
    lost = sum(not weights[person == one].any() for one in np.unique(person))
    if lost:
        return f"{lost} of {PEOPLE} people have weight 0 and are never drawn: common people weigh less, not nothing."
    if (weights <= 0).any():
        return f"{int((weights <= 0).sum())} images have weight 0, though other images of these people have not."
    return None


def _totals(weights: np.ndarray, names: np.ndarray) -> np.ndarray:
    return np.array([weights[names == one].sum() for one in np.unique(names)])


def _groups_equal(weigh: Function) -> str | Hint | None:
    weights, group, person = _weights(weigh)
    totals = _totals(weights, group)
    if np.ptp(totals) < 1e-6:
        fewer = _faces(GROUPS - 1)
        found = as_tensor(weigh(*map(np.copy, fewer)), "the weights").detach().numpy()
        if np.ptp(_totals(found / found.sum(), fewer[0])) < 1e-6:
            return None
        return f"it is right of {GROUPS} groups, but not of {GROUPS - 1}: write in no number, and remember nothing."
    shares = np.array([(group == one).mean() for one in np.unique(group)])
    said = ", ".join(f"{total:.2f}" for total in totals)
    people = np.array([len(np.unique(person[group == one])) for one in np.unique(group)])
    for wrong, why in (
        (people, "each person weighs the same in all groups, so the group with more people is drawn more often."),
        (people / shares, "a group's pictures are counted where its people should be."),
    ):
        if np.allclose(totals, wrong / wrong.sum(), atol=1e-6):
            where = f"groups are drawn with {said}, and should be with {1 / GROUPS:.2f} each."
            return Hint(where, why, "1 / (groups · people of the group · images of the person)")
    if np.allclose(totals, shares, atol=1e-6):
        return f"groups are drawn with {said}, as often as they occur: weigh an image by 1 over its group's size."
    if np.corrcoef(totals, shares)[0, 1] > 0.9:
        return f"groups are drawn with {said}: the larger one still more often; divide by the group's size."
    return f"groups are drawn with {said}, and should be with {1 / GROUPS:.2f} each."


def _people_equal(weigh: Function) -> str | None:
    weights, group, person = _weights(weigh)
    for one in np.unique(group):
        totals = _totals(weights[group == one], person[group == one])
        if np.ptp(totals) > 1e-6 * totals.max():
            return (
                f"in one group a person is drawn {totals.max() / max(totals.min(), 1e-12):.1f} times as often as "
                "another: who has more shots counts more; divide by the number of the person's shots, and by that of "
                "the group's people."
            )
    return None


def _shots_equal(weigh: Function) -> str | None:
    weights, _, person = _weights(weigh)
    for one in np.unique(person):
        own = weights[person == one]
        if np.ptp(own) > 1e-6 * own.max():
            return "two images of one person weigh differently: do not keep only the first one."
    return None
