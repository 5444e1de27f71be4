"""A lab of two exercises and submissions of it, for what runs in kernels."""

import json
import shutil
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from labkit.course.grade.sandbox.kernels import Kernel
from labkit.course.grade.sandbox.limits import Limits
from labkit.course.run.labs import Lab
from labkit.files import write_text

ENVIRONMENT = {"LABKIT_PROFILE": "smoke", "LABKIT_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
PLAIN = Kernel("none", (), ENVIRONMENT)
LIMITS = Limits(cell_seconds=60, notebook_seconds=120, output_bytes=2**20)
START = """
import math
import sys
import warnings
import numpy as np
import torch
from labkit.labs import lab00, lab02
from types import SimpleNamespace
run = SimpleNamespace(check=lambda *a: print("all properties hold"))
"""
DENSITY = """
def log_density(x):
    return -0.5 * (x.shape[1] * math.log(2 * math.pi) + x.square().sum(dim=1))
"""
PHI = """
def phi(labels):
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.corrcoef(labels.T.astype(float)))
"""
FIRST, SECOND = "density-test", "phi-test"


def lab_in(folder: Path) -> Lab:
    path = folder / "77_small.ipynb"
    write_text(path, nbformat.writes(notebook()))
    empty = dict.fromkeys(("smoke", "cpu", "gpu"), 1)
    return Lab(path, "77", "small", (), empty, empty, 4, "", ())


def notebook(density: str = DENSITY, phi: str = PHI, start: str = START, between: str = "pass"):
    cells = [
        new_code_cell(start),
        new_code_cell(density),
        _test(FIRST, "run.check(lab00.first_check, log_density)"),
        new_code_cell(between),
        new_code_cell(phi),
        _test(SECOND, "run.check(lab02.phi_matrix, phi)"),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell{number}"  # not by lot: the same lab, written again, is no changed lab
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "x"}})


def _test(name: str, code: str):
    about = {
        "grade": True,
        "grade_id": name,
        "points": 2,
        "solution": False,
        "locked": True,
        "schema_version": 3,
    }
    return new_code_cell(code, metadata={"nbgrader": about})


def submit(course: Path, lab: Lab, student: str, **cells: str) -> Path:
    """A prepared submission's folder."""
    folder = course / "submitted" / student / f"lab{lab.number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_text(folder / lab.path.name, nbformat.writes(notebook(**cells)))
    (folder / "prepared.json").write_text(json.dumps({"repairs": [], "refused": None}))
    return folder


def share(outcome: dict, name: str) -> float:
    """Share of an exercise's properties that hold, which is what its points are."""
    properties = outcome["exercises"][name]["properties"]
    return sum(each["passed"] for each in properties) / max(len(properties), 1)
