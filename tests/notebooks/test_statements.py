"""What notebooks compute for their claims, run on known numbers, and sentences that were wrong once."""

import ast
import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress
from sklearn.metrics import roc_auc_score

from labkit import metrics
from labkit.course.run.labs import list_labs, read_notebook
from labkit.statistics import Estimate, above, resample

LABS = {lab.number: read_notebook(lab.path)["cells"] for lab in list_labs()}


def defined(lab, cell, name, alone=False, **given):
    """A function that a notebook's cell defines; `alone` without what else the cell does."""
    space = dict(given)
    tree = ast.parse(next(each["source"] for each in LABS[lab] if each["id"] == cell))
    tree.body = [node for node in tree.body if not alone or getattr(node, "name", "") == name]
    exec(compile(tree, cell, "exec"), space)
    return space[name]


def test_faces_that_choose_beta_are_not_among_those_that_judge_it():
    seen = []
    size = SimpleNamespace(test=2000, draws=3)

    def higgins(codes, factors, *_, **__):
        assert (codes == factors).all()
        seen.append(set(codes.tolist()))
        return 0.0

    judged = defined("05b", "judged", "judged", size=size, np=np, higgins=higgins, test_factors=np.arange(2000))
    judged(np.arange(2000))
    judges = max(seen, key=len)
    assert len(judges) == 1000 and len(seen) == 10
    assert all(not judges & each for each in seen if each is not judges)


def test_nobody_is_in_two_walks_so_that_a_walk_is_a_unit():
    """Ten shots of a pair that is near would be ten walks, and one of them as good as all."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(12), 5)
    codes = rng.normal(size=(12, 3))[person] + 0.01 * rng.normal(size=(60, 3))
    gap = ((codes[:, None] - codes) ** 2).sum(2)
    wears = person % 3 == 0
    most_alike = defined("01b", "walk", "most_alike", alone=True, np=np, person=person, gap=gap)
    pairs = most_alike(~wears, wears, 20)
    assert pairs.shape == (4, 2) and len(np.unique(person[pairs])) == 8
    assert wears[pairs[:, 1]].all() and not wears[pairs[:, 0]].any()
    lengths = gap[pairs[:, 0], pairs[:, 1]]
    assert lengths[0] == gap[np.ix_(~wears, wears)].min() and (np.diff(lengths) > 0).all()
    assert len(most_alike(~wears, wears, 2)) == 2


def test_three_seeds_of_one_sign_are_no_finding_and_five_clear_ones_are():
    beyond_chance = defined("04c", "cell-39", "beyond_chance", np=np, above=above)
    rng = np.random.default_rng(0)
    assert not [each for each in rng.normal(size=(1000, 3)) if beyond_chance(each) in ("positive", "negative")]
    told = [beyond_chance(each) for each in rng.normal(size=(1000, 5))]
    assert 0.01 < np.mean([each == "positive" for each in told]) < 0.045
    assert beyond_chance(np.array([2.0, 2.1, 1.9, 2.2, 2.0])) == "positive"
    assert beyond_chance(-np.array([2.0, 2.1, 1.9, 2.2, 2.0])) == "negative"
    assert "seeds" in beyond_chance(np.array([1.0, -1.0, 0.5, 0.2, 0.9]))
    assert "not known" in beyond_chance(np.array([2.0, np.nan, 1.9, 2.2, 2.0]))


def test_faces_that_choose_a_component_do_not_judge_it():
    """Of ten components one is taken for what it says of these faces; it says nothing of forty other people."""
    rng, claimed = np.random.default_rng(0), {}
    glasses, others = np.arange(40) % 2 == 0, rng.random(40) < 0.5
    pixels = np.where(glasses, 1.0, 0.0)[:, None] * np.eye(4)[0] + 0.01 * rng.random((40, 4))
    forty = type("Forty", (SimpleNamespace,), {"__len__": lambda self: 40})
    crowd = forty(images=rng.random((40, 2, 2)), identity=np.arange(40, 80))
    faces = forty(images=np.ones((40, 2, 2)), attribute_names=["Eyeglasses"])
    everyone = SimpleNamespace(attributes=np.concatenate([glasses, others])[:, None], identity=np.arange(80))
    faces.joined = lambda crowd: everyone
    space = {"np": np, "faces": faces, "glasses": glasses, "pixels": pixels, "resample": resample}
    space |= {"roc_auc_score": roc_auc_score, "best": 1, "one_sign": 1.0, "auc": 1.0, "correlation": 0.9}
    space |= {
        "components": np.ones((1, 2, 2)),
        "template": np.ones((2, 2)),
        "rims": np.ones(4),
        "table": pd.DataFrame(),
    }
    space |= {"full": SimpleNamespace(mean_=pixels.mean(0), components_=np.eye(4)), "size": SimpleNamespace(more=40)}
    space |= {"drawn": SimpleNamespace(more_people=lambda *_: crowd), "lab01": SimpleNamespace(A3=None)}
    space |= {"plots": SimpleNamespace(signed_maps=lambda *_, **__: None)}
    record = {"figure": lambda *_: None, "metric": lambda *_: None, "claim": lambda _, **given: claimed.update(given)}
    exec(
        next(each["source"] for each in LABS["01a"] if each["id"] == "component-maps"),
        space | {"run": SimpleNamespace(**record)},
    )
    assert claimed["auc"].n == claimed["shown"] == 40 and abs(claimed["auc"].value - 0.5) < 0.2


def test_03bs_sharpness_is_the_figures_and_its_error_knows_that_the_real_mean_is_estimated():
    """Pictures as sharp as each other: all that is uncertain is the mean of the real ones."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(80), rng.integers(1, 8, 80))
    contrast = rng.uniform(20, 120, 80)[people]
    real = (128 + contrast[:, None, None, None] * rng.choice([-1, 1], (len(people), 1, 16, 16))).astype(np.uint8)
    real, alike = real.repeat(3, 1), np.full((40, 3, 16, 16), 128, np.uint8)
    alike[..., ::2] = 148
    shares = defined("03b", "claim-d3", "shares_over_people", alone=True, np=np, metrics=metrics, resample=resample)
    background, less = shares(alike, 100 + np.arange(40), real, people)
    shown = metrics.relative_sharpness(alike, real)
    assert (background.value, less.value) == pytest.approx((shown.background, shown.background - shown.face))
    of_real = resample(lambda rows: metrics.sharpness(real[rows]).background, people)
    assert background.error / background.value == pytest.approx(of_real.error / of_real.value, rel=0.2)
    same = shares(real, people, real, people)  # both vary, and together
    assert (same[0].value, same[0].error, same[1].value) == pytest.approx((1, 0, 0))


