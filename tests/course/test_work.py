"""The student's folder: filled, brought up to date, never overwritten."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit.course.grade.demo_lab import demo_lab
from labkit.course.work import BASE, BOTH, fill, first_page, merge

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


def notebook(**cells):
    """A code cell for each name; "text" in front of the name makes it Markdown."""
    made = [
        (new_markdown_cell if name.startswith("text") else new_code_cell)(source, id=name)
        for name, source in cells.items()
    ]
    return new_notebook(cells=made)


def sources(notebook):
    return {cell.id: cell.source for cell in notebook.cells}


OLD = {"text": "Read.", "a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize(
    "mine, new, merged",
    [
        (OLD, OLD, OLD),
        (OLD, OLD | {"a": "10"}, OLD | {"a": "10"}),  # only the lab has changed
        (OLD | {"a": "mine"}, OLD, OLD | {"a": "mine"}),  # only the student has
        (OLD | {"a": "mine"}, OLD | {"b": "20"}, OLD | {"a": "mine", "b": "20"}),
        (OLD | {"a": "same"}, OLD | {"a": "same"}, OLD | {"a": "same"}),
        (OLD | {"own": "x"}, OLD | {"d": "4"}, OLD | {"own": "x", "d": "4"}),  # further cells of both
        ({"own": "x"} | OLD, OLD, {"own": "x"} | OLD),
        ({"text": "Read.", "a": "1", "c": "3"}, OLD, {"text": "Read.", "a": "1", "c": "3"}),  # deleted by the student
        (OLD, {"text": "Read.", "a": "1"}, {"text": "Read.", "a": "1"}),  # and by the lab
        (OLD | {"c": "mine"}, {"text": "Read.", "a": "1"}, {"text": "Read.", "a": "1", "c": "mine"}),
    ],
)
def test_each_side_keeps_what_it_alone_changed(mine, new, merged):
    found, both = merge(notebook(**mine), notebook(**OLD), notebook(**new))
    assert (list(sources(found).items()), both) == (list(merged.items()), 0)


@pytest.mark.parametrize("name", ["a", "text"])
def test_where_both_changed_a_cell_both_are_there_and_stay(name):
    mine, new = notebook(**OLD | {name: "mine"}), notebook(**OLD | {name: "new"})
    found, both = merge(mine, notebook(**OLD), new)
    names = list(sources(found))
    where = names.index(name)
    assert both == 1 and len(names) == len(OLD) + 1 and sources(found)[name] == "mine"
    twin = found.cells[where + 1]
    assert BOTH in twin.source and "new" in twin.source.removeprefix(BOTH).split()
    assert twin.cell_type == "markdown"  # as code, the new stub would undo the answer above it
    again, both = merge(found, new, new)
    assert sources(again) == sources(found) and both == 0


def test_outputs_of_unchanged_cells_stay():
    mine = notebook(**OLD)
    mine.cells[1].outputs = [nbformat.v4.new_output("stream", text="1")]
    found, _ = merge(mine, notebook(**OLD), notebook(**OLD | {"b": "20"}))
    assert found.cells[1].outputs == mine.cells[1].outputs and not found.cells[2].outputs


def test_a_folder_is_filled_without_solutions_and_what_a_student_wrote_survives(tmp_path):
    lab, work = demo_lab(tmp_path / "labs"), tmp_path / "my work"
    assert fill(work, [lab]) == []
    mine = work / lab.path.name
    text = mine.read_text()
    assert "SOLUTION" in lab.path.read_text() and "SOLUTION" not in text and "HIDDEN" not in text
    written = nbformat.reads(text, as_version=4)
    solved = next(cell for cell in written.cells if "NotImplementedError" in cell.source)
    solved.source = "mine"
    nbformat.write(written, mine)
    before = mine.read_bytes()
    assert fill(work, [lab]) == [] and mine.read_bytes() == before

    source = nbformat.read(lab.path, as_version=4)
    source.cells[0].source += "\n\nA new sentence."
    nbformat.write(source, lab.path)
    assert fill(work, [lab]) == [f"{mine.name}: brought up to date."]
    now = nbformat.read(mine, as_version=4)
    assert sources(now)[solved.id] == "mine" and now.cells[0].source.endswith("A new sentence.")
    assert fill(work, [lab]) == []


def test_what_is_no_notebook_is_left_and_named(tmp_path):
    lab, work = demo_lab(tmp_path / "labs"), tmp_path / "work"
    fill(work, [lab])
    (work / BASE / lab.path.name).unlink()
    (work / lab.path.name).write_text("{")
    (said,) = fill(work, [lab])
    assert "left as it is" in said and (work / lab.path.name).read_text() == "{"


def test_a_damaged_base_stops_nothing(tmp_path):
    lab, work = demo_lab(tmp_path / "labs"), tmp_path / "work"
    fill(work, [lab])
    (work / BASE / lab.path.name).write_bytes(b"\xff\xfe\0")
    before = (work / lab.path.name).read_text()
    (said,) = fill(work, [lab])
    assert "left as it is" in said and (work / lab.path.name).read_text() == before
    assert f"since {work / BASE / lab.path.name} is damaged" in said


def test_a_notebook_whose_cells_lost_their_ids_is_brought_up_to_date(tmp_path):
    lab, work = demo_lab(tmp_path / "labs"), tmp_path / "work"
    fill(work, [lab])
    mine = work / lab.path.name
    written = json.loads(mine.read_text())
    names = [cell.pop("id") for cell in written["cells"]]
    solved = next(n for n, cell in enumerate(written["cells"]) if "NotImplementedError" in "".join(cell["source"]))
    written["cells"][solved]["source"] = "mine"
    written["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "my note"})
    mine.write_text(json.dumps(written | {"nbformat_minor": 4}))
    source = nbformat.read(lab.path, as_version=4)
    source.cells[0].source += "\n\nA new sentence."
    nbformat.write(source, lab.path)
    assert fill(work, [lab]) == [f"{mine.name}: brought up to date."]
    now = nbformat.read(mine, as_version=4)
    assert [cell.id for cell in now.cells][: len(names)] == names and now.cells[-1].source == "my note"
    assert now.cells[solved].source == "mine" and now.cells[0].source.endswith("A new sentence.")


def test_the_start_opens_by_itself(tmp_path):
    assert first_page(tmp_path) == "/lab"
    (tmp_path / "00_start_here.ipynb").touch()
    assert first_page(tmp_path) == "/lab/tree/00_start_here.ipynb"
