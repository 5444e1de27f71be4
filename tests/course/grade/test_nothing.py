"""Answers that answer nothing earn nothing: constants, empties, the arguments themselves, for every exercise."""

import numpy as np
import pytest
import torch

from labkit.course.grade.exercises import exercises
from labkit.course.grade.layout import Place
from labkit.course.grade.marks.nothing import cheap_by_cell, cheap_properties, trivial_answers
from labkit.course.grade.marks.score import score_exercise
from labkit.course.run.labs import list_labs

CELLS = [(lab.number, name, checks) for lab in list_labs() for name, checks in exercises(lab.path).items()]
# Not among the answers that are tried when a lab is prepared, but of their kind.
OTHERS = {
    "3": lambda *a, **k: 3,
    "2.5": lambda *a, **k: 2.5,
    "text": lambda *a, **k: "an answer",
    "twos": lambda *a, **k: a[0] * 0 + 2.0,
    "a row of thirds": lambda *a, **k: torch.full((len(a[0]),), 1 / 3),
    "numpy ones": lambda *a, **k: np.ones(len(a[0])),
    "all but the last argument": lambda *a, **k: a[:-1],
    "thirds": lambda *a, **k: a[0] * 0 + 1 / 3,
    "minus one": lambda *a, **k: a[0] * 0 - 1.0,
}


def points(checks, answer, cheap, salt=0):
    properties = []
    for each in checks:
        try:
            properties += [vars(one) for one in each.load()(*[answer] * len(each.functions))]
        except Exception:  # a check that an answer stops gives nothing for it
            return 0.0
    return score_exercise(1.0, {"properties": properties}, "", cheap).points


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("lab", "name", "checks"), CELLS, ids=[f"{lab}-{name}" for lab, name, _ in CELLS])
def test_no_such_answer_earns_more_than_a_tenth(lab, name, checks):
    cheap = cheap_properties(checks)
    answers = OTHERS | {k: trivial_answers()[k] for k in ("None", "0", "list", "argument 0", "argument and zeros")}
    earned = {each: points(checks, answer, cheap) for each, answer in answers.items()}
    assert max(earned.values()) <= 0.1, earned


@pytest.mark.filterwarnings("ignore")
def test_without_this_rule_some_do():
    found = [points(checks, trivial_answers()["argument and zeros"], frozenset()) for _, _, checks in CELLS]
    assert max(found) > 0.5


def test_what_proves_nothing_earns_nothing_alone_and_its_share_beside_what_does():
    def share(*held):
        properties = [
            {"name": each, "passed": each in held, "hint": ""} for each in ("shape", "finite", "value", "sum")
        ]
        return score_exercise(4.0, {"properties": properties}, "", frozenset({"shape", "finite"}))

    assert share().points == share("shape").points == share("shape", "finite").points == 0
    assert "holds of a constant too" in share("shape").reason and not share("value").reason
    assert share("value").points == 1 and share("shape", "finite", "value").points == 3
    assert share("shape", "finite", "value", "sum").points == 4


def test_they_are_found_once_for_each_state_of_the_checks(tmp_path, monkeypatch):
    from labkit.course.grade.marks import nothing

    place = Place(tmp_path, next(lab for lab in list_labs() if lab.number == "00"))
    found = cheap_by_cell(place)
    assert set(found) == {"log-density-test"} and found["log-density-test"]
    monkeypatch.setattr(nothing, "run_limited", None)
    assert cheap_by_cell(place) == found
    monkeypatch.setattr(nothing, "state_of_checks", lambda source: "another")
    with pytest.raises(TypeError):
        cheap_by_cell(place)
