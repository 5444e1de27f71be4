"""The lab of the example course: two exercises that the kit's own checks know, and a question for a human."""

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit.course.run.labs import Lab, read_lab
from labkit.files import write_text

NAME = "demo_two_exercises.ipynb"
ABOUT = {
    "lab": "demo",
    "title": "An example: two exercises and a question",
    "objectives": ["see how grading works"],
    "minutes": {"smoke": 0.1, "cpu": 0.1, "gpu": 0.1},
    "budget_seconds": {"smoke": 60, "cpu": 60, "gpu": 60},
    "points": 10,
    "reports": "",
}
START = """\
import math

import numpy as np
import torch

from labkit.labs import lab00, lab01
from labkit.run import start_lab

run = start_lab("demo", profile=PROFILE, seed=SEED, data=DATA, out=OUT)"""
DENSITY = '''\
def log_density(x):
    """Log-density of the standard normal distribution in nats: x (N, d) to (N,)."""
    ### BEGIN SOLUTION
    d = x.shape[1]
    return -0.5 * (d * math.log(2 * math.pi) + x.square().sum(dim=1))
    ### END SOLUTION'''
DENSITY_TEST = """\
run.check(lab00.first_check, log_density)
### BEGIN HIDDEN TESTS
assert torch.allclose(log_density(torch.zeros(1, 2)), torch.tensor([-math.log(2 * math.pi)]))
### END HIDDEN TESTS"""
COUNTS = '''\
def components_for(share, ratios):
    """Smallest k such that the first k of `ratios` sum to at least `share`."""
    ### BEGIN SOLUTION
    return int(np.searchsorted(np.cumsum(ratios), share)) + 1
    ### END SOLUTION


def nearest_power_of_two(count):
    """2 to the rounded logarithm of `count`."""
    ### BEGIN SOLUTION
    return 2 ** round(np.log2(count))
    ### END SOLUTION'''
COUNTS_TEST = """\
run.check(lab01.pca_components, components_for, nearest_power_of_two)
### BEGIN HIDDEN TESTS
assert components_for(0.85, [0.6, 0.3, 0.1]) == 2
### END HIDDEN TESTS"""
QUESTION = "**Question (2 points).** A density can be larger than 1, a probability cannot. How do they go together?"


def demo_lab(folder: Path) -> Lab:
    """Write the example lab into a folder, and read it as any lab is read."""
    notebook = new_notebook(cells=_cells())
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}, "labkit": ABOUT}
    )
    for place, cell in enumerate(notebook.cells):
        cell.id = cell.metadata.get("nbgrader", {}).get("grade_id", f"text-{place}")
    path = folder / NAME
    write_text(path, nbformat.writes(notebook) + "\n")
    return read_lab(path)


def _cells() -> list[NotebookNode]:
    return [
        new_markdown_cell("# An example lab\n\nTwo exercises, each with its check, and a question."),
        new_code_cell("PROFILE = None\nSEED = 0\nDATA = None\nOUT = None", metadata={"tags": ["parameters"]}),
        new_code_cell(START),
        new_markdown_cell("**Exercise 1 (4 points).** The log-density of a standard normal in $d$ dimensions."),
        new_code_cell(DENSITY, metadata=_about("log-density", solution=True)),
        new_code_cell(DENSITY_TEST, metadata=_about("log-density-test", points=4)),
        new_markdown_cell("**Exercise 2 (4 points).** How many components are enough?"),
        new_code_cell(COUNTS, metadata=_about("components", solution=True)),
        new_code_cell(COUNTS_TEST, metadata=_about("components-test", points=4)),
        new_markdown_cell(QUESTION),
        new_markdown_cell("*Your answer.*", metadata=_about("essay", points=2, solution=True)),
        new_code_cell("run.finish()"),
    ]


def _about(name: str, *, points: int | None = None, solution: bool = False) -> dict[str, Any]:
    about = {
        "grade": points is not None,
        "grade_id": name,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return {"nbgrader": about | ({"points": points} if points is not None else {})}
