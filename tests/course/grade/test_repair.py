import base64
import json
import random
from copy import deepcopy

import nbformat
import numpy as np
import pytest
from hostile_course import name
from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath
from nbformat.v4 import new_code_cell, new_markdown_cell

from labkit.course.grade.demo import RIGHT, fill
from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.intake import repair as module
from labkit.course.grade.intake.members import RefusedError
from labkit.course.grade.intake.repair import PICTURE_BYTES, read_cells, repair
from labkit.course.grade.marks.neutral import safe_markdown
from labkit.course.grade.release import student_version

pytest.importorskip("nbgrader", reason="needs the extra `grade`")
EXERCISES = ("log-density", "log-density-test", "components", "components-test", "essay")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return student_version(demo_lab(tmp_path_factory.mktemp("labs")))


@pytest.fixture
def answered(released):
    notebook = deepcopy(released)
    fill(notebook)
    return notebook


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


@pytest.mark.parametrize(
    ("source", "recognised"),
    [
        (RIGHT["components"] + "\n  not Python(", True),
        ("def nearest_power_of_two(count):\n    return 2", False),
    ],
)
def test_it_is_recognised_by_all_that_it_defines_even_if_it_is_no_python(released, answered, source, recognised):
    edit(answered, "components", id="mine", metadata=nbformat.from_dict({}), source=source)
    notebook, said = mended(released, answered)
    whole(released, notebook)
    found = next(c for c in notebook.cells if name(c) == "components")
    assert (found.source == source) == recognised == ("recognised" in said[0])


def test_what_was_missing_stands_where_it_belongs(released, answered):
    for gone in ("components", "components-test"):
        notebook = deepcopy(answered)
        notebook.cells = [cell for cell in notebook.cells if name(cell) != gone]
        found = [name(cell) for cell in mended(released, notebook)[0].cells if name(cell)]
        assert found == list(EXERCISES), gone


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


def test_an_empty_copy_does_not_undo_the_answer(released, answered):
    """It would, as the stub that is executed last."""
    place = next(n for n, c in enumerate(answered.cells) if name(c) == "components")
    stub = next(c for c in released.cells if name(c) == "components")
    answered.cells.insert(place + 1, new_code_cell(stub.source, metadata=stub.metadata, id="copied"))
    notebook, said = mended(released, answered)
    whole(released, notebook)
    space = {"np": np}
    for cell in notebook.cells:
        if "def components_for" in cell.source:
            exec(cell.source, space)
    assert space["components_for"](0.85, [0.6, 0.3, 0.1]) == 2
    assert said == ["components: its cell was there 2 times; the last one that was filled in counts."]


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()


