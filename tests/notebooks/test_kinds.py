"""Labs on photographs without labels, or with just enough of them: each runs to its end (`pytest -m kinds`).

A lab that needs labels takes drawn faces from its first cell on, so that it then runs as in test_execute.py; what is
cheap to know of that, which labs say what they need, is tested always.
"""

import nbformat
import numpy as np
import pytest
from celeba_files import _official_attributes, jpegs, write_official

from labkit.course.run.labs import list_labs, project_root
from labkit.course.run.results import Console
from labkit.course.run.run import RunConfig, run_labs, validate
from labkit.data.celeba.celeba import LEAST_LABELLED, LEAST_PEOPLE, LEAST_SIDE
from labkit.faces.words import ATTRIBUTES

LABS = [lab for lab in list_labs(project_root() / "notebooks") if "celeba(" in lab.path.read_text(encoding="utf-8")]
COUNT = 600


def write_kind(folder, kind):
    images, text, identity, partition = jpegs(COUNT), None, None, None
    if kind == "just enough labels":
        values, random = np.zeros((LEAST_LABELLED, len(ATTRIBUTES)), bool), np.random.default_rng(0)
        for column, name in enumerate(ATTRIBUTES):
            if name != "Bald":
                values[random.permutation(LEAST_LABELLED)[:LEAST_SIDE], column] = True
        text = _official_attributes(list(images)[:LEAST_LABELLED], values)
        number = np.arange(COUNT)
        identity = np.where(number < LEAST_LABELLED, number % LEAST_PEOPLE, number) + 1
        partition = np.searchsorted([400, 500], number, side="right")
    return write_official(folder, images, attributes=text, identity=identity, partition=partition)


def code_of(lab):
    cells = nbformat.read(lab.path, 4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_a_lab_that_reads_labels_says_so_where_it_takes_the_faces(lab):
    code = code_of(lab)
    reads = any(
        word in code for word in ("faces.labelled", "attribute_names", "attribute_reader", "faces.attributes")
    )
    first = code[code.index("celeba(run.data") :].split("\n")[0]
    assert ("needs=" in first) == reads


@pytest.mark.kinds
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["no labels", "just enough labels"])
@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_it_runs_to_its_end(lab, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    folder = write_kind(tmp_path / "data" / "celeba", kind)
    config = validate(RunConfig("smoke", tmp_path / "runs", data=folder, budget_factor=2.5), [lab])
    (result,) = run_labs([lab], config, Console())
    assert result.state == "ok", result.message
