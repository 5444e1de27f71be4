"""Lab 05's check of the points of Higgins' metric, on right and wrong solutions."""

import numpy as np
import pytest

from labkit.labs import lab05

SHAPE, HELD, MEAN, OWN, SCATTER, SEED, STAY = (
    "one row per point, one column per latent",
    "a latent that holds the fixed factor differs by 0, the others do not",
    "it is the mean of absolute differences",
    "each pair shares its own value",
    "more pairs make points scatter less",
    "the seed decides what is drawn",
    "codes and levels stay as they were",
)


def drawn_pairs(levels, factor, points, pairs, seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(len(levels), size=(points, pairs))
    second, column = np.empty_like(first), levels[:, factor]
    for value in np.unique(column):
        wanted = column[first] == value
        second[wanted] = rng.choice(np.flatnonzero(column == value), wanted.sum())
    return first, second


def solution(summarise=lambda d: np.abs(d).mean(1), pairs_of=drawn_pairs):
    def difference_points(codes, levels, factor, points, pairs, seed):
        first, second = pairs_of(levels, factor, points, pairs, seed)
        return summarise(codes[first] - codes[second])

    return difference_points


def by_loops(codes, levels, factor, points, pairs, seed, uniform=False):
    rng = np.random.default_rng(seed)
    column, rows = levels[:, factor], []
    fellows = {value: np.flatnonzero(column == value) for value in np.unique(column)}
    for _ in range(points):
        total = np.zeros(codes.shape[1])
        for _ in range(pairs):
            one = rng.choice(fellows[rng.choice(list(fellows))]) if uniform else rng.integers(len(column))
            total += abs(codes[one] - codes[rng.choice(fellows[column[one]])])
        rows.append(total / pairs)
    return rows


def one_value(levels, factor, points, pairs, seed):
    rng, column = np.random.default_rng(seed), levels[:, factor]
    rows = [np.flatnonzero(column == column[rng.integers(len(column))]) for _ in range(points)]
    return tuple(np.stack([rng.choice(here, pairs) for here in rows]) for _ in range(2))


def nothing_fixed(levels, factor, points, pairs, seed):
    return np.random.default_rng(seed).integers(len(levels), size=(2, points, pairs))


def rest_fixed(levels, factor, points, pairs, seed):
    rest = np.delete(levels, factor, 1)
    _, alike = np.unique(rest, axis=0, return_inverse=True)
    return drawn_pairs(alike.reshape(-1, 1), 0, points, pairs, seed)


def identical(levels, factor, points, pairs, seed):
    first = nothing_fixed(levels, factor, points, pairs, seed)[0]
    return first, first


def next_row(levels, factor, points, pairs, seed):
    first = nothing_fixed(levels, factor, points, pairs, seed)[0]
    column = levels[:, factor]
    after = np.empty(len(column), int)
    for value in np.unique(column):
        rows = np.flatnonzero(column == value)
        after[rows] = np.roll(rows, -1)
    return first, after[first]


def but_the_last(levels, factor, points, pairs, seed):
    first = np.random.default_rng(seed).integers(len(levels) - 1, size=(points, pairs))
    _, second = drawn_pairs(levels, factor, points, pairs, seed)
    for value in np.unique(levels[:, factor]):
        wanted = levels[first, factor] == value
        rows = np.flatnonzero(levels[:, factor] == value)
        second[wanted] = np.random.default_rng(seed + 1).choice(rows, wanted.sum())
    return first, second


def never_itself(levels, factor, points, pairs, seed):
    rng, column = np.random.default_rng(seed), levels[:, factor]
    first = rng.integers(len(column), size=(points, pairs))
    alike = (column[:, None] == column) & ~np.eye(len(column), dtype=bool)
    return first, np.where(alike[first], rng.random((points, pairs, len(column))), -1).argmax(-1)


RIGHT = {"arrays": (solution(),), "loops": (by_loops,), "never itself": (solution(pairs_of=never_itself),)}


def centred(codes, levels, *rest):
    codes -= codes.mean(0)
    return solution()(codes, levels, *rest)


def alike(codes, levels, factor, points, *rest):
    return np.repeat(solution()(codes, levels, factor, 1, *rest), points, 0)


ALL = (SHAPE, HELD, MEAN, OWN, SCATTER, SEED)
WRONG = {
    "levels drawn uniformly": ((lambda *given: by_loops(*given, uniform=True),), {MEAN: "equally often"}),
    "squared": ((solution(lambda d: (d**2).mean(1)),), {MEAN: "squared"}),
    "added up": ((solution(lambda d: np.abs(d).sum(1)),), {MEAN: "added up", SCATTER: "quarter"}),
    "signed": (
        (solution(lambda d: d.mean(1)),),
        {MEAN: "cancel", OWN: "cancel"},
    ),
    "absolute value last": ((solution(lambda d: np.abs(d.mean(1))),), {MEAN: "before the mean", OWN: "anew"}),
    "one value for a point": ((solution(pairs_of=one_value),), {OWN: "anew for each pair"}),
    "the next row": ((solution(pairs_of=next_row),), {MEAN: "order of the rows"}),
    "all but the last row": ((solution(pairs_of=but_the_last),), {MEAN: "row 7 comes too seldom"}),
    "one pair too few": (
        (solution(lambda d: np.abs(d[:, 1:]).sum(1) / d.shape[1]),),
        {MEAN: "add up all pairs", SCATTER: "quarter"},
    ),
    "divided by one too many": (
        (solution(lambda d: np.abs(d).sum(1) / (d.shape[1] + 1)),),
        {MEAN: "divide by `pairs`", SCATTER: "quarter"},
    ),
    "positive differences": ((solution(lambda d: 2 * d.clip(0).mean(1)),), {MEAN: "and its negative"}),
    "a generator for each point": ((alike,), dict.fromkeys((MEAN, OWN, SCATTER, SEED), "before the loop")),
    "nothing fixed": ((solution(pairs_of=nothing_fixed),), {HELD: "share its value", MEAN: "over many pairs"}),
    "all but one fixed": (
        (solution(pairs_of=rest_fixed),),
        {HELD: "the other way round"},
    ),
    "always the first factor": (
        (lambda codes, levels, factor, *rest: solution()(codes, levels, 0, *rest),),
        {HELD: "levels[:, factor]"},
    ),
    "a row with itself": (
        (solution(pairs_of=identical),),
        {HELD: "nothing differs", MEAN: "cancel", OWN: "anew", SCATTER: "quarter", SEED: "same points"},
    ),
    "pairs not averaged": (
        (solution(np.abs),),
        {SHAPE: "over the pairs"} | dict.fromkeys((HELD, MEAN, OWN, SCATTER, SEED), "right shape"),
    ),
    "pairs ignored": (
        (lambda codes, levels, factor, points, pairs, seed: solution()(codes, levels, factor, points, 1, seed),),
        {OWN: "anew", SCATTER: "quarter"},
    ),
    "seed ignored": (
        (lambda codes, levels, factor, points, pairs, seed: solution()(codes, levels, factor, points, pairs, 0),),
        {SEED: "from the seed"},
    ),
    "centred in place": ((centred,), {STAY: "writes into"}),
    "no return": ((lambda *a: None,), dict.fromkeys(ALL, "return")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab05.difference_points, right)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab05.difference_points, *WRONG[name])


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab05.difference_points, arguments=1)
    prove.complete(lab05.difference_points, RIGHT, WRONG)