def test_pictures_pasted_into_text_are_kept_and_what_is_none_is_not(released, answered):
    kinds = {
        "a.png": {"image/png": PNG},
        "b.png": {"image/png": base64.b64encode(b"<script>").decode()},
        "c.svg": {"image/svg+xml": "<svg onload=alert(1)>"},
        "d.png": {"image/png": ["not", "base64!"]},
        "e.png": 3,
        "f.jpg": {"image/jpeg": base64.b64encode(b"\xff\xd8\xff" + bytes(PICTURE_BYTES)).decode()},
    }
    text = " ".join(f"![{each}](attachment:{each})" for each in kinds)
    raw = json.loads(nbformat.writes(answered))
    essay = next(c for c in raw["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "essay")
    essay |= {"source": text, "attachments": kinds}
    cells, said = read_cells(json.dumps(raw).encode())
    assert said == ["5 of the things pasted into its text cells are no pictures, or too large."]
    notebook, _ = repair(released, cells)
    (cell,) = (c for c in notebook.cells if name(c) == "essay")
    assert cell.attachments == {"a.png": {"image/png": PNG}} and cell.source == text
    page = safe_markdown(cell.source, cell.attachments)
    assert page.count("data:image/png") == 1 and "script" not in page and "attachment:" not in page
    with pytest.raises(InvalidNotebook):  # what one picture did to a class
        MarkdownWithMath(renderer=IPythonRenderer(escape=False)).render(text)


def test_all_pictures_of_one_notebook_have_a_limit_together(released, answered, monkeypatch):
    monkeypatch.setattr(module, "ALL_PICTURE_BYTES", 2 * len(PNG))
    edit(answered, "essay", attachments={f"{n}.png": {"image/png": PNG} for n in range(4)})
    cells, said = read_cells(nbformat.writes(answered).encode())
    assert sum(len(each.pictures) for each in cells) == 2 and said[0].startswith("2 of the things")


def test_an_answer_in_a_cell_of_the_students_own_before_the_untouched_stub_counts(released, answered):
    place = next(n for n, c in enumerate(answered.cells) if name(c) == "components")
    stub = next(c for c in released.cells if name(c) == "components")
    own = new_code_cell(answered.cells[place].source, id="own")
    answered.cells[place].source = stub.source
    answered.cells.insert(place, own)
    notebook, said = mended(released, answered)
    whole(released, notebook)
    (cell,) = (c for c in notebook.cells if name(c) == "components")
    assert cell.source == own.source and stub.source not in [c.source for c in notebook.cells]
    assert said == ["components: its cell was left empty; the student's own cell that answers it counts."]


def test_an_answer_in_a_cell_of_the_wrong_kind_is_kept(released, answered):
    edit(answered, "components", cell_type="raw")
    for cell in answered.cells:
        if cell.cell_type == "raw":
            del cell["outputs"], cell["execution_count"]
    notebook, said = mended(released, answered)
    whole(released, notebook)
    assert "turned into raw" in said[0]


@pytest.mark.parametrize("held", [{}, {"source": None}, {"source": 7}, {"source": ["x", None]}, {"source": {"a": 1}}])
def test_a_cell_without_text_costs_its_owner_no_other(held):
    cells = [{"cell_type": "code", **held}, {"cell_type": "code", "source": ["x", " = 1"]}]
    found, said = read_cells(json.dumps({"nbformat": 4, "cells": cells}).encode())
    assert [cell.source for cell in found] == ["", "x = 1"]
    assert said == ["1 of its cells held no text that can be read, and count as empty."]


@pytest.mark.parametrize(("before", "behind"), [("", "\0\0\0"), ("", "\x1a"), ("\ufeff\ufeff", "\0\n")])
def test_what_a_disk_or_a_transfer_left_around_a_notebook_costs_nothing(answered, before, behind):
    data = f"{before}{json.dumps(answered)}{behind}".encode()
    assert [cell.source for cell in read_cells(data)[0]] == [cell.source for cell in answered.cells]


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
        (b'{"nbformat": 4, "cells": [{"cell_type": "virus", "source": ""}]}', "neither code nor text"),
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


def essay_of(notebook):
    return next(cell.source for cell in notebook.cells if name(cell) == "essay")


@pytest.mark.parametrize("lost", [False, True], ids=["below the stub", "the stub has lost its name"])
def test_an_essay_in_the_students_own_text_behind_the_untouched_stub_counts(released, answered, lost):
    place = next(place for place, cell in enumerate(answered.cells) if name(cell) == "essay")
    stub = next(cell for cell in released.cells if name(cell) == "essay")
    answered.cells[place] = deepcopy(stub)
    if lost:
        answered.cells[place].metadata, answered.cells[place].id = nbformat.from_dict({}), "another"
    answered.cells.insert(place + 1, new_markdown_cell("My own words."))
    notebook, said = mended(released, answered)
    whole(released, notebook)
    assert essay_of(notebook) == "My own words." and ["text behind it" in each for each in said] == [True]


def test_the_labs_own_text_behind_an_essay_answers_nothing(released, answered):
    stub = next(cell for cell in released.cells if name(cell) == "essay")
    text = new_markdown_cell("What comes next in the lab.")
    place = released.cells.index(stub)
    longer = deepcopy(released)
    longer.cells.insert(place + 1, text)
    handed = deepcopy(longer)
    fill(handed)
    handed.cells[next(n for n, cell in enumerate(handed.cells) if name(cell) == "essay")] = deepcopy(stub)
    assert essay_of(mended(longer, handed)[0]) == stub.source


PARAMETERS = "PROFILE = None  # the size\nDATA = None"


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        (PARAMETERS, []),
        ("PROFILE = 'cpu'\nDATA = None", ["PROFILE"]),
        ("PROFILE = 'gpu'\nDATA = '/home/ada/faces'\nOWN = 3", ["PROFILE", "DATA"]),
        ("PROFILE = None # no more\nDATA = None", []),
        ("%matplotlib inline", []),
    ],
)
def test_a_lab_is_graded_with_the_releases_parameters(released, answered, source, changed):
    start = new_code_cell("run = start_lab('77', profile=PROFILE, data=DATA)")
    first = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    later = new_code_cell("DATA = [1, 2]")
    released, handed = deepcopy(released), deepcopy(answered)
    released.cells[:0] = [first, start]
    handed.cells[:0] = [new_code_cell(source), start, later]
    notebook, said = mended(released, handed)
    values = {}
    exec(notebook.cells[0].source.replace("%", "#"), values)
    assert values.get("PROFILE") is None and values.get("DATA") is None and ("OWN" in values) == ("OWN" in source)
    assert [each.partition(":")[0] for each in said] == ([", ".join(changed)] if changed else [])
    assert notebook.cells[2].source == later.source
