"""Claims: each rule reaches each verdict it promises, asks for what it reads, and says in words what it does."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import nbformat
import numpy as np
import pytest
from simulate import draw

import labkit.labs
from labkit.claims import CORRECTED, NEEDS_PHOTOGRAPHS, NOT_REPRODUCED, REPRODUCED, UNDECIDED, Claim
from labkit.course.run.labs import list_labs
from labkit.errors import LabkitError

CASES = {
    name: case
    for path in sorted((Path(__file__).parent / "claim_cases").glob("cases*.py"))
    for name, case in import_module(path.stem).CASES.items()
}
CLAIMS = {
    each.id: each
    for path in sorted(Path(labkit.labs.__path__[0]).glob("lab*/claims.py"))
    for each in vars(import_module(f"labkit.labs.{path.parent.name}.claims")).values()
    if isinstance(each, Claim)
}
JUDGED = [
    pytest.param(name, case.truth | change, verdict, id=f"{name}-{i}")
    for name, case in CASES.items()
    for i, (change, verdict) in enumerate([({}, case.verdict), *case.changes])
]


def measured(spec):
    return draw(spec, np.random.default_rng(0), noise=0.02)


def test_every_claim_is_there_and_has_cases():
    numbers = {"A": 12, "B": 3, "C": 10, "D": 10, "E": 5, "F": 6}
    assert set(CLAIMS) == {f"{report}{i + 1}" for report, count in numbers.items() for i in range(count)}
    assert CLAIMS.keys() == CASES.keys()
    assert all(key == claim.id for key, claim in CLAIMS.items())


def test_every_claim_is_measured_by_the_lab_that_it_names():
    found = {}
    for lab in list_labs():
        cells = nbformat.read(lab.path, 4).cells
        code = "".join("".join(cell.source) for cell in cells if cell.cell_type == "code")
        found |= dict.fromkeys(re.findall(r"run\.claim\(\s*lab\d\d\.(\w+),", code), lab.number)
    assert found == {claim.id: claim.lab for claim in CLAIMS.values()}


@pytest.mark.parametrize(("name", "spec", "verdict"), JUDGED)
def test_rule_gives_its_verdict(name, spec, verdict):
    assert CLAIMS[name].judge(**measured(spec)).name == verdict


@pytest.mark.parametrize("name", CASES)
def test_rule_can_be_failed_and_passed_and_left_open(name):
    verdicts = {CASES[name].verdict, *(verdict for _, verdict in CASES[name].changes)}
    assert (CORRECTED if name == "A6" else REPRODUCED) in verdicts
    assert NOT_REPRODUCED in verdicts
    assert (UNDECIDED in verdicts) != CASES[name].deterministic


@pytest.mark.parametrize("name", CASES)
def test_missing_value_is_named(name):
    full = measured(CASES[name].truth)
    for key in CLAIMS[name].keys:
        with pytest.raises(LabkitError, match=key) as error:
            CLAIMS[name].judge(**{each: value for each, value in full.items() if each != key})
        assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_rule_is_written_out_with_what_it_reads(claim):
    assert claim.text and claim.expected and claim.protocol
    for key in claim.keys:
        assert key in claim.rule or key == "epochs"
    if "epochs" in claim.keys:
        assert "epochs" in claim.rule or "as C5" in claim.rule


def test_value_of_the_wrong_kind_is_refused_in_one_sentence():
    for name, change in (
        ("A8", {"strong_not_finite": 0.3}),
        ("A7", {"r2_linear": "x"}),
        ("A2", {"share_at_64": None}),
    ):
        with pytest.raises(LabkitError, match=f"claim {name}.*wrong kind"):
            CLAIMS[name].judge(**measured(CASES[name].truth) | change)


def test_a_measurement_is_recorded_with_its_intervals_and_its_protocol_filled_in():
    given = {"distance_64": [30.0] * 5, "distance_128": [31.0] * 5, "time_ratio": 3.0, "distance_mean_face": 100.0}
    sizes = {"width": 8, "seeds": 5}
    given |= {"training": 1600, "compared": 300, "extractor": "oracle"}
    record = CLAIMS["D1"].record(given, sizes, "drawn faces")
    assert record["verdict"] == REPRODUCED and record["on"] == "drawn faces"
    assert record["protocol"].startswith("1,600 faces once through, 256 latents, width 8, 5 seed(s)")
    assert (record["measured"]["distance_64"].value, record["measured"]["distance_64"].n) == (30.0, 5)
    with pytest.raises(LabkitError, match="D1: it reads no 'distance_46'; did you mean distance_64"):
        CLAIMS["D1"].record(given | {"distance_46": 1}, sizes, "drawn faces")
    with pytest.raises(LabkitError, match="D1: its protocol names 'seeds'"):
        CLAIMS["D1"].record(given, {"width": 8}, "drawn faces")


def test_only_what_is_about_the_photographs_own_numbers_needs_them():
    assert [claim.id for claim in CLAIMS.values() if claim.photographs] == ["A1", "A2", "B1"]
    given = {"components_for_90": 66, "images": 400, "pixels": 4096}
    assert CLAIMS["A1"].record(given, {}, "drawn faces")["verdict"] == NEEDS_PHOTOGRAPHS
    assert CLAIMS["A1"].record(given, {}, "photographs")["verdict"] == REPRODUCED


def test_sizes_of_a_run_fill_what_is_not_given():
    record = CLAIMS["E2"].record(
        {"distance": {w: [1.0] * 5 for w in ("0.001", "1e-05", "1e-06")}, "extractor": "oracle", "training": 9},
        {"test": 100, "seeds": 5},
        "drawn faces",
    )
    assert "100 samples against 100 faces" in record["protocol"]


def test_a_rule_reads_its_arguments_and_no_defaults():
    for claim in CLAIMS.values():
        assert all(p.default is inspect.Parameter.empty for p in inspect.signature(claim.decide).parameters.values())
