"""The example course without kernels: outcomes as the trusted worker writes them, for the kit's own answers."""

import math
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import torch

from labkit.course.grade.layout import Place
from labkit.files import sha256, write_json, write_text
from labkit.labs import lab00, lab01

STOPS = {"os._exit": "kernel died", "while True": "time-out"}
ACTIVE = {
    "script",
    "iframe",
    "object",
    "embed",
    "form",
    "svg",
    "math",
    "style",
    "link",
    "base",
    "meta",
    "input",
    "button",
}


def run_trusted(course: Path, lab) -> None:
    """Stand in for `run_submissions`: ask the checks in this process."""
    for place in Place(course, lab).students():
        notebook = place.notebook("submitted")
        if notebook.is_file():
            write_outcome(course, lab, place.student, **_answers(nbformat.read(notebook, as_version=4)))


def run_place(place: Place) -> None:
    """`run_trusted` for `run_demo`."""
    run_trusted(place.course, place.lab)


def write_outcome(course: Path, lab, student: str, *, exercises: dict, outputs=(), **about) -> None:
    """outcome.json and the executed notebook of one student; outputs go to the first code cell."""
    path = Place(course, lab, student).notebook("submitted")
    notebook = nbformat.read(path, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.outputs = list(outputs)
    folder = Place(course, lab, student).folder("executed")
    write_text(folder / lab.path.name, nbformat.writes(notebook))
    outcome = {"lab": lab.number, "student": student, "notebook_sha256": sha256(path), "seconds": 2.5}
    outcome |= {"status": "ok", "reason": "", "sandbox": "bubblewrap", "exercises": exercises}
    write_json(folder / "outcome.json", outcome | about)


def properties(*passed: bool, hint: str = "a hint.") -> dict:
    """The entry of one exercise in outcome.json."""
    found = [{"name": f"property {n}", "passed": each, "hint": "" if each else hint} for n, each in enumerate(passed)]
    return {"properties": found, "reason": ""}


def _answers(notebook) -> dict:
    space, exercises = {"math": math, "np": np, "torch": torch}, {}
    for cell in notebook.cells:
        if word := next((word for word in STOPS if word in cell.source), None):
            return {"exercises": exercises, "status": STOPS[word], "reason": f"{STOPS[word]} in a cell."}
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in ("log-density", "components"):
            exec(cell.source, space)
        elif name == "log-density-test":
            exercises[name] = _entry(lab00.first_check(space["log_density"]))
        elif name == "components-test":
            exercises[name] = _entry(lab01.pca_components(space["components_for"], space["nearest_power_of_two"]))
    return {"exercises": exercises}


def _entry(found) -> dict:
    return {"properties": [vars(each) for each in found], "reason": ""}


class Active(HTMLParser):
    """Counts what a page can do by itself: elements that act, handlers, links that run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag in ACTIVE:
            self.found.append(tag)
        for name, value in attributes:
            value = (value or "").strip().lower()
            if name.startswith("on") or name in ("srcdoc", "formaction"):
                self.found.append(f"{tag} {name}")
            if name in ("href", "src", "xlink:href") and value.startswith(("javascript:", "data:text", "http")):
                self.found.append(f"{tag} {name}={value[:40]}")


def active(html: str) -> list[str]:
    """What `html` can do by itself, in order."""
    parser = Active()
    parser.feed(html)
    return parser.found
