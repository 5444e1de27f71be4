"""Submissions made to cheat, to leak or to break: nothing leaked, no other grade touched, no points gained.

Each attack is shown to work as well: against nbgrader as it comes, or with the defence switched off.
"""

import json
import os
import shutil
import stat
import zipfile
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from example_course import active, properties, run_trusted, write_outcome
from nbformat.v4 import new_code_cell, new_markdown_cell

from labkit.files import write_json
from labkit.grading import collect, shown
from labkit.grading.collect import RefusedError, read_file
from labkit.grading.demo import RIGHT, fill
from labkit.grading.demo_lab import demo_lab
from labkit.grading.feedback import write_feedback
from labkit.grading.gradebook import ingest
from labkit.grading.layout import open_gradebook, release_path, source_path, student_folder
from labkit.grading.prepare import prepare
from labkit.grading.release import release

pytest.importorskip("nbgrader", reason="needs the extra `grade`")
TESTS = ("log-density-test", "components-test")
VICTIM = "victim"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A course where an honest student has been graded."""
    course = tmp_path_factory.mktemp("course")
    lab = demo_lab(course)
    release(lab, course)
    honest = nbformat.read(release_path(course, lab), as_version=4)
    fill(honest)
    hand_in(course / "honest", {f"{VICTIM}/{lab.path.name}": honest})
    prepare(course, lab, course / "honest")
    run_trusted(course, lab)
    ingest(course, lab)
    return course, lab, honest


@pytest.fixture
def room(template, tmp_path):
    course, lab, honest = template
    return shutil.copytree(course, tmp_path / "course"), lab, deepcopy(honest)


def hand_in(folder, files):
    for where, content in files.items():
        path = folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else nbformat.writes(content).encode())
    return folder


def points(course, lab):
    """student → points of the tests, as the gradebook has them."""
    with open_gradebook(course) as gradebook:
        rows = [s for student in gradebook.students for s in student.submissions]
        return {row.student.id: sum(g.score for n in row.notebooks for g in n.grades) for row in rows}


def grade(course, lab):
    run_trusted(course, lab)
    ingest(course, lab)
    found = points(course, lab)
    assert found.pop(VICTIM) == 8, "another student's grade was touched"
    return found


def snapshot(folder, *, without=()):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_relative_to(without[0])}


def prepared(course, lab, student):
    return nbformat.read(student_folder(course, "submitted", student, lab) / lab.path.name, as_version=4)


def name(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


# Names and archives


@pytest.mark.parametrize(
    "entry",
    [
        f"../../submitted/{VICTIM}/labdemo/demo_two_exercises.ipynb",
        "/tmp/absolute/demo_two_exercises.ipynb",
        "x/../../gradebook.db/demo_two_exercises.ipynb",
        "..\\..\\gradebook.ipynb",
        "C:\\grades\\demo_two_exercises.ipynb",
    ],
)
def test_a_zip_that_leads_out_of_its_folder(room, tmp_path, entry):
    course, lab, honest = room
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(entry, nbformat.writes(honest))
        packed.writestr("bob.ipynb", nbformat.writes(honest))
    before = snapshot(course, without=[course / "submitted" / "bob"])
    result = prepare(course, lab, archive)
    assert set(result.students) == {"bob"} and "leads out" in result.left_out[0]
    del before[course / "gradebook.db"]
    assert {path: path.read_bytes() for path in before} == before
    # Without the defence, a name joined to a folder leads elsewhere: to another student's work, too.
    plain = entry.replace("\\", "/").removeprefix("C:")
    joined = Path(os.path.normpath(course / "submitted" / "mallory" / plain))
    assert not joined.is_relative_to(course / "submitted" / "mallory")


@pytest.mark.parametrize(
    "student", ["../../evil", "a/b", "..", "", "-rf", "*", "[a]", "x" * 300, "a\nb", "\u202egnp"]
)
def test_a_name_with_a_path_in_it(student):
    harmless = collect._harmless(student, set())
    folder = student_folder(Path("/course"), "submitted", harmless, type("Lab", (), {"number": "demo"}))
    assert os.path.normpath(folder) == str(folder) and folder.parent.parent == Path("/course/submitted")
    assert not set("*?[]\n/\\") & set(harmless) and len(harmless) < 80


def test_a_backslash_in_a_files_name(room, tmp_path):
    course, lab, honest = room
    source = hand_in(
        tmp_path / "in", {f"x\\..\\..\\{VICTIM}.ipynb": honest, f"x\\..\\{VICTIM}/x.ipynb": honest}
    )
    result = prepare(course, lab, source)
    assert not result.students and len(result.left_out) == 2


def test_a_name_that_looks_like_anothers_takes_nobodys_place(room, tmp_path):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"Eve A.ipynb": honest, "Eve_A.ipynb": b"{}", "eve a.ipynb": b"{}"})
    result = prepare(course, lab, source)
    assert sorted(result.students) == ["Eve_A", "Eve_A-2", "eve_a-3"]
    assert sum(about["refused"] is None for about in result.students.values()) == 1
    assert (
        collect._harmless("Eve_A", set()) == "Eve_A" == collect._harmless("Eve A", set())
    )  # as they would be alone


def test_a_symbolic_link_in_place_of_a_submission(room, tmp_path):
    course, lab, _ = room
    source = tmp_path / "in"
    (source / "mallory").mkdir(parents=True)
    (source / "mallory" / lab.path.name).symlink_to(source_path(course, lab))
    (source / "oscar.ipynb").symlink_to(student_folder(course, "submitted", VICTIM, lab) / lab.path.name)
    (source / "trudy").symlink_to(course / "submitted" / VICTIM)
    result = prepare(course, lab, source)
    assert all("symbolic link" in about["refused"] for about in result.students.values())
    assert {"mallory", "oscar"} <= set(result.students)
    assert sum(grade(course, lab).values()) == 0
    # nbgrader opens the path: the solution itself is what it would grade.
    opened = nbformat.read(source / "mallory" / lab.path.name, as_version=4)
    assert any("### BEGIN SOLUTION" in cell.source for cell in opened.cells)


def test_a_symbolic_link_that_appears_after_the_look(room, tmp_path, monkeypatch):
    course, lab, _ = room
    link = tmp_path / "link.ipynb"
    link.symlink_to(source_path(course, lab))
    with pytest.raises(RefusedError, match="cannot be read"):
        read_file(link, 10**6)
    monkeypatch.delattr(os, "O_NOFOLLOW")
    assert b"BEGIN SOLUTION" in read_file(link, 10**6)


def test_a_symbolic_link_in_a_zip(room, tmp_path):
    course, lab, _ = room
    archive = tmp_path / "in.zip"
    entry = zipfile.ZipInfo(f"mallory/{lab.path.name}")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(entry, str(source_path(course, lab)))
    assert prepare(course, lab, archive).students["mallory"]["refused"]
    assert grade(course, lab) == {"mallory": 0}


def test_a_pipe_is_not_waited_for(room, tmp_path):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"bob.ipynb": honest})
    os.mkfifo(source / "mallory.ipynb")
    found = prepare(course, lab, source).students
    assert "no plain file" in found["mallory"]["refused"] and not found["bob"]["refused"]


# Content


def test_half_a_gigabyte(room, tmp_path):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"bob.ipynb": honest})
    with open(source / "mallory.ipynb", "wb") as stream:
        stream.truncate(500_000_000)
    read = []
    result = prepare(course, lab, source)
    assert "500 MB" in result.students["mallory"]["refused"] and result.students["mallory"]["sha256"] is None
    assert grade(course, lab) == {"mallory": 0, "bob": 8}
    # With the limit off, all of it is read.
    os.truncate(source / "mallory.ipynb", 30_000_000)
    read = prepare(course, lab, source, max_bytes=10**9).students["mallory"]
    assert read["sha256"] and "MB" not in read["refused"]


def test_a_bomb_in_a_zip(room, tmp_path):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"bob.ipynb": honest})
    with zipfile.ZipFile(source / "mallory.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(lab.path.name, b" " * 30_000_000)
    assert (source / "mallory.zip").stat().st_size < 100_000
    assert prepare(course, lab, source).students["mallory"]["refused"]
    assert grade(course, lab) == {"mallory": 0, "bob": 8}


BROKEN = {
    "a letter": b"Dear teacher",
    "nothing": b"",
    "no cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}',
    "a tower of lists": b'{"nbformat": 4, "cells": ' + b"[" * 200_000,
    "a cell that is a number": b'{"nbformat": 4, "cells": [1]}',
    "a version that is endless": b'{"nbformat": 1e999, "cells": []}',
    "metadata that are a list": b'{"nbformat": 4, "metadata": [], "cells": [{"cell_type": "code", "source": "1/0"}]}',
    "an old format that lies": b'{"nbformat": 3, "worksheets": 7}',
    "half a letter": b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = \'\\ud800\'"}]}',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_notebook_gets_a_row_and_stops_nobody(room, tmp_path, kind, monkeypatch):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"mallory.ipynb": BROKEN[kind], "bob.ipynb": honest})
    result = prepare(course, lab, source)
    assert set(result.students) == {"mallory", "bob"}
    if not result.students["mallory"]["refused"]:
        write_outcome(course, lab, "mallory", exercises={})
        write_outcome(course, lab, "bob", exercises={test: properties(True) for test in TESTS})
        ingest(course, lab)
        assert points(course, lab) == {"mallory": 0, "bob": 8, VICTIM: 8}
    else:
        assert grade(course, lab) == {"mallory": 0, "bob": 8}
    # nbgrader's own reader stops with an exception, or takes it for a notebook with nothing in it.
    from nbgrader.nbgraderformat import reads

    try:
        assert not any(name(cell) for cell in reads(BROKEN[kind].decode(), as_version=4).cells)
    except Exception as error:
        assert error


def test_another_kernel(room, tmp_path):
    course, lab, honest = room
    from nbclient import NotebookClient

    honest.metadata.kernelspec = {"name": "evil", "display_name": "Evil", "language": "python"}
    prepare(course, lab, hand_in(tmp_path / "in", {"mallory.ipynb": honest}))
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
            cell.source = (
                "def log_density(x):\n    return x\n\n\ndef components_for(s, r):\n    return 0\n\n\n"
            )
            cell.source += "def nearest_power_of_two(c):\n    return 0"
            cell.metadata.nbgrader.update(points=500, grade=True)
    about = prepare(course, lab, hand_in(tmp_path / "in", {"mallory.ipynb": honest})).students["mallory"]
    released = {name(cell): cell for cell in nbformat.read(release_path(course, lab), as_version=4).cells}
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
    prepare(course, lab, hand_in(tmp_path / "in", {"mallory.ipynb": honest}))
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
    prepare(course, lab, hand_in(tmp_path / "in", {"mallory.ipynb": honest}))
    write_outcome(course, lab, "mallory", exercises={"bonus": properties(True), "../x": properties(True)})
    ingest(course, lab)
    assert points(course, lab) == {"mallory": 0, VICTIM: 8}


def test_an_executed_notebook_that_became_a_link(room, tmp_path, monkeypatch):
    course, lab, honest = room
    prepare(course, lab, hand_in(tmp_path / "in", {"mallory.ipynb": honest}))
    write_outcome(course, lab, "mallory", exercises={})
    executed = student_folder(course, "executed", "mallory", lab) / lab.path.name
    secret = tmp_path / "secret.ipynb"
    cell = prepared(course, lab, "mallory").cells[1]
    leak = {"output_type": "stream", "name": "stdout", "text": "the secret"}
    write_json(secret, {"cells": [{"id": cell.id, "outputs": [leak]}]})
    executed.unlink()
    executed.symlink_to(secret)
    page = student_folder(course, "autograded", "mallory", lab) / lab.path.name
    ingest(course, lab)
    assert "the secret" not in page.read_text()
    monkeypatch.setattr(shown, "read_file", lambda path, limit: path.read_bytes())
    ingest(course, lab)
    assert "the secret" in page.read_text()


# What is shown

SCRIPT = "<script>steal()</script>"
MARKDOWN = {
    "a script": SCRIPT,
    "a handler": "<img src=x onerror=steal()>",
    "an SVG": "<svg onload=steal()><a xlink:href='javascript:steal()'>x</a></svg>",
    "a frame": "<iframe srcdoc='<script>steal()</script>'></iframe>",
    "a button of formgrader's": "<button class='btn full-credit' onclick=steal()>grade</button>",
    "a form": "<form action='javascript:steal()'><input name=x></form>",
    "a script cut by lines": "<scr\nipt>steal()</script\n>",
    "capitals": "<ScRiPt>steal()</sCrIpT>",
    "a comment": "<!--><script>steal()</script>-->",
    "a declaration": "<?xml version='1.0'?><script>steal()</script>",
    "within a formula": "$x<script>steal()</script>$",
    "within a list": "- a\n  - <details ontoggle=steal() open>x</details>",
    "a style": "<style>@import 'javascript:steal()';</style><p style='background:url(javascript:steal())'>x</p>",
}


# A browser takes these for text, or nbconvert escapes them: nbgrader withstands them, too.
INERT = {"a script cut by lines", "a comment", "within a formula"}


@pytest.mark.parametrize("kind", MARKDOWN)
def test_markdown_that_acts(room, tmp_path, kind):
    course, lab, honest = room
    for cell in honest.cells:
        if name(cell) == "essay":
            cell.source = MARKDOWN[kind]
    honest.cells.append(new_markdown_cell(MARKDOWN[kind]))
    assert_harmless(course, lab, honest, tmp_path, outputs=[], stock=kind not in INERT)


OUTPUTS = {
    "HTML": {"text/html": f"<b onclick='steal()'>x</b>{SCRIPT}"},
    "a program": {"application/javascript": "steal()"},
    "an SVG": {"image/svg+xml": f"<svg onload='steal()'>{SCRIPT}</svg>"},
    "Markdown": {"text/markdown": SCRIPT},
    "formulas": {"text/latex": f"$x${SCRIPT}"},
    "a widget": {"application/vnd.jupyter.widget-view+json": {"model_id": SCRIPT}},
    "a picture that is none": {"image/png": f'"><img src=x onerror="steal()">{SCRIPT}'},
    "text": {"text/plain": SCRIPT},
    "a diagram": {"text/vnd.mermaid": f"graph TD; {SCRIPT}"},
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_output_that_acts(room, tmp_path, kind):
    course, lab, honest = room
    output = {"output_type": "display_data", "data": OUTPUTS[kind], "metadata": {}}
    assert_harmless(
        course, lab, honest, tmp_path, outputs=[output], stock=kind in ("HTML", "a program", "Markdown")
    )


def test_a_pictures_size_that_is_a_handler(room, tmp_path):
    course, lab, honest = room
    metadata = {"image/png": {"width": "1 onerror=steal()"}}
    output = {"output_type": "display_data", "data": {"image/png": "eA=="}, "metadata": metadata}
    assert_harmless(course, lab, honest, tmp_path, outputs=[output])


def test_an_isolated_frame(room, tmp_path):
    course, lab, honest = room
    metadata = {"text/html": {"isolated": True}}
    output = {"output_type": "display_data", "data": {"text/html": SCRIPT}, "metadata": metadata}
    assert_harmless(course, lab, honest, tmp_path, outputs=[output])


def test_a_hint_that_quotes_a_script(room, tmp_path):
    """A student's exception becomes part of a hint, and hints are shown as Markdown."""
    course, lab, honest = room
    hint = f"your code stopped with ValueError: {SCRIPT} <img src=x onerror=steal()> [x](javascript:steal())."
    exercises = {test: properties(False, hint=hint) for test in TESTS}
    assert_harmless(course, lab, honest, tmp_path, outputs=[], exercises=exercises, reason=SCRIPT)


