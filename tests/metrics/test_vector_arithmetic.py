"""Vector arithmetic: in a world whose features are latents every sum arrives, alone; in a deaf one none does."""

import numpy as np
import pandas as pd
import pytest
import torch

from labkit.errors import LabkitError
from labkit.metrics.vector_arithmetic import KINDS, Pool, choose, groups, independent, measure, success

NAMES = ("glasses", "smile", "beard", "hair")
MEAN, ONE, RANDOM = KINDS


def add(a, b, c):
    return a.mean(0) - b.mean(0) + c.mean(0)


def world(tied=False, n=3000, seed=0):
    """A pool of four latents that are the features; or whose hair is a copy of the glasses, the other way round."""
    z = torch.randn(n, len(NAMES), generator=torch.Generator().manual_seed(seed))
    mixing = torch.eye(4)
    if tied:
        mixing[:, 3] = -mixing[:, 0]

    def read(images):
        return images

    def draw(z):
        return (z @ mixing).numpy()

    return Pool(z, draw(z), NAMES), draw, read


def sums_of(pool, draw, read, pair=("glasses", "smile"), count=60, combine=add):
    return success(measure(pool, pair, choose(pool, *pair, count), combine, draw, read), ["kind"])


def test_groups_are_what_they_are_called():
    pool, _, _ = world()
    found = groups(pool, "glasses", "smile")
    glasses, smile = pool.readings[:, 0], pool.readings[:, 1]
    assert glasses[found["both"]].min() > pool.middle("glasses") > glasses[found["context"]].max()
    assert smile[found["both"]].min() > pool.middle("smile") > smile[found["neither"]].max()
    assert smile[found["context"]].min() > 0 > glasses[found["neither"]].max()
    assert min(map(len, found.values())) > 20


def test_where_features_are_latents_every_sum_arrives_and_random_ones_do_not():
    table = sums_of(*world())
    assert table.arrived[MEAN] > 0.95 and table.stayed[MEAN] > 0.95
    assert table.arrived[RANDOM] < 0.3 and table.low[MEAN] > table.high[RANDOM]
    assert abs(table.move[RANDOM]) < 0.5 < 2 < table.move[MEAN]
    assert table.others[MEAN] < table.move[MEAN] / 2 and table.alone[MEAN] > 0.8
    assert (table.before == 0).all() and (table.sums == 60).all()


def test_one_exemplar_moves_the_others_more_than_the_mean_of_three():
    table = sums_of(*world())
    assert table.others[ONE] > 1.2 * table.others[MEAN]


def test_a_tied_feature_moves_along_and_costs_being_alone():
    table = sums_of(*world(tied=True))
    assert table.arrived[MEAN] > 0.95 and table.alone[MEAN] == 0
    assert table.others[MEAN] > 1.5 * sums_of(*world()).others[MEAN]


def test_the_sum_the_wrong_way_round_moves_the_target_back():
    table = sums_of(*world(), combine=lambda a, b, c: add(b, a, c))
    assert table.move[MEAN] < -2 and table.arrived[MEAN] == 0


def test_a_reader_that_always_says_the_same_sees_nothing_move():
    pool, draw, read = world()
    chosen = choose(pool, "glasses", "smile", 20)
    found = measure(pool, ("glasses", "smile"), chosen, add, draw, lambda x: read(x) * 0)
    assert not found.move.any() and not found.alone.any()


def test_movement_has_no_unit():
    pool, draw, read = world()
    scaled = Pool(pool.z, pool.readings * [1, 10, 0.1, 5], NAMES)
    chosen = choose(pool, "glasses", "smile", 20)
    one = measure(pool, ("glasses", "smile"), chosen, add, draw, read)
    other = measure(scaled, ("glasses", "smile"), chosen, add, draw, lambda x: read(x) * [1, 10, 0.1, 5])
    np.testing.assert_allclose(one[["move", "others"]], other[["move", "others"]], rtol=1e-5, atol=1e-5)


def test_chosen_rows_share_the_third_group_and_repeat_with_the_seed():
    pool, _, _ = world()
    chosen, again, other = (choose(pool, "glasses", "smile", 5, seed) for seed in (0, 0, 1))
    for many, one, chance in zip(*chosen.values(), strict=True):
        np.testing.assert_array_equal(many[2], chance[2])
        assert [rows[0] for rows in many] == [rows[0] for rows in one] and {len(r) for r in one} == {1}
    assert all(np.array_equal(a, b) for x, y in zip(chosen[MEAN], again[MEAN]) for a, b in zip(x, y))
    assert not np.array_equal(chosen[MEAN][0][0], other[MEAN][0][0])


def test_rates_are_means_and_wilson():
    pool, draw, read = world()
    found = measure(pool, ("glasses", "smile"), choose(pool, "glasses", "smile", 30), add, draw, read)
    table = success(found, ["kind"])
    for kind, rows in found.groupby("kind"):
        assert table.arrived[kind] == pytest.approx(rows.arrived.mean())
        assert table.low[kind] <= table.arrived[kind] <= table.high[kind]


def test_what_is_never_drawn_cannot_be_summed():
    pool, draw, read = world(n=12)
    chosen = choose(pool, "glasses", "smile", 5)
    assert not any(chosen.values())
    found = measure(pool, ("glasses", "smile"), chosen, add, draw, read)
    assert not len(found)
    with pytest.raises(LabkitError, match="no sums"):
        success(found, ["kind"])


def test_bad_pools_are_refused():
    z = torch.zeros(20, 3)
    with pytest.raises(LabkitError, match="Pool"):
        Pool(z, np.zeros((20, 2)), ("one",))
    with pytest.raises(LabkitError, match="no feature 'hat'"):
        Pool(z, np.zeros((20, 1)), ("one",)).column("hat")
    assert Pool(z, np.zeros((20, 1)), ("one",)).spread.tolist() == [1.0]


def test_forty_sums_of_a_group_of_three_are_one():
    three, many = np.arange(3), np.arange(300)
    assert independent([(three, three + 3, three + 6)] * 40) == 1
    rng = np.random.default_rng(0)
    small = [tuple(rng.choice(rows, 3, replace=False) for rows in (np.arange(9), many, many)) for _ in range(40)]
    assert independent(small) == 3
    apart = [tuple(np.arange(9 * k + 3 * j, 9 * k + 3 * j + 3) for j in range(3)) for k in range(40)]
    assert independent(apart) == 40


@pytest.mark.parametrize("members", [3, 6, 30])
def test_where_nothing_arrives_more_often_the_intervals_seldom_part(members):
    """D9 under its null: readings that know nothing of the groups; `low` of one kind above `high` of the other."""
    rng, parted, trials = np.random.default_rng(members), 0, 300
    for _ in range(trials):
        tables = []
        for kind in (MEAN, RANDOM):
            luck = rng.normal(size=members)  # of each exemplar, shared by all sums that use it
            rows = [rng.choice(members, 3, replace=False) for _ in range(40)]
            counts = independent([(each, each, each) for each in rows]) / 40
            arrived = np.array([luck[each].mean() > 0 for each in rows])
            same = dict.fromkeys(("stayed", "before", "move", "others", "alone"), 0.0)
            tables.append(pd.DataFrame({"kind": kind, "arrived": arrived, "counts": counts, **same}))
        table = success(pd.concat(tables), ["kind"])
        parted += table.low[MEAN] > table.high[RANDOM]
    assert parted / trials <= 0.05
