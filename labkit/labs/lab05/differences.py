"""Check of the points of Higgins' metric: mean |z1 − z2| over pairs that share the value of one factor."""

import numpy as np
import torch
from torch import Tensor

from labkit.checking import Function, Missed, Property, as_tensor, evaluate, no_nan, normal, untouched, weak

ROWS, FACTORS, LEVELS = 600, 3, 4
POINTS, PAIRS = 150, 40
CANCEL = "positive and negative differences cancel: take absolute values."
NEAR = 0.08  # a mean over 6,000 pairs is then known to a fifth of this


def difference_points(function: Function) -> list[Property]:
    """Properties of (codes (N, D), levels (N, F), factor, points, pairs, seed) → mean differences (points, D).

    Higgins et al., "β-VAE", ICLR 2017, section 3.

    Args:
        function: the student's; codes and levels are arrays, `factor` the column of levels that a pair shares.
    """

    def drawn(codes: np.ndarray, levels: np.ndarray, *numbers: int) -> Tensor:
        return no_nan(as_tensor(function(codes.copy(), levels.copy(), *numbers), "the result").detach())

    def points(codes: np.ndarray, factor: int = 0, count: int = POINTS, pairs: int = PAIRS, seed: int = 0) -> Tensor:
        found = drawn(codes, _levels(), factor, count, pairs, seed)
        if found.shape != (count, codes.shape[1]):
            raise Missed("the result has not the right shape, see above.")
        return found

    return evaluate(
        {
            "one row per point, one column per latent": weak(lambda: _shape(drawn)),
            "a latent that holds the fixed factor differs by 0, the others do not": lambda: _held(points),
            "it is the mean of absolute differences": lambda: _mean(points) or _any_row(drawn, points),
            "each pair shares its own value": lambda: _own_value(points),
            "more pairs make points scatter less": weak(lambda: _scatter(points)),
            "the seed decides what is drawn": weak(lambda: _seed(points)),
            "codes and levels stay as they were": weak(
                lambda: untouched(
                    [normal(ROWS, 2, seed=7).numpy(), _levels()], lambda *both: function(*both, 1, 3, 4, 0)
                )
            ),
        }
    )


def _levels() -> np.ndarray:
    """int64 (N, F): each factor's levels, some rarer than others, in a random order."""
    rank = normal(ROWS, FACTORS, seed=1).argsort(0).argsort(0) / ROWS
    return sum((rank >= limit).long() for limit in (0.4, 0.7, 0.9)).numpy()


def _shape(drawn: Function) -> str | None:
    codes = normal(ROWS, 2, seed=2).numpy()
    got = drawn(codes, _levels(), 0, 5, 7, 0)
    known = {
        (5, 7, 2): "the differences of the pairs are still apart: take their mean over the pairs.",
        (7, 2): "there is a row per pair: average over the pairs, and make as many points as asked for.",
        (5,): "there is one number per point: average over the pairs only, not over the latents.",
        (5, 7): "average over the pairs only, not over the latents.",
        (2, 5): "rows and columns have changed places.",
        (2,): "there is one point only: make as many as asked for.",
    }
    if got.shape == (5, 2):
        return None
    return known.get(tuple(got.shape), f"5 points of 2 latents should be (5, 2), not {tuple(got.shape)}.")


def _held(points: Function) -> str | None:
    for factor in range(FACTORS):
        got = points(_levels().astype(float), factor)
        still = [column for column in range(FACTORS) if not bool(got[:, column].any())]
        if still == [factor]:
            continue
        if not still:
            return "the fixed factor differs within pairs: the second of a pair must share its value."
        if factor not in still and len(still) == FACTORS - 1:
            return "the others are fixed and this one is free: it is the other way round."
        if len(still) == FACTORS:
            return "nothing differs: the two of a pair must be different rows, with all other factors free."
        if factor not in still:
            return f"with factor = {factor} column {still[0]} of levels is fixed: use levels[:, factor]."
        return "another factor does not differ either: leave all but the fixed one free."
    return None


def _mean(points: Function) -> str | None:
    levels = _levels()[:, 0]
    # Wider at one level: else the mean would not show how often each level comes; and too wide for 16 bits.
    codes = normal(ROWS, 2, seed=3).numpy() * [1.0, 3e5] * (1 + 4 * (levels == 0))[:, None]
    apart = [codes[levels == k][:, None] - codes[levels == k][None] for k in range(LEVELS)]
    often = [(levels == k).mean() for k in range(LEVELS)]  # the first of a pair is any row
    right = np.average([np.abs(each).mean((0, 1)) for each in apart], 0, often)
    alike = np.mean([np.abs(each).mean((0, 1)) for each in apart], 0)
    squared = np.average([(each**2).mean((0, 1)) for each in apart], 0, often)
    drawn = points(codes)
    if hint := _alike(drawn):
        return hint
    got = drawn.mean(0).numpy()
    mistakes = [
        (alike, "each level comes equally often: draw the first of a pair from all rows."),
        (right * PAIRS, "the differences are added up: take the mean over the pairs."),
        (squared, "the differences are squared: the metric takes absolute values."),
        (np.sqrt(squared), "that is a root mean square: the metric takes absolute values."),
    ]
    if np.abs(got / right - 1).max() < NEAR:
        return None
    for wrong, hint in mistakes:
        if np.abs(got / wrong - 1).max() < NEAR:
            return hint
    if np.abs(got / right).max() < 0.05:
        return CANCEL
    if np.abs(got / right).max() < 0.5:
        return "the absolute value comes before the mean: np.abs(z1 − z2).mean, not the reverse."
    off = int(np.abs(got / right - 1).argmax())
    return f"over many pairs latent {off} should differ by {right[off]:.5g}, and differs by {got[off]:.5g}."


