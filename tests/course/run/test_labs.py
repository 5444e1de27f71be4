import json

import nbformat
import pytest

from labkit.course.run.labs import choose_labs, list_labs, read_lab
from labkit.course.run.run import RunConfig, announcement
from labkit.errors import LabkitError


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["01"], "ab"),
        (["1"], "ab"),
        (["lab01"], "ab"),
        (["01b"], "b"),
        (["1b"], "b"),
        (["lab01b", "lab01a"], "ab"),
        (["01a_part"], "a"),
        (["notebooks/01a_part.ipynb"], "a"),
        ([], "ab-"),
    ],
)
def test_a_lab_goes_by_several_names(tmp_path, make_lab, names, parts):
    for stem in ("01a_part", "01b_part", "10_other"):
        path = make_lab(tmp_path, stem, [])
        path.write_text(path.read_text().replace(f'"lab": "{stem[:2]}"', f'"lab": "{stem.split("_")[0]}"'))
    labs = list_labs(tmp_path)
    assert "".join(lab.part or "-" for lab in choose_labs(names, labs)) == parts
    for wrong in ("01c", "2", "01a_prat"):
        with pytest.raises(LabkitError, match="there is no lab"):
            choose_labs([wrong], labs)


def rewritten(path, change):
    notebook = nbformat.read(path, 4)
    change(notebook)
    path.write_text(nbformat.v4.writes(notebook), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: n.metadata.pop("labkit"), "metadata.labkit lacks lab, title"),
        (lambda n: n.metadata.labkit.minutes.pop("cpu"), "metadata.labkit lacks minutes.cpu"),
        (lambda n: n.cells[1].metadata.clear(), "no cell is tagged 'parameters'"),
        (lambda n: n.cells[1].update(source="SEED = = 1"), "is not Python (line 1)"),
        (lambda n: n.cells[1].update(source="SEED = " + "-" * 100_000 + "1"), "is not Python (line 1)"),
        (lambda n: n.cells[1].update(source="PROFILE = SEED = 0"), "lacks DATA, OUT"),
    ],
)
def test_an_incomplete_notebook_is_refused_by_name(tmp_path, make_lab, change, words):
    path = make_lab(tmp_path, "01_lab", [])
    rewritten(path, change)
    with pytest.raises(LabkitError) as refusal:
        read_lab(path)
    assert str(path) in str(refusal.value)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", json.dumps({"cells": [{}]}), '{"cells": [{"source": ""}]}', "\x00"]
)
def test_what_is_no_notebook_is_refused(tmp_path, content):
    path = tmp_path / "01_lab.ipynb"
    path.write_text(content)
    with pytest.raises(LabkitError, match="is no notebook"):
        read_lab(path)
    with pytest.raises(LabkitError, match="cannot be read"):
        read_lab(tmp_path / "02_gone.ipynb")


def test_parameters_are_the_names_set_in_their_cell(tmp_path, make_lab):
    path = make_lab(tmp_path, "01_lab", [], extra="PHOTO: str = ''  # a file\nA = B = 1")
    assert read_lab(path).parameters == ("PROFILE", "SEED", "DATA", "OUT", "PHOTO", "A", "B")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("02_my_notes.ipynb", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'),
        ("02_damaged.ipynb", '{"cells": [{"cell_type"'),
        ("02_deep.ipynb", "[" * 100_000),
        ("02_null.ipynb", '{"cells": [null], "metadata": null}'),
        ("02_list.ipynb", '{"cells": [], "metadata": {"labkit": []}}'),
        ("02_tags.ipynb", '{"cells": [{"source": "", "metadata": null}], "metadata": {}}'),
        ("01_lab-Copy1.ipynb", None),
        ("01_lab - Copy (2).ipynb", None),
        ("01_lab copy.ipynb", None),
        ("01_lab (1).ipynb", None),
        ("01_lab (Ada's conflicted copy 2026-11-20).ipynb", None),
        ("01_lab.nbconvert.ipynb", None),
        ("01_lab.sync-conflict-20261120-101112-ABCDEFG.ipynb", None),
        ("01_my_version.ipynb", None),
        ("00_a.ipynb", None),
    ],
)
def test_what_lies_beside_the_labs_is_skipped_with_one_line(tmp_path, make_lab, capsys, name, content):
    path = make_lab(tmp_path, "01_lab", [])
    (tmp_path / name).write_text(path.read_text() if content is None else content)
    assert [lab.path for lab in list_labs(tmp_path)] == [path]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("labkit: skipped") and name in line


ODD = [None, 3, [], "x", "smoke cpu gpu", {}, {"smoke": None, "cpu": 1, "gpu": 1}]
ODD += [{"smoke": 1, "cpu": 1, "gpu": number} for number in (float("nan"), float("inf"), -1, 10**400)]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", ["minutes", "budget_seconds", "objectives", "points"])
def test_metadata_of_another_shape_are_refused_or_read(tmp_path, make_lab, name, value):
    path = make_lab(tmp_path, "01_lab", [])
    text = json.loads(path.read_text())
    text["metadata"]["labkit"][name] = value
    path.write_text(json.dumps(text))
    try:
        lab = read_lab(path)
    except LabkitError as refusal:
        assert str(path) in str(refusal)
    else:
        announcement([lab], RunConfig("gpu", tmp_path))