@pytest.mark.parametrize(("others", "whom"), [(200, "unseen people"), (5, "people whom the models may know")])
def test_03b_probes_people_of_no_training_where_enough_are_labelled(others, whom):
    split = np.r_[np.zeros(300, np.int8), np.full(others, 2, np.int8)]
    has = np.arange(len(split) * 2).reshape(-1, 2) % 3 == 0
    faces = SimpleNamespace(
        split=split, attributes=has, attribute_names=("Smiling", "Pale_Skin"), labelled=np.arange(len(split)) != 302
    )
    space = {"np": np, "faces": faces, "TRAIN": 0, "size": SimpleNamespace(probe=150)}
    exec(next(each["source"] for each in LABS["03b"] if each["id"] == "measure"), space)
    labelled = space["labelled"]
    assert space["whom"] == whom and len(labelled) == 150 and 302 not in labelled
    assert (split[labelled] != 0).all() == (others == 200)
    assert (space["wears"]["Pale_Skin"] == has[labelled, 1]).all()


@pytest.mark.parametrize("spike", [0.0, 1e4])
def test_a_late_spike_does_not_bend_the_slope_of_a_loss(spike):
    epoch = np.arange(1, 5001)
    loss = 60 - 0.002 * epoch
    loss[4900:4920] += spike
    slope = defined("01a", "slope", "slope", np=np, linregress=linregress, Estimate=Estimate)
    found = slope(pd.DataFrame({"epoch": epoch, "nll": loss}))
    assert math.isclose(found.value, -2.0, abs_tol=1e-6)


def test_draws_of_labels_for_the_same_models_are_one_number_a_seed():
    seeds, betas, draws = range(5), (1.0, 4.0), 40
    full = {(beta, seed): 0.5 + 0.1 * seed * (beta == 1.0) for beta in betas for seed in seeds}
    few = np.ones((2, draws))  # all draws choose β = 4
    scores = {(beta, seed): {"few": few * beta} for beta, seed in full}
    top = {seed: max(full[beta, seed] for beta in betas) for seed in seeds}
    claimed = {}
    space = {
        "LABELS": (50, 500),
        "BETAS": betas,
        "seeds": seeds,
        "size": SimpleNamespace(draws=draws),
        "scores": scores,
    }
    space |= {
        "full": full,
        "top": top,
        "np": np,
        "run": SimpleNamespace(claim=lambda _, **given: claimed.update(given)),
    }
    space |= {"lab05": SimpleNamespace(C9=None), "LARGE": 10, "SIGMA": 0.1}
    exec(next(each["source"] for each in LABS["05b"] if each["id"] == "cell-32"), space)
    assert space["lost"]["50 labels"] == pytest.approx([0.1 * seed for seed in seeds])
    assert claimed["lost"] == pytest.approx([0.1 * seed for seed in seeds])
    assert claimed["blind"] == pytest.approx([0.05 * seed for seed in seeds])


