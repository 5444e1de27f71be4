"""Hints climb one rung for each different failed answer; attempts stay in the student's folder and break nothing."""

import json
import math
from pathlib import Path

import pytest

from labkit import ladder
from labkit import run as run_module
from labkit.checking import Property
from labkit.errors import CheckFailed
from labkit.labs import lab00, lab03
from labkit.run import start_lab


def flipped(x):
    return 0.5 * (x**2).sum(1) - x.shape[1] / 2 * math.log(2 * math.pi)


def kl_without_half(mean, log_var):
    return (mean**2 + log_var.exp() - 1 - log_var).sum(1)


EXERCISES = {
    "log-density": (lab00.first_check, flipped, "the sign is flipped"),
    "KL": (lab03.closed_form_kl, kl_without_half, "½"),
}


@pytest.fixture
def student(tmp_path, monkeypatch):
    """A run of a lab by a person, whose notebook lies in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_module, "somebody_is_there", lambda: True)
    return start_lab("00", profile="smoke", out=tmp_path / "out")


def logged(folder):
    return [json.loads(line) for line in (folder / ladder.ATTEMPTS).read_text(encoding="utf-8").splitlines()]


def fail(student, capsys, check, answer):
    capsys.readouterr()
    with pytest.raises(CheckFailed):
        student.check(check, answer)
    return capsys.readouterr().out


def variants(answer):
    """The same mistake, written in four ways."""
    source = Path("variant.py")
    made = []
    for number in range(4):
        path = source.with_stem(f"variant{number}")
        path.write_text(f"def answer(*given):\n    return inner(*given) + {number} * 0\n", encoding="utf-8")
        space = {"inner": answer}
        exec(compile(path.read_text(encoding="utf-8"), str(path.resolve()), "exec"), space)
        made.append(space["answer"])
    return made


@pytest.mark.parametrize("exercise", EXERCISES)
def test_each_different_answer_climbs_a_rung(student, capsys, exercise):
    check, answer, _ = EXERCISES[exercise]
    said = [fail(student, capsys, check, each) for each in variants(answer)]
    assert "where:" in said[0] and "why:" not in said[0] and "write:" not in said[0]
    assert "why:" in said[1] and "write:" not in said[1]
    assert "write:" in said[2] and said[3] == said[2]
    assert "expected" in said[0]


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_whole_hint_holds_the_mistake(student, capsys, exercise):
    check, answer, mistake = EXERCISES[exercise]
    for each in variants(answer)[:3]:
        said = fail(student, capsys, check, each)
    assert mistake in said


def test_the_same_answer_stays_on_its_rung(student, capsys, tmp_path):
    said = {fail(student, capsys, lab00.first_check, flipped) for _ in range(4)}
    assert len(said) == 1 and "why:" not in said.pop()
    lines = logged(tmp_path)
    assert len(lines) == 4 and len({each["answer"] for each in lines}) == 1
    assert {"time", "lab", "exercise", "passed", "failed"} <= lines[0].keys()
    assert (lines[0]["lab"], lines[0]["exercise"], lines[0]["passed"]) == ("00", "first_check", False)


def test_comments_make_no_new_answer(tmp_path):
    names = set()
    for number, body in enumerate(("    return x\n", "    # again\n\n    return x\n", "    return -x\n")):
        path = tmp_path / f"cell{number}.py"
        path.write_text(f"def answer(x):\n{body}", encoding="utf-8")
        space = {}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
        names.add(ladder.answer_of([space["answer"]], []))
    assert len(names) == 2


def test_the_stub_is_no_attempt(student, capsys, tmp_path):
    def answer(x):
        raise NotImplementedError

    assert "stub" in fail(student, capsys, lab00.first_check, answer)
    assert not (tmp_path / ladder.ATTEMPTS).exists()


@pytest.mark.parametrize("damage", [b"\xff\xfe{", b"[1, 2]\n3\n", b'{"lab": "00", "exerc', b"[" * 100_000])
def test_a_damaged_file_breaks_no_check(student, capsys, tmp_path, damage):
    (tmp_path / ladder.ATTEMPTS).write_bytes(damage)
    first, second = variants(flipped)[:2]
    assert "why:" not in fail(student, capsys, lab00.first_check, first)
    assert "why:" in fail(student, capsys, lab00.first_check, second)


def test_a_place_that_cannot_be_written_breaks_no_check(student, capsys, tmp_path):
    (tmp_path / ladder.ATTEMPTS).mkdir()  # fails for root too, whom a folder's mode does not stop
    assert "where:" in fail(student, capsys, lab00.first_check, flipped)


def test_a_lab_that_runs_unattended_logs_nothing_and_shows_the_whole_hint(student, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "somebody_is_there", lambda: False)
    said = fail(student, capsys, lab00.first_check, flipped)
    assert "hint:" in said and "where:" not in said
    assert not (tmp_path / ladder.ATTEMPTS).exists()


@pytest.mark.parametrize(
    ("missed", "denied"),
    [
        (Property("stays", False, "it is overwritten.", why="it is overwritten: write torch.zeros_like(x)."), False),
        (Property("is right", False, "it is 3.", where="it is 3, expected 4."), True),
        (Property("is equal", False, "", why="groups come with 0.44, 0.32, and should with 0.33 each."), True),
    ],
    ids=["named at rung one", "a case alone", "numbers alone"],
)
def test_rung_two_denies_no_mistake_that_rung_one_has_named(missed, denied):
    assert any("No common mistake" in line for line in ladder.report([missed], 2)) == denied


def test_the_third_rung_names_the_place_in_the_text(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Lab\n", "## The bound\n", "text"]},
        {"cell_type": "code", "source": ["run.check(lab03.elbo, elbo)\n"]},
    ]
    (tmp_path / "a.ipynb").write_text("no JSON", encoding="utf-8")
    (tmp_path / "b.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert ladder.place(tmp_path, "elbo") == "The bound"
    assert ladder.place(tmp_path, "spherical") == ""