def test_a_stream_and_an_error_that_hold_scripts(room, tmp_path):
    course, lab, honest = room
    outputs = [
        {
            "output_type": "stream",
            "name": "stdout",
            "text": f"\x1b[31m{SCRIPT}\x1b]8;;javascript:steal()\x07x",
        },
        {"output_type": "error", "ename": SCRIPT, "evalue": SCRIPT, "traceback": [SCRIPT]},
    ]
    assert_harmless(course, lab, honest, tmp_path, outputs=outputs, stock=False)


def assert_harmless(course, lab, notebook, tmp_path, *, outputs, stock=True, exercises=None, **about):
    """Feedback and formgrader's page act no more than an honest student's; nbgrader as it comes lets it act."""
    prepare(course, lab, hand_in(tmp_path / "in", {"mallory.ipynb": notebook}))
    write_outcome(course, lab, "mallory", exercises=exercises or {}, **about)
    executed = student_folder(course, "executed", "mallory", lab) / lab.path.name
    raw = json.loads(executed.read_text())
    next(cell for cell in raw["cells"] if cell["cell_type"] == "code")["outputs"] = outputs
    executed.write_text(json.dumps(raw))
    ingest(course, lab)
    pages = {path.parts[-3]: path.read_text(encoding="utf-8") for path in write_feedback(course, lab)}
    assert active(pages["mallory"]) == active(pages[VICTIM])
    for student in ("mallory", VICTIM):
        shown_page = student_folder(course, "autograded", student, lab) / lab.path.name
        pages[student] = active(stock_page(nbformat.read(shown_page, as_version=4)))
    assert pages["mallory"] == pages[VICTIM], "formgrader without our settings"
    if stock and (outputs or not exercises):
        theirs = nbformat.reads(json.dumps(raw), as_version=4)
        assert len(active(stock_page(theirs))) > len(pages[VICTIM]), (
            "the attack does not work against nbgrader either"
        )


def stock_page(notebook):
    """A notebook as formgrader renders it, with nbgrader's defaults."""
    from nbconvert.exporters import HTMLExporter
    from nbgrader.server_extensions.formgrader import handlers

    page = HTMLExporter(template_name="formgrade", extra_template_basedirs=[handlers.template_path])
    resources = {
        "base_url": "",
        "index": 0,
        "total": 1,
        "submission_id": "1",
        "notebook_id": "x",
        "assignment_id": "x",
    }
    return page.from_notebook_node(notebook, resources=resources)[0]
