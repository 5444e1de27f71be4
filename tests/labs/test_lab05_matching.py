"""Lab 05's check of the rule that matches factors to latents, on right and wrong solutions."""

import numpy as np
import pytest
import torch

from labkit.labs import lab05

BOTH, LATENT, ONE, TABLE = (
    "a latent and a yes or no for each factor",
    "the latent is the one that explains most of the factor",
    "one factor is matched, or not, as the rule says",
    "so is each factor of a large table",
)


def ranked(explained):
    latent = explained.argmax(0)
    return latent, *np.sort(explained, axis=0)[[-1, -2]]


def rule(half=0.5, times=2.0, own=True, strict=False):
    def match(explained):
        latent, first, second = ranked(explained)
        best = explained[latent].max(1) if own else 0 * first
        if strict:
            return latent, (first > half) & (first >= times * second) & (first >= best)
        return latent, (first >= half) & (first >= times * second) & (first >= best)

    return match


def by_loops(explained):
    latents, matched = [], []
    for factor in range(explained.shape[1]):
        column = list(explained[:, factor])
        latent = column.index(max(column))
        others = column[:latent] + column[latent + 1 :]
        own = all(column[latent] >= value for value in explained[latent])
        latents.append(latent)
        matched.append(column[latent] >= 0.5 and max(others) <= column[latent] / 2 and own)
    return latents, matched


def by_torch(explained):
    table = torch.as_tensor(explained)
    first, second = table.topk(2, dim=0).values
    latent = table.argmax(0)
    return latent, (first >= 0.5) & (second <= first / 2) & (first == table[latent].max(1).values)


def rows_for_columns(explained):
    return rule()(explained.T)


def column_again(explained):
    latent, first, second = ranked(explained)
    return latent, (first >= 0.5) & (first >= 2 * second) & (first >= explained.max(0))


def least(explained):
    return explained.argmin(0), rule()(explained)[1]


def first_two_rows(explained):
    latent, first, _ = ranked(explained)
    second = np.minimum(explained[0], explained[1])
    return latent, (first >= 2 * second) & rule(times=0)(explained)[1]


RIGHT = {"numpy": (rule(),), "loops": (by_loops,), "torch": (by_torch,)}
WRONG = {
    "no half": ((rule(half=0.0),), {ONE: "at least half", TABLE: ""}),
    "more than half": ((rule(strict=True),), {ONE: "half is enough"}),
    "merely more": ((rule(times=1.0),), {ONE: "twice as much", TABLE: ""}),
    "not its own": ((rule(own=False),), {ONE: "that one's", TABLE: ""}),
    "its column for its row": ((column_again,), {ONE: "that one's", TABLE: ""}),
    "rows for columns": ((rows_for_columns,), {BOTH: "latents are rows", **dict.fromkeys((LATENT, ONE, TABLE), "")}),
    "the least": ((least,), {LATENT: "explains least"}),
    "two rows alone": ((first_two_rows,), {ONE: "wherever it stands", TABLE: ""}),
    "the matches alone": ((lambda e: rule()(e)[1],), dict.fromkeys((BOTH, LATENT, ONE, TABLE), "two things")),
}


@pytest.mark.parametrize("right", RIGHT.values(), ids=list(RIGHT))
def test_right_solution_has_every_property(prove, right):
    prove.right(lab05.match_factors, right)


@pytest.mark.parametrize("case", WRONG.values(), ids=list(WRONG))
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, case):
    prove.wrong(lab05.match_factors, *case)


def test_stub_fails_cleanly_and_every_property_can_be_missed(prove):
    prove.stub(lab05.match_factors, arguments=1)
    prove.complete(lab05.match_factors, RIGHT, WRONG)