def test_no_claim_takes_pictures_for_units():
    code = {lab: "".join("".join(each["source"]) for each in cells) for lab, cells in LABS.items()}
    assert not [lab for lab, text in code.items() if re.search(r'over\([^\n]*"(pictures|images|shots)"\)', text)]


def test_no_lab_takes_two_errors_over_seeds_for_an_interval():
    said = {lab: " ".join("".join(cell["source"]) for cell in cells) for lab, cells in LABS.items()}
    assert not [lab for lab, text in said.items() if re.search(r"two (standard )?errors|2 \* \w*(error|sem)", text)]


def test_all_of_ten_equal_shares_are_ten_components():
    components_for = defined("01a", "components", "components_for", alone=True, np=np)
    assert components_for(1.0, [0.1] * 10) == 10  # the sum ends just short of 1


def test_a_title_says_what_the_curve_below_it_shows():
    rows = pd.DataFrame({"epoch": [1, 2], "unseen": [70.0, 43.0], "unseen_median": [60.0, 40.0]})
    drawn = {}
    space = {"cures": {"noise": 0}, "cured": {n: (0, SimpleNamespace(history=rows)) for n in ("none", "noise")}}
    space["run"] = SimpleNamespace(figure=lambda *_: None)
    space["plots"] = SimpleNamespace(curves=lambda series, title, *_, **__: drawn.update({title: series}))
    exec(
        next(each["source"] for each in LABS["01b"] if each["id"] == "cures-figure"),
        space | {"low": {"new shots": 50}},
    )
    (title, series), *_ = drawn.items()
    assert "median of 40.0 nats" in title and all(values.iloc[-1] == 40.0 for _, values in series.values())


# (lab, figure, what the cell that draws it does, what it did): each misled once.
FIGURES = [
    ("06", "levels", "of_data=False", ""),  # no badge of a stand-in on what was computed without a picture
    ("06", "receptive_field", "of_data=False", ""),
    ("04a", "swing", "highlight=[1, 3]", ""),  # some bars, and not all of five
    ("04a", "momentum", "highlight=[1, 3]", ""),
    ("04a", "turning", "np.linspace(-2, 2, 9)]", "-3"),  # columns are those of the title
    ("01b", "outside", '"unseen face": outside', "photograph"),  # drawn faces are none
    ("02", "images_per_person", "if shots.min() < shots.max():", ""),  # a flat line is a sentence
    ("03a", "sweep_over_weight", "log_x=True", " but "),  # lowest at one place or at two: the title holds for both
    ("03a", "sweep_over_latents", "LATENTS", ""),
    ("01a", "loss_long", ":+.1f} with K = {k}", ""),  # the number comes before its name, apart from it
]


@pytest.mark.parametrize(("lab", "figure", "does", "did"), FIGURES)
def test_a_figure_that_misled_is_mended(lab, figure, does, did):
    drawing = [cell["source"] for cell in LABS[lab] if f'run.figure("{figure}"' in cell["source"]]
    assert len(drawing) == 1 and does in drawing[0] and not (did and did in drawing[0])


# What was said of them once is false, and what is said instead.
SAID = [
    ("03a", "KL is the number of nats", "*upper bound* on the nats"),
    ("01a", "fall off a cliff", ""),
    ("01a", "happen to lie nearer", "along which the *known* faces vary most"),
]


@pytest.mark.parametrize(("lab", "false", "instead"), SAID)
def test_what_was_false_is_not_said(lab, false, instead):
    text = " ".join("".join(cell["source"]).replace("\n", " ") for cell in LABS[lab])
    assert false not in text and instead in text


def test_faces_that_share_more_than_the_attribute_are_said_to():
    text = " ".join("".join(cell["source"]).replace("\n", " ") for cell in LABS["02"])
    assert "what else the surest faces share, their skin tone for one" in text


def test_components_of_known_faces_hold_less_of_the_others():
    """Why the Gaussian scores unseen faces above known ones, as 01a says: of one population, by chance alone."""
    faces = np.random.default_rng(0).normal(size=(120, 300))
    known, others = faces[:100], faces[100:]
    components = np.linalg.svd(known - known.mean(0), full_matrices=False)[2][:20]
    codes, unseen = ((part - known.mean(0)) @ components.T for part in (known, others))
    assert (unseen.var(0) < codes.var(0)).all() and unseen.var() < 0.5 * codes.var()
