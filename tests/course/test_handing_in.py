"""What a student asks before handing in, and when solutions are shown."""

import json
import os
import sys
import zipfile

import nbformat
import pytest

from labkit.attempts import ATTEMPTS
from labkit.course import cli, handing_in
from labkit.course.grade.demo import fill as write_right
from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.exercises import exercises
from labkit.course.grade.intake.prepare import MAX_BYTES
from labkit.course.grade.layout import Place
from labkit.course.grade.limited import Overrun
from labkit.course.grade.run import choose_kernel
from labkit.course.grade.sandbox.kernels import Kernel
from labkit.course.handing_in import ENOUGH, TRIES, look_through, pack, run_checks, solutions
from labkit.course.work import fill
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


@pytest.fixture
def lab(tmp_path):
    return demo_lab(tmp_path / "labs")


@pytest.fixture
def mine(lab, tmp_path):
    fill(tmp_path / "work", [lab])
    return tmp_path / "work" / lab.path.name


def changed(path, change):
    notebook = nbformat.read(path, as_version=4)
    change(notebook.cells)
    nbformat.write(notebook, path)


def write_all(cells):
    for cell in cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = cell.source.replace("raise NotImplementedError", "return 0").replace(
                "*Your answer.*", "Done."
            )


def test_the_stubs_are_named_and_a_written_notebook_has_none(lab, mine):
    said, done = look_through(mine, [lab])
    names = [each.split(":")[0] for each in said if "still to be written" in each]
    notebook = nbformat.read(mine, as_version=4)
    assert not done and names == [
        cell.metadata.nbgrader.grade_id
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    ]
    changed(mine, write_all)
    assert look_through(mine, [lab]) == ([f"{mine.name}: {ENOUGH}"], True)


@pytest.mark.parametrize("name", ["{}", "{} (1)", "{}-Copy1", "Copy of {}", "ada_{}"])
def test_what_is_packed_under_any_name_of_a_copy_says_what_is_undone(lab, mine, monkeypatch, capsys, name):
    mine = mine.rename(mine.with_stem(name.format(mine.stem)))
    monkeypatch.setattr("labkit.course.run.labs.list_labs", lambda: [lab])
    monkeypatch.setattr(sys, "argv", ["labkit", "submit", str(mine)])
    with pytest.raises(SystemExit):
        cli.main()
    *undone, last = capsys.readouterr().out.splitlines()
    assert last == f"hand in {mine.with_suffix('.zip')}" and mine.with_suffix(".zip").is_file()
    assert undone and all("still to be written" in each for each in undone)


def test_a_deleted_test_cell_is_said(lab, mine):
    changed(mine, write_all)
    changed(mine, lambda cells: cells.remove(next(c for c in cells if c.metadata.get("nbgrader", {}).get("grade"))))
    said, done = look_through(mine, [lab])
    assert done and any(each.startswith("put right at grading") for each in said)


def test_what_is_no_lab_or_no_notebook_is_a_sentence(lab, mine, tmp_path):
    with pytest.raises(LabkitError, match="name of no lab"):
        look_through(tmp_path / "letter.ipynb", [lab])
    mine.write_text("{}")
    with pytest.raises(LabkitError, match="would be refused, since it is no notebook"):
        pack(mine, [lab])
    for text in ('{"nbformat": 1e999, "cells": []}', " " * (MAX_BYTES + 1)):
        mine.write_text(text)
        with pytest.raises(LabkitError, match="would be refused, since it"):
            look_through(mine, [lab])
    mine.unlink()
    for make in (
        lambda: None,
        lambda: os.mkfifo(mine),
        lambda: (mine.unlink(), mine.mkdir()),
    ):  # a pipe is not waited for
        make()
        with pytest.raises(LabkitError, match=r"there is no such file; give the path of your notebook"):
            look_through(mine, [lab])


def test_the_checks_run_as_grading_runs_them(lab, mine):
    notebook = nbformat.read(mine, as_version=4)
    write_right(notebook, components="1 / 0")
    nbformat.write(notebook, mine)
    right, wrong = run_checks(mine, [lab], choose_kernel(unsafe=True))
    name, held, _, count, *_ = right.split()
    assert name == "log-density-test:" and held == count != "0"
    assert wrong.startswith("components-test: 0 of ") or "defines no" in wrong


