"""Five metrics on codes whose answer is known."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from labkit.errors import LabkitError
from labkit.metrics.disentanglement import code_table, dci, factor_vae_score, higgins_score, mig, sap

N, F = 4000, 5
METRICS = {"higgins": higgins_score, "factor_vae": factor_vae_score, "mig": mig, "dci": dci, "sap": sap}
SHAPED = ("shape", "scale", "x", "y", "z")


@pytest.fixture(scope="module")
def factors():
    return np.random.default_rng(0).integers(6, size=(N, F)).astype(float)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(1).normal(size=(N, F))


def standard(factors):
    return (factors - factors.mean(0)) / factors.std(0)


def scores(codes, factors, names=METRICS, **settings):
    table = code_table(codes, factors, **settings)
    return {name: METRICS[name](table).score for name in names}


def assert_scores(measured, higgins, factor_vae, mig, dci, sap, within=0.03):
    expected = {"higgins": higgins, "factor_vae": factor_vae, "mig": mig, "dci": dci, "sap": sap}
    assert measured == pytest.approx(expected, abs=within)


def test_a_perfect_code(factors):
    assert_scores(scores(factors, factors), 1, 1, 1, 1, 1, within=0.005)


def test_every_latent_twice_leaves_no_gap(factors):
    twice = np.concatenate([factors, -2 * factors], 1)
    assert_scores(scores(twice, factors), 1, 1, 0, 1, 0, within=0.005)
    assert dci(code_table(twice, factors)).others["completeness"] < 0.8


def test_a_missing_factor_costs_nothing_in_higgins_metric(factors):
    assert_scores(scores(factors[:, 1:], factors), 1, 0.8, 0.8, 0.69, 0.8)
    confusion = higgins_score(code_table(factors[:, 1:], factors)).matrix
    np.testing.assert_allclose(confusion, np.eye(F), atol=0.02)


def test_a_second_missing_factor_costs(factors):
    assert_scores(scores(factors[:, 2:], factors), 0.8, 0.6, 0.6, 0.41, 0.6, within=0.04)
    confusion = higgins_score(code_table(factors[:, 2:], factors)).matrix
    np.testing.assert_allclose(confusion[:2, :2].sum(1), 1, atol=0.02)
    assert (confusion[:2, :2] < 0.95).all()


def test_a_latent_of_noise_is_taken_for_a_missing_factor_unless_it_is_left_out(factors, noise):
    codes = np.concatenate([factors[:, 1:], noise[:, :3]], 1)
    assert factor_vae_score(code_table(codes, factors)).score > 0.86
    active = np.arange(7) < 4
    score = factor_vae_score(code_table(codes, factors, active=active))
    assert score.score == pytest.approx(0.8, abs=0.01)
    assert score.protocol["latents"] == "4 of 7"
    assert not score.matrix[4:].any()


def test_two_factors_rotated_by_45_degrees(factors):
    turn = np.eye(F)
    turn[:2, :2] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    assert_scores(scores(standard(factors) @ turn, factors), 0.8, 0.8, 0.59, 0.83, 0.61, within=0.04)
    assert dci(code_table(standard(factors) @ turn, factors)).others["informativeness"] > 0.95


def test_all_factors_rotated(factors):
    codes = standard(factors) @ ortho_group.rvs(F, random_state=0)
    assert_scores(scores(codes, factors), 0.92, 0.75, 0.06, 0.35, 0.14, within=0.06)
    assert higgins_score(code_table(codes, factors), pairs=300).score > 0.98


def test_noise_scores_chance(factors, noise):
    assert_scores(scores(noise, factors), 1 / F, 1 / F, 0, 0, 0, within=0.03)
    assert dci(code_table(noise, factors)).others["informativeness"] < 0.02


@pytest.mark.parametrize("name", METRICS)
def test_order_sign_and_scale_do_not_matter(factors, noise, name):
    codes = standard(factors) @ ortho_group.rvs(F, random_state=2) + 0.3 * noise
    order = [3, 0, 4, 1, 2]
    other = codes[:, order] * np.array([-1e-4, 1, 1e4, -3, 0.1])
    one, two = (METRICS[name](code_table(z, factors)) for z in (codes, other))
    assert two.score == pytest.approx(one.score, abs=0.01)
    if name != "higgins":  # its matrix has no latents
        scale = max(one.matrix.max(), 1)
        np.testing.assert_allclose(two.matrix / scale, one.matrix[order] / scale, atol=0.02)


def test_without_standardising_higgins_metric_depends_on_the_scale(factors):
    uneven = code_table(standard(factors) * np.logspace(-3, 0, F), factors)
    assert higgins_score(uneven).score > 0.99
    assert 0.75 < higgins_score(uneven, standardise=False).score < 0.9
    assert higgins_score(uneven, standardise=False, strength=1e6).score > 0.99
    large, small = (code_table(scale * standard(factors[:, 1:]), factors) for scale in (1, 0.01))
    assert higgins_score(large, pairs=10, standardise=False).score > 0.98
    assert higgins_score(small, pairs=10, standardise=False).score < 0.93


def test_more_pairs_suffice_for_weaker_traces(factors, noise):
    table = code_table(standard(factors) + noise, factors)
    found = [higgins_score(table, pairs=count).score for count in (1, 10, 64)]
    assert found[0] < 0.4 < 0.5 < found[1] < 0.7 < 0.95 < found[2]


def test_all_factors_count(factors, noise):
    """A code that holds the last factor alone: every metric sees that factor, and it only."""
    codes = np.concatenate([noise[:, :2], factors[:, -1:]], 1)
    table = code_table(codes, factors)
    for measure in (factor_vae_score, mig, sap):
        score = measure(table)
        assert score.matrix.shape == (3, F) and score.per_factor.shape == (F,)
        assert score.matrix[2, -1] == score.matrix[2].max() and score.per_factor.argmax() == F - 1
    assert [mig(table).score, sap(table).score] == pytest.approx([1 / F] * 2, abs=0.01)
    assert dci(table).per_factor.argmax() == F - 1


def test_mig_is_the_gap_of_the_information(factors):
    """A latent that merges levels two by two holds log 3 of log 6 nats; with all of them another holds log 6."""
    merged = np.concatenate([factors, factors[:, :1] // 2], 1)
    score = mig(code_table(merged, factors))
    expected = 1 - np.log(3) / np.log(6)
    assert score.per_factor[0] == pytest.approx(expected, abs=0.01)
    assert score.matrix[-1, 0] == pytest.approx(1 - expected, abs=0.01)


def test_a_continuous_factor_is_cut_and_said_to_be(factors, noise):
    uniform = np.random.default_rng(3).uniform(size=(N, 1))
    table = code_table(
        np.concatenate([uniform, factors[:, 1:]], 1),
        np.concatenate([uniform, factors[:, 1:]], 1),
        ("width", "b", "c", "d", "e"),
    )
    assert np.bincount(table.levels[:, 0]).tolist() == [N // 20] * 20
    few = code_table(noise[:50], np.concatenate([uniform, factors[:, :1]], 1)[:50])
    assert few.binned == ("factor 0",)
    assert table.binned == ("width",) and table.levels[:, 1].max() == 5
    for measure in METRICS.values():
        score = measure(table)
        assert score.score > 0.98
        assert score.protocol["factors cut"] == "width into 20 bins of equal count"


def test_a_categorical_factor_needs_no_order(factors, noise):
    """Shapes coded as 0, 2, 1: R² falls, thresholds do not."""
    shape = factors[:, :1] % 3
    true = np.concatenate([shape, factors[:, 1:]], 1)
    codes = np.concatenate([np.array([0.0, 2.0, 1.0])[shape.astype(int)], factors[:, 1:]], 1)
    ordered = sap(code_table(codes, true, SHAPED))
    unordered = sap(code_table(codes, true, SHAPED, categorical=("shape",)))
    assert ordered.per_factor[0] < 0.3
    assert unordered.per_factor[0] == pytest.approx(1 - 1 / 3, abs=0.03)
    assert unordered.matrix[0, 0] == 1.0
    assert dci(code_table(codes, true, SHAPED, categorical=("shape",))).score > 0.99
    right, explained = (
        dci(code_table(noise, true, SHAPED, categorical=kind)).others["informativeness"] for kind in (("shape",), ())
    )
    assert right > explained + 0.3 / F  # an accuracy, 1/3 by chance, in place of an R² of 0 or less


def test_a_dead_latent_changes_nothing(factors):
    dead = np.concatenate([np.full((N, 1), 3.0), factors], 1)
    assert_scores(scores(dead, factors), 1, 1, 1, 1, 1, within=0.005)
    votes = factor_vae_score(code_table(dead, factors)).matrix
    assert not votes[0].any() and np.array_equal(votes[1:] > 0, np.eye(F) > 0)
    nothing = code_table(np.zeros((N, 2)), factors)
    for measure in METRICS.values():
        score = measure(nothing).score
        assert score == pytest.approx(1 / F if measure is higgins_score else 0, abs=1e-9)


def test_a_factor_that_does_not_vary_is_named(factors):
    still = factors.copy()
    still[:, 1] = 2.0
    table = code_table(factors[:, [0, 2, 3, 4]], still, SHAPED)
    assert table.names == ("shape", "x", "y", "z")
    for measure in METRICS.values():
        score = measure(table)
        assert score.score > 0.98
        assert score.protocol["factors that do not vary"] == "scale"


def test_pairs_share_their_factor_and_nothing_else(factors):
    table = code_table(factors, factors)
    rng = np.random.default_rng(0)
    for factor in range(F):
        first, second = table.pairs(factor, 50, 40, rng)
        assert (first != second).all()
        same = factors[first] == factors[second]
        assert same[..., factor].all()
        others = np.delete(same, factor, -1).mean((0, 1))
        np.testing.assert_allclose(others, 1 / 6, atol=0.04)
        assert len(np.unique(factors[first[0], factor])) > 1  # each pair has a level of its own
        rows = table.fellows(factor, 50, 40, rng)
        assert (np.ptp(factors[rows, factor], 1) == 0).all()
        assert len(np.unique(factors[rows[:, 0], factor])) == 6
        assert (np.delete(np.ptp(factors[rows], 1), factor, -1) > 3).all()


def test_seeds_and_protocol(factors, noise):
    table = code_table(standard(factors) + noise, factors)
    for measure in (higgins_score, factor_vae_score, dci, sap):
        one, again, other = measure(table, seed=1), measure(table, seed=1), measure(table, seed=2)
        assert one.score == again.score
        assert other.protocol["seed"] == 2 and other.protocol["rows"] == N
    assert higgins_score(table, seed=1).score != higgins_score(table, seed=2).score
    assert higgins_score(table, pairs=7).protocol["pairs"] == 7
    assert "C = 0.5" in str(higgins_score(table, strength=0.5))


@pytest.mark.parametrize("wrong", ["rows", "few", "nan", "names", "categorical", "still", "active"])
def test_bad_input_is_refused(factors, wrong):
    codes, settings = factors.copy(), {}
    if wrong == "rows":
        codes = codes[:-1]
    elif wrong == "few":
        codes, factors = codes[:10], factors[:10]
    elif wrong == "nan":
        codes[5, 1] = np.nan
    elif wrong == "still":
        factors = np.concatenate([factors[:, :1], np.ones((N, 1))], 1)
    else:
        settings = {
            "names": {"names": ("a",)},
            "categorical": {"categorical": ("shape",)},
            "active": {"active": np.array([True])},
        }[wrong]
    with pytest.raises(LabkitError, match="disentanglement"):
        code_table(codes, factors, **settings)
    with pytest.raises(LabkitError, match="higgins_score"):
        higgins_score(code_table(np.zeros((N, 1)), np.indices((2, 2000)).reshape(2, -1).T), pairs=0)
    with pytest.raises(LabkitError, match="factor_vae_score"):
        factor_vae_score(code_table(np.zeros((N, 1)), np.indices((2, 2000)).reshape(2, -1).T), rows=1)


@pytest.mark.parametrize(("shift", "scale"), [(5.0, 1e-9), (0.0, 1e150), (0.0, 1e-150), (1e20, 1e18)])
def test_dci_sees_codes_of_any_scale(shift, scale):
    factors = np.random.default_rng(0).random((1200, 2)).round(1)
    assert dci(code_table(shift + scale * factors, factors)).score == pytest.approx(
        dci(code_table(factors, factors)).score, abs=0.02
    )
