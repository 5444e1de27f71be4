import json
import os
import random
import zipfile
from copy import deepcopy
from datetime import datetime, timedelta

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from labkit.errors import LabkitError
from labkit.grading.collect import RefusedError
from labkit.grading.demo import DEADLINE, RIGHT, fill
from labkit.grading.demo_lab import demo_lab
from labkit.grading.layout import assignment, open_gradebook, release_path, student_folder
from labkit.grading.prepare import prepare
from labkit.grading.release import release, student_version
from labkit.grading.repair import read_cells, repair

pytest.importorskip("nbgrader", reason="needs the extra `grade`")
EXERCISES = ("log-density", "log-density-test", "components", "components-test", "essay")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return demo_lab(tmp_path_factory.mktemp("labs"))


@pytest.fixture(scope="module")
def course(tmp_path_factory, lab):
    folder = tmp_path_factory.mktemp("course")
    release(lab, folder)
    return folder


@pytest.fixture(scope="module")
def released(lab):
    return student_version(lab)


@pytest.fixture
def answered(released):
    notebook = deepcopy(released)
    fill(notebook)
    return notebook


def name(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def mended(released, notebook):
    return repair(released, read_cells(nbformat.writes(notebook).encode())[0])


def whole(released, notebook):
    """Each exercise once, in the release's own words where it is locked, tests behind exercises."""
    model = {name(cell): cell for cell in released.cells if name(cell)}
    places = {name(cell): place for place, cell in enumerate(notebook.cells) if name(cell)}
    assert sorted(filter(None, map(name, notebook.cells))) == sorted(EXERCISES)
    for cell in notebook.cells:
        if name(cell):
            assert cell.metadata.nbgrader == model[name(cell)].metadata.nbgrader
            assert cell.cell_type == model[name(cell)].cell_type
            assert cell.id == model[name(cell)].id
            if not cell.metadata.nbgrader.solution:
                assert cell.source == model[name(cell)].source
    assert places["log-density"] < places["log-density-test"]
    assert places["components"] < places["components-test"]
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_a_notebook_in_order_is_left_as_it_is(released, answered):
    notebook, said = mended(released, answered)
    assert not said
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in answered.cells]
    whole(released, notebook)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_deleted_copied_or_moved_comes_out_whole(released, answered, seed):
    generator = random.Random(seed)
    for _ in range(generator.randint(1, 5)):
        deed, place = generator.choice(["delete", "copy", "move"]), generator.randrange(len(answered.cells))
        if deed == "copy":
            copy = deepcopy(answered.cells[place])
            copy.id = f"copy-{generator.random()}"[:40].replace(".", "")
            answered.cells.insert(generator.randrange(len(answered.cells)), copy)
        elif len(answered.cells) > 1:
            cell = answered.cells.pop(place)
            if deed == "move":
                answered.cells.insert(generator.randrange(len(answered.cells) + 1), cell)
    kept = {name(cell) for cell in answered.cells}
    notebook, said = mended(released, answered)
    whole(released, notebook)
    for cell in notebook.cells:
        if name(cell) in RIGHT and name(cell) in kept:
            assert cell.source == RIGHT[name(cell)]
    assert len(said) >= len(set(EXERCISES) - kept)
    again, nothing = mended(released, notebook)
    assert not nothing and [c.source for c in again.cells] == [c.source for c in notebook.cells]


def edit(notebook, which, **changes):
    for cell in notebook.cells:
        if name(cell) == which:
            for key, value in changes.items():
                setattr(cell, key, value)


def test_a_cell_that_lost_its_name_is_recognised_by_what_it_defines(released, answered):
    edit(answered, "components", id="mine", metadata=nbformat.from_dict({}))
    notebook, said = mended(released, answered)
    whole(released, notebook)
    assert next(c for c in notebook.cells if name(c) == "components").source == RIGHT["components"]
    assert any("recognised" in each for each in said)


def test_an_essay_that_lost_its_name_is_recognised_by_its_place_in_the_file(released, answered):
    edit(answered, "essay", metadata=nbformat.from_dict({}))
    notebook, said = mended(released, answered)
    whole(released, notebook)
    assert next(c for c in notebook.cells if name(c) == "essay").source == RIGHT["essay"]
    assert said == ["essay: its cell had lost its name and was recognised."]


