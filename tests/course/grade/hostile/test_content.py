"""Files made to break the reading, and notebooks that claim points: no points gained, no other grade touched.

Each attack is shown to work as well: against nbgrader as it comes, or with the defence switched off.
"""

import os
import zipfile
from copy import deepcopy

import nbformat
import pytest
from example_course import properties, write_outcome
from hostile_course import TESTS, VICTIM, grade, hand_in, name, points, prepared
from nbformat.v4 import new_code_cell

from labkit.course.grade.demo import RIGHT
from labkit.course.grade.intake import members
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place
from labkit.course.grade.marks import gradebook, shown
from labkit.course.grade.marks.gradebook import ingest
from labkit.files import write_json

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


def test_half_a_gigabyte(room, tmp_path):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"bob.ipynb": honest})
    with open(source / "mallory.ipynb", "wb") as stream:
        stream.truncate(500_000_000)
    result = prepare(Place(course, lab), source)
    assert "500 MB" in result.students["mallory"]["refused"] and result.students["mallory"]["sha256"] is None
    assert grade(course, lab) == {"mallory": 0, "bob": 8}
    # With the limit off, all of it is read.
    os.truncate(source / "mallory.ipynb", 30_000_000)
    read = prepare(Place(course, lab), source, max_bytes=10**9).students["mallory"]
    assert read["sha256"] and "MB" not in read["refused"]


def test_a_bomb_in_a_zip(room, tmp_path, monkeypatch):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"bob.ipynb": honest})
    with zipfile.ZipFile(source / "mallory.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(lab.path.name, nbformat.writes(honest) + " " * 30_000_000)
    assert (source / "mallory.zip").stat().st_size < 100_000
    assert "swells" in prepare(Place(course, lab), source).students["mallory"]["refused"]
    assert grade(course, lab) == {"mallory": 0, "bob": 8}
    # With the look at the header off, the limit holds; with the limit off, too, it is unpacked and read.
    monkeypatch.setattr(members, "is_bomb", lambda info: False)
    assert "30 MB" in prepare(Place(course, lab), source).students["mallory"]["refused"]
    assert prepare(Place(course, lab), source, max_bytes=10**9).students["mallory"]["refused"] is None


BROKEN = {
    "a letter": b"Dear teacher",
    "nothing": b"",
    "no cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}',
    "a tower of lists": b'{"nbformat": 4, "cells": ' + b"[" * 200_000,
    "a cell that is a number": b'{"nbformat": 4, "cells": [1]}',
    "a version that is endless": b'{"nbformat": 1e999, "cells": []}',
    "metadata that are a list": b'{"nbformat": 4, "metadata": [], "cells": [{"cell_type": "code", "source": "1/0"}]}',
    "an old format that lies": b'{"nbformat": 3, "worksheets": 7}',
    "names of half a letter": b'{"nbformat": 4, "metadata": {"kernelspec": {"name": "\\ud800"}}, "cells": ['
    b'{"cell_type": "code", "source": "", "metadata": {"nbgrader": {"grade_id": "\\ud800\\u001b]0;"}}}]}',
    "half a letter": b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = \'\\ud800\'"}]}',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_notebook_gets_a_row_and_stops_nobody(room, tmp_path, kind):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"mallory.ipynb": BROKEN[kind], "bob.ipynb": honest})
    result = prepare(Place(course, lab), source)
    assert set(result.students) == {"mallory", "bob"}
    assert all(each.isprintable() for each in result.students["mallory"]["repairs"])
    if not result.students["mallory"]["refused"]:
        write_outcome(course, lab, "mallory", exercises={})
        write_outcome(course, lab, "bob", exercises={test: properties(True) for test in TESTS})
        ingest(Place(course, lab))
        assert points(course, lab) == {"mallory": 0, "bob": 8, VICTIM: 8}
    else:
        assert grade(course, lab) == {"mallory": 0, "bob": 8}
    # nbgrader's own reader stops with an exception, or takes it for a notebook with nothing in it.
    from nbgrader.nbgraderformat import reads

    try:
        cells = reads(BROKEN[kind].decode(), as_version=4).cells
    except Exception:
        return
    assert not {name(cell) for cell in cells} & {*TESTS, *RIGHT}


def test_another_kernel(room, tmp_path):
    course, lab, honest = room
    from nbclient import NotebookClient

    honest.metadata.kernelspec = {"name": "evil", "display_name": "Evil", "language": "python"}
    prepare(Place(course, lab), hand_in(tmp_path / "in", {"mallory.ipynb": honest}))
    assert NotebookClient(prepared(course, lab, "mallory")).create_kernel_manager().kernel_name == "python3"
    assert NotebookClient(honest).create_kernel_manager().kernel_name == "evil"


