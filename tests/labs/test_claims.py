"""Claims: each rule reaches each verdict it promises, asks for what it reads, and says in words what it does."""

import re

import nbformat
import numpy as np
import pytest
from cases_a import CASES_A
from cases_b import CASES_B
from cases_c import CASES_C
from cases_c_disentanglement import CASES_C_DISENTANGLEMENT
from cases_c_hierarchy import CASES_C_HIERARCHY
from cases_d import CASES_D
from cases_d_faces import CASES_D_FACES
from cases_d_gan import CASES_D_GAN
from cases_d_rare import CASES_D_RARE
from cases_e import CASES_E
from labkit.labs.claims_index import CLAIMS

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED
from labkit.course.run.labs import list_labs
from labkit.drawn import synthetic_olivetti
from labkit.errors import LabkitError
from labkit.run import Run

# For each claim a measurement with its verdict, then changes of that measurement with theirs.
CASES = {
    **CASES_A,
    **CASES_B,
    **CASES_C,
    **CASES_C_DISENTANGLEMENT,
    **CASES_C_HIERARCHY,
    **CASES_D,
    **CASES_D_GAN,
    **CASES_D_FACES,
    **CASES_D_RARE,
    **CASES_E,
}
# A rule that reads one of these leaves the claim open where a run cannot tell.
OPEN_KEYS = ("epochs", "training_images", "errors", "explained")
JUDGED = [
    pytest.param(claim, case, verdict, id=f"{claim}-{i}")
    for claim, (base, first, changes) in CASES.items()
    for i, (case, verdict) in enumerate([(base, first), *((base | change, end) for change, end in changes)])
]


def test_every_claim_is_there_and_has_cases():
    numbers = {"A": 12, "B": 3, "C": 10, "D": 10, "E": 5}
    assert set(CLAIMS) == {f"{report}{i + 1}" for report, count in numbers.items() for i in range(count)}


def test_every_claim_is_measured_by_the_lab_that_it_names():
    measured = {}
    for lab in list_labs():
        cells = nbformat.read(lab.path, 4).cells
        code = "".join("".join(cell.source) for cell in cells if cell.cell_type == "code")
        measured |= dict.fromkeys(re.findall(r"run\.claim\(\s*\"(\w+)\"", code), lab.number)
    for claim in CLAIMS.values():
        assert measured.get(claim.id) == claim.lab, claim.id
    assert CLAIMS.keys() == CASES.keys()
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
    assert (NEEDS_FULL_DATA in verdicts) == any(word in str(CLAIMS[claim].keys) for word in OPEN_KEYS)


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
    assert CLAIMS["A7"].judge({"r2_linear": np.float64(0.5), "r2_logarithmic": np.float32(0.1), "epochs": 5000}) == (
        NOT_REPRODUCED
    )


@pytest.fixture(scope="module")
def stand_in():
    return synthetic_olivetti(seed=0)


@pytest.mark.parametrize("claim", [name for name in CASES if CLAIMS[name].needs_real])
def test_stand_in_data_judge_no_claim_about_photographs(claim, stand_in, tmp_path):
    run = Run(lab=CLAIMS[claim].lab, profile="smoke", seed=0, data=None, folder=tmp_path)
    run.use(stand_in)
    assert run.claim(claim, measured=CASES[claim][0], protocol="made up") == NEEDS_FULL_DATA


def test_only_a_claim_about_training_in_general_is_judged_on_stand_ins():
    of_labs = [claim for claim in CLAIMS.values() if claim.lab in ("01a", "01b", "02")]
    assert [claim.id for claim in of_labs if not claim.needs_real] == ["C1"]