def test_a_changed_test_is_put_back_and_said(released, answered):
    edit(answered, "log-density-test", source="print('all right')")
    notebook, said = mended(released, answered)
    whole(released, notebook)
    assert said == ["log-density-test: this test was changed, and put back."]


def test_of_two_cells_the_last_one_filled_in_counts_and_the_other_is_kept(released, answered):
    place = next(n for n, c in enumerate(answered.cells) if name(c) == "log-density")
    stub = next(c for c in released.cells if name(c) == "log-density")
    first = new_code_cell("def log_density(x):\n    return 0", metadata=stub.metadata, id="first")
    last = new_code_cell(stub.source, metadata=stub.metadata, id="last")
    answered.cells[place:place] = [first]
    answered.cells.insert(place + 2, last)
    notebook, said = mended(released, answered)
    whole(released, notebook)
    assert next(c for c in notebook.cells if name(c) == "log-density").source == RIGHT["log-density"]
    assert first.source in [cell.source for cell in notebook.cells]
    assert said == ["log-density: its cell was there 3 times; the last one that was filled in counts."]


def test_an_answer_in_a_cell_of_the_wrong_kind_is_kept(released, answered):
    edit(answered, "components", cell_type="raw")
    for cell in answered.cells:
        if cell.cell_type == "raw":
            del cell["outputs"], cell["execution_count"]
    notebook, said = mended(released, answered)
    whole(released, notebook)
    assert "turned into raw" in said[0]


def test_old_formats_are_read(released, answered):
    old = nbformat.convert(deepcopy(answered), 3)
    notebook, _ = repair(released, read_cells(nbformat.writes(old, version=3).encode())[0])
    whole(released, notebook)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"Dear teacher", "no notebook"),
        (b"[1, 2]", "no notebook"),
        (b'{"cells": []}', "no notebook"),
        (b'{"nbformat": 4, "cells": []}', "no cells"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "no notebook"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "virus", "source": ""}]}', "neither code nor text"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 7}]}', "neither code nor text"),
        (b'{"nbformat": "4e", "cells": 3}', "no notebook"),
        (b"\xff\xfe\x00", "no notebook"),
        (b"[" * 100_000, "no notebook"),
        (
            json.dumps({"nbformat": 4, "cells": [{"cell_type": "raw", "source": ""}] * 1001}).encode(),
            "1,001 cells",
        ),
    ],
)
def test_what_is_no_notebook_is_refused_with_a_reason(data, words):
    with pytest.raises(RefusedError, match=words):
        read_cells(data)


def hand_in(folder, files):
    for where, content in files.items():
        path = folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else nbformat.writes(content).encode())
    return folder


def test_all_common_ways_to_hand_in_are_understood(course, lab, answered, tmp_path):
    files = {
        "ada.ipynb": answered,
        f"ben_{lab.path.name}": answered,
        f"Cleo Ångström_123456_assignsubmission_file_{lab.path.name}": answered,
        f"dan/{lab.path.name}": answered,
        f"eve/{assignment(lab)}/{lab.path.name}": answered,
        "Finn Berg_77_assignsubmission_file_/anything.ipynb": answered,
        "gus/lab03a/03a_other.ipynb": answered,
        "hana/notes.txt": b"no notebook",
        ".DS_Store": b"",
        "grades.csv": b"1,2",
    }
    source = hand_in(tmp_path / "in", files)
    inner = tmp_path / "in" / "ida.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(f"deep/{lab.path.name}", nbformat.writes(answered))
    expected = {"ada", "ben", "Cleo_Ångström_123456", "dan", "eve", "Finn_Berg_77", "hana", "ida"}
    result = prepare(course, lab, source)
    assert set(result.students) == expected
    assert {who for who, about in result.students.items() if about["refused"]} == {"hana"}
    assert len(result.left_out) == 2
    for student in expected - {"hana"}:
        path = student_folder(course, "submitted", student, lab) / lab.path.name
        assert RIGHT["log-density"] in [cell.source for cell in nbformat.read(path, as_version=4).cells]
    archive_of_all = tmp_path / "all.zip"
    with zipfile.ZipFile(archive_of_all, "w") as archive:
        for path in source.rglob("*"):
            if path.is_file() and path.name != "ida.zip":
                archive.write(path, path.relative_to(source))
    again = prepare(course, lab, archive_of_all)
    assert set(again.students) == expected - {"ida"}
    with open_gradebook(course) as gradebook:
        assert expected <= {student.id for student in gradebook.students}


