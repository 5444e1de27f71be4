"""Claims: each rule reaches each verdict it promises, asks for what it reads, and says in words what it does."""

import math

import numpy as np
import pytest

from labkit.claims import CLAIMS, CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED
from labkit.data import synthetic_olivetti
from labkit.errors import LabkitError
from labkit.report import Run

A8 = {
    "epochs": 500,
    "strong_not_finite": {"new shots": 0.3, "strangers": 0.6},
    "strong_median_margin": {"new shots": -5.0, "strangers": math.nan},
    "report_cure_margin": {"new shots": 3.0, "strangers": 0.5},
}
WALK = {"plausible_share": 0.95, "largest_step": 0.2, "upward_steps": 0.95}
MIXED = {
    "quantiles": {"Eyeglasses": 0.9, "Beard": 0.8, "Mustache": 0.1},
    "likelihood_quantile": 0.0,
    "epochs": 100,
}
# For each claim a measurement with its verdict, then changes of that measurement with theirs.
CASES = {
    "A1": ({"components_for_90": 66}, REPRODUCED, [({"components_for_90": 65}, NOT_REPRODUCED)]),
    "A2": (
        {"share_at_64": 0.8974},
        REPRODUCED,
        [({"share_at_64": 0.8976}, NOT_REPRODUCED), ({"share_at_64": 0.8964}, NOT_REPRODUCED)],
    ),
    "A3": (
        {"component": 7, "correlation": -0.71, "one_sign_share": 0.98, "auc": 0.81},
        REPRODUCED,
        [
            ({"correlation": 0.5}, NOT_REPRODUCED),
            ({"one_sign_share": 0.89}, NOT_REPRODUCED),
            ({"auc": 0.54}, NOT_REPRODUCED),
            ({"auc": math.nan}, NOT_REPRODUCED),
        ],
    ),
    "A4": (
        {"epochs": 5000, "slope_k14": -20.0, "slope_k8": -3.0},
        REPRODUCED,
        [
            ({"epochs": 1500}, NEEDS_FULL_DATA),
            ({"slope_k14": -2.0}, NOT_REPRODUCED),
            ({"slope_k8": -9.0}, NOT_REPRODUCED),
            ({"slope_k8": 9.0}, NOT_REPRODUCED),
        ],
    ),
    "A5": (
        {"early_epochs": 500, "late_epochs": 5000, "early": 0.103, "late": 0.1},
        REPRODUCED,
        [
            ({"early": 0.11}, NOT_REPRODUCED),
            ({"early": 0.05}, REPRODUCED),
            ({"late_epochs": 1500}, NEEDS_FULL_DATA),
            ({"early_epochs": 1000}, NEEDS_FULL_DATA),
        ],
    ),
    "A6": (
        {"p_value": 0.001, "rank_correlation": -0.6, "most_likely": 4, "epochs": 1500},
        CORRECTED,
        [
            ({"rank_correlation": 0.1}, NEEDS_FULL_DATA),
            ({"rank_correlation": 0.1, "epochs": 5000}, NOT_REPRODUCED),
            ({"p_value": 0.2, "epochs": 5000}, NOT_REPRODUCED),
            ({"p_value": 0.2}, NEEDS_FULL_DATA),
        ],
    ),
    "A7": (
        {"r2_linear": 0.99, "r2_logarithmic": 0.7, "epochs": 5000},
        REPRODUCED,
        [
            ({"r2_linear": 0.97}, NOT_REPRODUCED),
            ({"r2_logarithmic": 0.995}, NOT_REPRODUCED),
            ({"epochs": 600}, NEEDS_FULL_DATA),
        ],
    ),
    "A8": (
        A8,
        REPRODUCED,
        [
            ({"report_cure_margin": {"new shots": 3.0, "strangers": -4.0}}, CORRECTED),
            ({"report_cure_margin": {"new shots": -1.0, "strangers": -math.inf}}, NOT_REPRODUCED),
            ({"report_cure_margin": {"new shots": math.inf, "strangers": math.nan}}, NOT_REPRODUCED),
            (
                {"strong_not_finite": {"a": 0.0}, "strong_median_margin": {"a": 2.0}},
                NEEDS_FULL_DATA,
            ),
            (
                {"strong_not_finite": {"a": 0.0}, "strong_median_margin": {"a": 2.0}, "epochs": 5000},
                NOT_REPRODUCED,
            ),
            ({"strong_not_finite": {"a": 0.0}, "strong_median_margin": {"a": -65.0}}, REPRODUCED),
        ],
    ),
    "A9": (
        WALK,
        REPRODUCED,
        [
            ({"plausible_share": 0.8}, NOT_REPRODUCED),
            ({"largest_step": 0.4}, NOT_REPRODUCED),
            ({"upward_steps": 0.8}, NOT_REPRODUCED),
        ],
    ),
    "A10": (WALK, REPRODUCED, [({"largest_step": math.nan}, NOT_REPRODUCED)]),
    "A11": (
        {"strong_usable": 0.2, "weak_usable": 1.0, "epochs": 200},
        REPRODUCED,
        [
            ({"strong_usable": 0.7}, NEEDS_FULL_DATA),
            ({"strong_usable": 0.7, "epochs": 5000}, NOT_REPRODUCED),
            ({"weak_usable": 0.5}, NOT_REPRODUCED),
        ],
    ),
    "A12": (
        MIXED,
        REPRODUCED,
        [
            ({"likelihood_quantile": 0.6}, NEEDS_FULL_DATA),
            ({"likelihood_quantile": 0.6, "epochs": 5000}, NOT_REPRODUCED),
            ({"quantiles": {"Eyeglasses": 0.9, "Beard": 0.2}, "epochs": 5000}, NOT_REPRODUCED),
        ],
    ),
    "B1": ({"nearest_power_of_two": 64}, REPRODUCED, [({"nearest_power_of_two": 128}, NOT_REPRODUCED)]),
    "B2": (
        {"final_loss": -5.3, "final_loss_wrong_divisor": -5.75, "epochs": 150},
        REPRODUCED,
        [
            ({"final_loss": 53.3, "final_loss_wrong_divisor": 57.7}, NOT_REPRODUCED),
            ({"final_loss": 53.3}, REPRODUCED),
            ({"final_loss": math.nan, "final_loss_wrong_divisor": math.nan}, NOT_REPRODUCED),
            ({"epochs": 10}, NEEDS_FULL_DATA),
        ],
    ),
    "B3": (
        {"low": -33.0, "high": 18.0, "epochs": 150},
        REPRODUCED,
        [
            ({"low": -66.0}, NOT_REPRODUCED),
            ({"high": 40.0}, NOT_REPRODUCED),
            ({"epochs": 10}, NEEDS_FULL_DATA),
        ],
    ),
}
JUDGED = [
    pytest.param(claim, case, verdict, id=f"{claim}-{i}")
    for claim, (base, first, changes) in CASES.items()
    for i, (case, verdict) in enumerate([(base, first), *((base | change, end) for change, end in changes)])
]


