"""What a student asks before handing in, and when solutions are shown."""

import json
import zipfile

import nbformat
import pytest

from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.exercises import exercises
from labkit.course.grade.layout import Place
from labkit.course.handing_in import ENOUGH, TRIES, look_through, pack, solutions
from labkit.course.work import fill
from labkit.errors import LabkitError
from labkit.ladder import ATTEMPTS

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
    mine.unlink()
    with pytest.raises(LabkitError, match="cannot be read"):
        look_through(mine, [lab])


def test_prepare_takes_what_was_packed(lab, mine, tmp_path):
    from labkit.course.grade.intake.prepare import prepare
    from labkit.course.grade.release import release

    changed(mine, write_all)
    packed = pack(mine, [lab])
    moodle, course = tmp_path / "moodle.zip", Place(tmp_path / "course", lab)
    with zipfile.ZipFile(moodle, "w") as together:
        together.write(packed, f"Ada Lovelace_1234567_assignsubmission_file_/{packed.name}")
    release(course)
    prepare(course, moodle)
    (student,) = (tmp_path / "course" / "submitted").iterdir()
    taken = nbformat.read(next(student.rglob("*.ipynb")), as_version=4)
    wanted = nbformat.read(mine, as_version=4)
    assert [cell.source for cell in taken.cells] == [cell.source for cell in wanted.cells]


def test_a_solution_is_shown_once_it_passed_or_after_five_different_answers(lab, tmp_path):
    (first, *_), *_ = exercises(lab.path).values()

    def shown(*attempts):
        lines = [
            json.dumps({"lab": lab.number, "exercise": first.check, "passed": passed, "answer": f"{name}-{answer}"})
            for passed, name, answer in attempts
        ]
        (tmp_path / ATTEMPTS).write_text("\n".join([*lines, "{torn"]))
        text = "\n".join(solutions(lab, tmp_path))
        return "BEGIN SOLUTION" in text.split(f"# {first.check}:")[0] and f"# {first.check}:" not in text

    own = "+".join(first.functions)
    assert not shown()
    assert shown((True, own, 1))
    assert not shown(*[(False, own, 1)] * TRIES)  # one answer, again and again
    assert not shown(*[(False, "forgetful", n) for n in range(TRIES)])
    assert not shown(*[(False, own, n) for n in range(TRIES - 1)])
    assert shown(*[(False, own, n) for n in range(TRIES)])
