"""One submission in a kernel: what it earns, and how it ends."""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from small_lab import FIRST, LIMITS, PLAIN, SECOND, lab_in, share, submit

from labkit.course.grade.execute import execute
from labkit.course.grade.executor import Executor
from labkit.course.grade.exercises import exercises
from labkit.course.grade.limited import Overrun
from labkit.course.grade.sandbox.limits import Limits
from labkit.course.grade.talk.channel import DYING_SECONDS, Channel
from labkit.course.run.labs import project_root
from labkit.errors import LabkitError


@pytest.fixture
def graded(tmp_path):
    """A function that executes a submission with some cells changed; the outcome and its folder."""

    def run(limits=LIMITS, **cells):
        lab = lab_in(tmp_path)
        folder, out = submit(tmp_path, lab, "ada", **cells), tmp_path / "executed" / "ada" / "lab77"
        outcome = execute(folder, out, lab, kernel=PLAIN, limits=limits, salt=7)
        assert json.loads((out / "outcome.json").read_text()) == outcome
        return outcome, out

    return run


def test_a_right_notebook_that_warns_has_full_marks(graded):
    outcome, out = graded(between="warnings.warn('beware'); print('x', file=sys.stderr)\ninput()")
    assert (outcome["status"], outcome["reason"], outcome["sandbox"]) == ("ok", "", "none")
    assert share(outcome, FIRST) == share(outcome, SECOND) == 1
    cells = nbformat.read(out / "77_small.ipynb", as_version=4).cells
    assert any("StdinNotImplementedError" in str(each.get("outputs")) for each in cells)
    assert "hold" in cells[2].outputs[0].text


def test_wrong_missing_and_stub_lose_what_they_should(graded):
    wrong = "def log_density(x):\n    return -0.5 * (math.log(2 * math.pi) + x.square().sum(dim=1))"
    outcome, _ = graded(density=wrong, phi="pass")
    assert outcome["status"] == "ok" and 0 < share(outcome, FIRST) < 1 and share(outcome, SECOND) == 0
    assert outcome["exercises"][SECOND]["reason"] == "the notebook defines no phi."
    hints = [each["hint"] for each in outcome["exercises"][FIRST]["properties"] if not each["passed"]]
    assert len(hints) == 1 and "the constant is that of one feature: multiply it by d." in hints[0]


def test_a_dead_kernel_keeps_what_was_graded_before_it(graded):
    outcome, out = graded(between="import os, shutil; shutil.rmtree(os.getcwd()); os._exit(1)")
    assert outcome["status"] == "kernel died" and "died" in outcome["reason"]
    assert share(outcome, FIRST) == 1 and share(outcome, SECOND) == 0
    assert outcome["exercises"][SECOND]["reason"] == outcome["reason"]
    assert (out / "77_small.ipynb").is_file()


def test_time_outs_and_floods_end_a_notebook_with_a_reason(graded, monkeypatch):
    monkeypatch.setattr(Executor, "_wall_left", lambda *_: 600.0)  # beside other work the clock would come first
    limits = Limits(cell_seconds=12, notebook_seconds=100, output_bytes=50_000)
    outcome, _ = graded(limits, between="while True:\n    try:\n        pass\n    except BaseException: pass")
    assert outcome["status"] == "time-out" and "computed longer than 12 s" in outcome["reason"]
    assert share(outcome, FIRST) == 1 and not outcome["again"], "no load can be to blame"
    outcome, _ = graded(limits, between="while True:\n    print('x' * 1000)")
    assert outcome["status"] == "output flood" and share(outcome, FIRST) == 1 and share(outcome, SECOND) == 0


def test_what_is_no_notebook_is_refused(graded, tmp_path):
    lab = lab_in(tmp_path)
    folder = submit(tmp_path, lab, "bob")
    for content in ("{", "[]", '{"cells": 3}'):
        (folder / lab.path.name).write_text(content)
        outcome = execute(folder, tmp_path / "out", lab, kernel=PLAIN, limits=LIMITS, salt=1)
        assert outcome["status"] == "refused" and "no notebook" in outcome["reason"]
        assert set(outcome["exercises"]) == {FIRST, SECOND}


def test_every_labs_exercises_can_be_read_and_loaded():
    found = 0
    for path in sorted((project_root() / "notebooks").glob("*.ipynb")):
        for name, checks in exercises(path).items():
            assert all(callable(each.load()) and each.functions for each in checks), name
            found += len(checks)
    assert found > 10


def test_a_source_whose_check_cannot_be_found_is_the_instructors_fault(tmp_path):
    lab = lab_in(tmp_path)
    text = lab.path.read_text()
    lab.path.write_text(text.replace("lab02.phi_matrix, phi", "elsewhere.phi_matrix, phi"))
    with pytest.raises(LabkitError, match="phi-test"):
        exercises(lab.path)
    lab.path.write_text(text.replace("lab02.phi_matrix, phi", "lab02.phi_matrix, phi=phi"))
    with pytest.raises(LabkitError, match="names alone"):
        exercises(lab.path)


def test_a_kernel_that_takes_a_moment_to_die_has_printed_no_flood(monkeypatch):
    """Its connections end before it does: the sooner the busier the machine."""
    ending, cut = [True, True, False], SimpleNamespace(poll=lambda *_: 1)
    channel = object.__new__(Channel)
    channel.alive, channel._cut = (lambda: ending.pop(0)), cut
    assert not channel._too_large() and not ending

    async def slept(seconds):
        assert seconds == DYING_SECONDS
        dead.append(True)

    async def alive():
        return not dead

    dead = []
    monkeypatch.setattr(asyncio, "sleep", slept)
    executor = SimpleNamespace(_monitors=[cut], km=SimpleNamespace(is_alive=alive))
    assert not asyncio.run(Executor._cut_off(executor))


def test_a_sandbox_that_does_not_start_is_tried_again_and_stops_no_other(tmp_path, monkeypatch):
    lab = lab_in(tmp_path)
    folder = submit(tmp_path, lab, "ada")

    async def refuse(*args, **settings):
        raise LabkitError("The sandbox did not start: no memory")

    monkeypatch.setattr(Executor, "async_start_new_kernel", refuse)
    with pytest.raises(Overrun, match=r"its kernel did not start.*no memory") as raised:
        execute(folder, tmp_path / "out", lab, kernel=PLAIN, limits=LIMITS, salt=7)
    assert not raised.value.certain