def test_every_claim_of_lab_01_is_there():
    lab = {claim.id for claim in CLAIMS.values() if claim.lab in ("01a", "01b")}
    assert lab == {f"A{i}" for i in range(1, 13)} | {"B1", "B2", "B3"} == CASES.keys()
    assert all(key == claim.id for key, claim in CLAIMS.items())


@pytest.mark.parametrize(("claim", "measured", "verdict"), JUDGED)
def test_rule_gives_its_verdict(claim, measured, verdict):
    assert CLAIMS[claim].judge(measured) == verdict


@pytest.mark.parametrize("claim", CASES)
def test_rule_can_be_failed_and_passed(claim):
    _, first, changes = CASES[claim]
    verdicts = {first, *(verdict for _, verdict in changes)}
    assert NOT_REPRODUCED in verdicts
    assert (CORRECTED if claim == "A6" else REPRODUCED) in verdicts
    assert (NEEDS_FULL_DATA in verdicts) == ("epochs" in str(CLAIMS[claim].keys))


@pytest.mark.parametrize("claim", CASES)
def test_missing_key_is_named(claim):
    base, _, _ = CASES[claim]
    for key in CLAIMS[claim].keys:
        with pytest.raises(LabkitError, match=key) as error:
            CLAIMS[claim].judge({name: value for name, value in base.items() if name != key})
        assert claim in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(LabkitError, match=claim):
        CLAIMS[claim].judge(0.9)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_rule_is_written_out_with_the_keys_that_it_reads(claim):
    assert claim.text and claim.expected
    for key in claim.keys:
        assert key in claim.rule or key == "epochs"
    if "epochs" in claim.keys:
        assert "epochs" in claim.rule


def test_value_of_the_wrong_kind_is_refused_in_one_sentence():
    for claim, change in (
        ("A8", {"strong_not_finite": 0.3}),
        ("A7", {"r2_linear": "0.9"}),
        ("A2", {"share_at_64": None}),
    ):
        with pytest.raises(LabkitError, match=f"claim {claim}.*wrong kind"):
            CLAIMS[claim].judge(CASES[claim][0] | change)


def test_numpy_numbers_are_judged_alike():
    assert CLAIMS["A1"].judge({"components_for_90": np.int64(66)}) == REPRODUCED
    assert CLAIMS["A7"].judge(
        {"r2_linear": np.float64(0.5), "r2_logarithmic": np.float32(0.1), "epochs": 5000}
    ) == (NOT_REPRODUCED)


@pytest.fixture(scope="module")
def stand_in():
    return synthetic_olivetti(seed=0)


@pytest.mark.parametrize("claim", CASES)
def test_stand_in_data_judge_no_claim_about_photographs(claim, stand_in, tmp_path):
    run = Run(lab=CLAIMS[claim].lab, profile="smoke", seed=0, data=None, folder=tmp_path)
    run.use(stand_in)
    assert CLAIMS[claim].needs_real
    assert run.claim(claim, measured=CASES[claim][0], protocol="made up") == NEEDS_FULL_DATA