def test_forged_points_checksums_and_flags(room, tmp_path):
    from nbgrader.utils import determine_grade

    course, lab, honest = room
    forged = {"points": 1000, "checksum": "0" * 32, "locked": False, "solution": True, "grade": True}
    for cell in honest.cells:
        if name(cell) in TESTS:
            cell.source = "pass"
            cell.metadata.nbgrader.points = 1000
            assert determine_grade(cell) == (1000, 1000)  # what nbgrader reads off such a cell
            cell.metadata.nbgrader.update(forged)
        elif name(cell) in RIGHT:
            cell.source = "def log_density(x):\n    return x\n\n\ndef components_for(s, r):\n    return 0\n\n\n"
            cell.source += "def nearest_power_of_two(c):\n    return 0"
            cell.metadata.nbgrader.update(points=500, grade=True)
    about = prepare(Place(course, lab), hand_in(tmp_path / "in", {"mallory.ipynb": honest})).students["mallory"]
    released = {name(cell): cell for cell in nbformat.read(Place(course, lab).release, as_version=4).cells}
    for cell in prepared(course, lab, "mallory").cells:
        if name(cell):
            assert cell.metadata.nbgrader == released[name(cell)].metadata.nbgrader
    assert any("points" in each and "put back" in each for each in about["repairs"])
    assert grade(course, lab)["mallory"] < 4


def test_a_test_that_is_there_twice(room, tmp_path):
    from nbgrader.preprocessors import DeduplicateIds

    course, lab, honest = room
    honest.cells = [cell for cell in honest.cells if name(cell) not in RIGHT]
    tests = [cell for cell in honest.cells if name(cell) in TESTS]
    honest.cells += [new_code_cell("pass", metadata=deepcopy(cell.metadata)) for cell in tests]
    kept = [c for c in DeduplicateIds()(deepcopy(honest), {})[0].cells if name(c) in TESTS]
    assert {cell.source for cell in kept} == {"pass"}  # nbgrader keeps the forged ones
    prepare(Place(course, lab), hand_in(tmp_path / "in", {"mallory.ipynb": honest}))
    tests = [cell for cell in prepared(course, lab, "mallory").cells if name(cell) in TESTS]
    assert len(tests) == 2 and all(cell.source.startswith("run.check(") for cell in tests)
    assert grade(course, lab) == {"mallory": 0}


def test_names_of_other_exercises_and_students_in_metadata(room, tmp_path):
    course, lab, honest = room
    honest.metadata.nbgrader = {"student": VICTIM}
    honest.cells.append(
        new_code_cell("pass", metadata={"nbgrader": {"grade_id": "bonus", "grade": True, "points": 99}})
    )
    honest.cells.append(new_code_cell("pass", metadata={"nbgrader": {"grade_id": ["x"], "grade": True}}))
    prepare(Place(course, lab), hand_in(tmp_path / "in", {"mallory.ipynb": honest}))
    write_outcome(course, lab, "mallory", exercises={"bonus": properties(True), "../x": properties(True)})
    ingest(Place(course, lab))
    assert points(course, lab) == {"mallory": 0, VICTIM: 8}


def test_an_executed_notebook_that_became_a_link(room, tmp_path, monkeypatch):
    course, lab, honest = room
    prepare(Place(course, lab), hand_in(tmp_path / "in", {"mallory.ipynb": honest}))
    write_outcome(course, lab, "mallory", exercises={})
    executed = Place(course, lab, "mallory").notebook("executed")
    secret = tmp_path / "secret.ipynb"
    cell = prepared(course, lab, "mallory").cells[1]
    leak = {"output_type": "stream", "name": "stdout", "text": "the secret"}
    write_json(secret, {"cells": [{"id": cell.id, "outputs": [leak]}]})
    executed.unlink()
    executed.symlink_to(secret)
    page = Place(course, lab, "mallory").notebook("autograded")
    ingest(Place(course, lab))
    assert "the secret" not in page.read_text()
    monkeypatch.setattr(shown, "read_file", lambda path, limit: path.read_bytes())
    monkeypatch.setattr(gradebook, "run_limited", lambda work, *args: work(*args))  # where the defence is off
    ingest(Place(course, lab))
    assert "the secret" in page.read_text()