@pytest.mark.parametrize("sandbox", [True, False])
def test_the_command_runs_the_checks_where_there_is_a_sandbox(lab, mine, monkeypatch, capsys, sandbox):
    def none_here(**settings):
        raise LabkitError("no sandbox")

    if not sandbox:
        monkeypatch.setattr("labkit.course.grade.run.choose_kernel", none_here)
    else:
        try:
            assert choose_kernel().runtime
        except LabkitError as error:
            pytest.skip(str(error))
    monkeypatch.setattr("labkit.course.run.labs.list_labs", lambda: [lab])
    monkeypatch.setattr(sys, "argv", ["labkit", "check", str(mine)])
    changed(mine, lambda cells: cells.remove(next(c for c in cells if c.metadata.get("nbgrader", {}).get("grade"))))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().out
    assert (
        ended.value.code == 1 and "still to be written" in said and "put right at grading" in said and ENOUGH in said
    )
    assert ("log-density-test: 0 of " in said) == sandbox != ("not run, since there is no sandbox" in said)


def log(folder, lab, *attempts):
    """The attempts.jsonl of a folder: the first exercise's, then a line that was torn. Returns the exercise."""
    (first, *_), *_ = exercises(lab.path).values()
    lines = [
        json.dumps({"lab": lab.number, "exercise": first.check, "passed": passed, "answer": f"{name}-{answer}"})
        for passed, name, answer in attempts
    ]
    (folder / ATTEMPTS).write_text("\n".join([*lines, "{torn"]))
    return first


def prepared(packed, lab, tmp_path):
    """What `prepare` says of each zip that came by Moodle, and the notebook that it took."""
    from labkit.course.grade.intake.prepare import prepare
    from labkit.course.grade.release import release

    moodle, course = tmp_path / "moodle.zip", Place(tmp_path / "course", lab)
    with zipfile.ZipFile(moodle, "w") as together:
        for number, each in enumerate(packed):
            together.write(each, f"Ada No{number}_123{number}_assignsubmission_file_/{each.name}")
    release(course)
    result = prepare(course, moodle)
    assert not result.failed and len(result.students) == len(packed)
    return [
        (about, nbformat.read(course.of(student).notebook("submitted"), as_version=4))
        for student, about in result.students.items()
    ]


def test_prepare_takes_what_was_packed_and_counts_the_attempts(lab, mine, tmp_path):
    changed(mine, write_all)
    own = "+".join(log(tmp_path, lab).functions)
    first = log(mine.parent, lab, (False, own, 1), (False, own, 1), (False, own, 2), (True, own, 3), (False, "f", 4))
    ((about, taken),) = prepared([pack(mine, [lab])], lab, tmp_path)
    assert about["attempts"] == {first.check: "2 failed, one passed"}
    wanted = nbformat.read(mine, as_version=4)
    assert [cell.source for cell in taken.cells] == [cell.source for cell in wanted.cells]


DEEP = b'{"answer": ' + b"[" * 900 + b"]" * 900 + b"}"
ODD = b'{"lab": {}, "exercise": [], "answer": "f-1"}\n{"answer": 1}\n{"lab": 1' + b"0" * 5000 + b"}\n"


def test_a_file_of_a_clock_before_1980_is_packed(lab, mine):
    os.utime(mine, (0, 0))
    assert mine.name in zipfile.ZipFile(pack(mine, [lab])).namelist()


def test_a_kernel_that_does_not_start_is_a_sentence(lab, mine, monkeypatch):
    def refuse(*args, **settings):
        raise Overrun("its kernel did not start")

    monkeypatch.setattr(handing_in, "execute", refuse)
    with pytest.raises(LabkitError, match=r"could not be run \(its kernel did not start\); try again"):
        run_checks(mine, [lab], Kernel("none"))


def test_a_log_of_attempts_keeps_no_notebook_from_being_taken(lab, mine, tmp_path):
    changed(mine, write_all)
    packed = []
    for number, written in enumerate([b"\xff\xfe{", b"[1, 2]\n3\n", b"[" * 100_000, DEEP, ODD, b"{}\n" * 400_000]):
        packed.append(tmp_path / f"{number}.zip")
        with zipfile.ZipFile(packed[-1], "w") as archive:
            archive.write(mine, mine.name)
            archive.writestr(ATTEMPTS, written)
    for about, _ in prepared(packed, lab, tmp_path):
        assert about["attempts"] == {} and not about["refused"]


def test_a_solution_is_shown_once_it_passed_or_after_five_different_answers(lab, tmp_path):
    def shown(*attempts):
        first = log(tmp_path, lab, *attempts)
        text = "\n".join(solutions(lab, tmp_path))
        return "BEGIN SOLUTION" in text.split(f"# {first.check}:")[0] and f"# {first.check}:" not in text

    own = "+".join(log(tmp_path, lab).functions)
    assert not shown()
    assert shown((True, own, 1))
    assert not shown(*[(False, own, 1)] * TRIES)  # one answer, again and again
    assert not shown(*[(False, "forgetful", n) for n in range(TRIES)])
    assert not shown(*[(False, own, n) for n in range(TRIES - 1)])
    assert shown(*[(False, own, n) for n in range(TRIES)])