def test_of_several_notebooks_the_newest_of_the_right_name_counts(course, lab, answered, released, tmp_path):
    source = hand_in(
        tmp_path / "in",
        {
            "ada/old/" + lab.path.name: released,
            "ada/new/" + lab.path.name: answered,
            "ada/scratch.ipynb": released,
        },
    )
    os.utime(source / "ada" / "old" / lab.path.name, (1, 1))
    about = prepare(course, lab, source).students["ada"]
    assert about["repairs"] == ["2 notebooks were handed in; the newest one counts."]
    path = student_folder(course, "submitted", "ada", lab) / lab.path.name
    assert RIGHT["essay"] in path.read_text()


def test_late_is_what_is_dated_after_the_deadline(course, lab, answered, tmp_path):
    source = hand_in(tmp_path / "in", {"early.ipynb": answered, "tardy.ipynb": answered})
    for student, hours in {"early": -1, "tardy": 5}.items():
        moment = (DEADLINE + timedelta(hours=hours)).timestamp()
        os.utime(source / f"{student}.ipynb", (moment, moment))
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(source.iterdir()):
            packed.write(path, path.name)
    for way in (source, archive):
        found = prepare(course, lab, way, deadline=DEADLINE).students
        assert found["early"]["late_seconds"] == 0
        assert found["tardy"]["late_seconds"] == pytest.approx(5 * 3600, abs=2)
    assert prepare(course, lab, source).students["tardy"]["late_seconds"] is None


def test_the_dates_inside_a_students_own_zip_count_for_nothing(course, lab, answered, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    entry = zipfile.ZipInfo(lab.path.name, date_time=(1999, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(source / "ada.zip", "w") as packed:
        packed.writestr(entry, nbformat.writes(answered))
    late = prepare(course, lab, source, deadline=datetime(2020, 1, 1)).students["ada"]["late_seconds"]
    assert late > 0


def test_a_second_prepare_replaces_and_a_refusal_takes_away(course, lab, answered, tmp_path):
    folder = student_folder(course, "submitted", "zoe", lab)
    prepare(course, lab, hand_in(tmp_path / "1", {"zoe.ipynb": answered}))
    first = (folder / lab.path.name).read_bytes()
    prepare(course, lab, hand_in(tmp_path / "1", {"zoe.ipynb": answered}))
    assert (folder / lab.path.name).read_bytes() == first
    prepare(course, lab, hand_in(tmp_path / "2", {"zoe.ipynb": b"oops"}))
    assert not (folder / lab.path.name).exists()
    assert json.loads((folder / "prepared.json").read_text())["refused"]


def test_nothing_of_outputs_metadata_or_kernel_is_kept(course, lab, answered, tmp_path):
    answered.metadata.widgets = {"state": 1}
    answered.metadata.kernelspec = {"name": "evil", "display_name": "x", "language": "sh"}
    answered.cells[2].metadata.tags = ["skip-execution"]
    answered.cells[2].outputs = [nbformat.v4.new_output("stream", text="secret")]
    about = prepare(course, lab, hand_in(tmp_path / "in", {"ada.ipynb": answered})).students["ada"]
    notebook = nbformat.read(student_folder(course, "submitted", "ada", lab) / lab.path.name, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3" and "widgets" not in notebook.metadata
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert all(set(cell.metadata) <= {"nbgrader"} for cell in notebook.cells)
    assert about["repairs"] == ["its kernel was called evil; it is run with python3."]


def test_what_is_missing_is_said_in_a_sentence(course, lab, tmp_path):
    with pytest.raises(LabkitError, match="neither a folder nor a zip"):
        prepare(course, lab, tmp_path / "nowhere")
    with pytest.raises(LabkitError, match="labkit release"):
        prepare(tmp_path / "other", lab, tmp_path)
    assert release_path(course, lab).is_file()