def _any_row(drawn: Function, points: Function) -> str | None:
    """Each pair and each row counts as often as any other, and the order of the rows does not matter."""
    levels, codes = _levels()[:, 0], np.arange(ROWS)[:, None] / ROWS
    apart = [np.abs(codes[levels == k] - codes[levels == k].T).mean() for k in range(LEVELS)]
    right = np.average(apart, weights=[(levels == k).mean() for k in range(LEVELS)])
    # Few pairs, so that one too many shows.
    late = (codes >= 5 / 6).astype(float)
    got = points(np.hstack([codes, -codes, late]), count=POINTS * PAIRS // 2, pairs=2)
    if not torch.allclose(got[:, 0], got[:, 1], rtol=1e-4):
        return "a latent and its negative differ by other amounts: take absolute values."
    ratio = got[:, :2].mean().item() / right
    if any(abs(ratio / wrong - 1) < NEAR for wrong in (1 / 2, 2 / 3, 2)):
        return f"with pairs = 2 the mean is {ratio:.2f} times the right one: add up all pairs, divide by `pairs`."
    if abs(ratio - 1) > NEAR:
        return "the order of the rows counts: the second of a pair is any row of the level, not its first or next."
    parts = [late[levels == k].mean() for k in range(LEVELS)]
    differ = np.average(
        [2 * part * (1 - part) for part in parts], weights=[(levels == k).mean() for k in range(LEVELS)]
    )
    if abs(got[:, 2].mean().item() / differ - 1) > 2 * NEAR:
        return "the last rows come too seldom or too often: draw from all of them."
    # Four rows in each of two levels, and two in each of six.
    for few in (np.array([0, 1, 0, 0, 1, 0, 1, 1]), np.array([0, 1, 2, 3, 4, 5, 5, 4, 3, 1, 0, 2])):
        count = len(few)
        often = drawn(np.eye(count), few[:, None], 0, POINTS * PAIRS // 2, 2, 0).mean(0)
        # A pair of a row with itself counts for nothing, and may be left out.
        least = 0.8 * 2 / count * (1 - (few.max() + 1) / count)
        seldom = [row for row, share in enumerate(often.tolist()) if share < least]
        if seldom:
            return f"of {count} rows row {seldom[0]} comes too seldom: draw from all rows, the last one as well."
    return None


def _own_value(points: Function) -> str | None:
    level = _levels()[:, 0]
    codes = (normal(ROWS, 1, seed=4) * torch.tensor(level[:, None] == range(2))).numpy()  # each varies in one level
    got = points(codes, count=400)[:, 0]
    if hint := _alike(got):
        return hint
    if bool((got < 0).any()):
        return CANCEL
    if not (got.mean() > 0 and got.std() / got.mean() < 0.6):
        return "all pairs of a point share one value: draw the shared value anew for each pair."
    if bool((points(codes, count=400, pairs=1) > 0).all(1).any()) and _held(points) is None:
        return "of one pair two latents differ that cannot both: a point's latents are those of the same pairs."
    return None


def _scatter(points: Function) -> str | None:
    codes = normal(ROWS, 1, seed=5).numpy()
    # Counted from one pair, where one too many or too few shows.
    one, two, many = (points(codes, count=count, pairs=p)[:, 0] for p, count in ((1, 6000), (2, 6000), (16, 1000)))
    if hint := _alike(many):
        return hint
    one, two, many = (each.std() for each in (one, two, many))
    if not 3.4 < one / many < 4.7:
        return (
            f"with 16 times the pairs points should scatter a quarter as much, not {many / one:.2f} times: draw "
            "`pairs` pairs for each point, with the same chance for every row."
        )
    if abs(one / two / 2**0.5 - 1) > 0.1:  # known to 1.5 %
        return f"with 2 pairs points should scatter 0.71 times as much as with 1, not {two / one:.2f}: draw `pairs`."
    return None


def _seed(points: Function) -> str | None:
    codes = normal(ROWS, 2, seed=6).numpy()
    one, again, *others = (points(codes, seed=seed) for seed in (1, 1, 2, 3))
    if not torch.equal(one, again):
        return "one seed gives two results: draw everything from np.random.default_rng(seed)."
    if any(torch.equal(*pair) for pair in ((one, others[0]), (one, others[1]), others)):
        return "another seed gives the same points: make the generator from the seed."
    return _alike(one)


def _alike(points: Tensor) -> str | None:
    """That the generator was made anew for each point, and so drew the same."""
    if not points.any() or not bool((points == points[:1]).all()):
        return None
    return "all points are alike: make the generator once, before the loop, and draw each point anew."
