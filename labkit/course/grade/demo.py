"""`labkit grade demo`: an example course with a submission of every kind, graded from release to feedback."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place
from labkit.course.grade.marks.export import export_csv, write_overview
from labkit.course.grade.marks.feedback import write_feedback
from labkit.course.grade.marks.gradebook import ingest
from labkit.course.grade.marks.score import parse_late_rule
from labkit.course.grade.release import release
from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import write_text

MARK = "labkit-example-course"
DEADLINE = datetime(2026, 3, 1, 12, 0)
RIGHT = {
    "log-density": """\
def log_density(x):
    d = x.shape[1]
    return -0.5 * (d * math.log(2 * math.pi) + x.square().sum(dim=1))""",
    "components": """\
def components_for(share, ratios):
    return int(np.searchsorted(np.cumsum(ratios), share)) + 1


def nearest_power_of_two(count):
    return 2 ** round(np.log2(count))""",
    "essay": "A density is probability per volume: over a small volume it may be as large as it likes.",
}
OTHERWISE = """\
def log_density(x):
    return torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)"""
NO_CONSTANT = "def log_density(x):\n    return -0.5 * x.square().sum(dim=1)"
MEAN = "def log_density(x):\n    return -0.5 * (math.log(2 * math.pi) * x.shape[1] + x.square().mean(dim=1))"
WARNS = RIGHT["log-density"].replace(
    "    d = ", '    import sys, warnings\n\n    warnings.warn("old")\n    print("loud", file=sys.stderr)\n    d = '
)
KILLS = RIGHT["components"].replace("    return int(", "    import os\n\n    os._exit(1)\n    return int(")
HANGS = RIGHT["components"].replace("    return int(", "    while True:\n        pass\n    return int(")
SCRIPT = """\
from IPython.display import HTML, display

display(HTML("<script>document.title = 'taken over'</script><b onclick='alert(1)'>bold</b>"))"""

Edit = Callable[[NotebookNode], Any]


def run_demo(course: Path, run: Callable[[Place], Any]) -> Path:
    """Make the example course, grade it from one end to the other, and return the class overview.

    Args:
        course: a folder that is empty, absent, or an example course made before.
        run: what executes the prepared submissions: `run_submissions` with its settings.

    Raises LabkitError: the folder holds something else.
    """
    place = Place(course, make_demo(course))
    prepare(place, course / "handed-in", deadline=DEADLINE)
    run(place)
    ingest(place, parse_late_rule("10%/day", "1h"))
    write_feedback(place)
    export_csv(place, course / f"{place.name}.csv")
    return write_overview(place)


def make_demo(course: Path) -> Lab:
    """Write the example lab, its release and a dozen submissions into handed-in/; returns the lab.

    Raises LabkitError: the folder holds something else.
    """
    if course.is_dir() and any(course.iterdir()) and not (course / MARK).is_file():
        raise LabkitError(f"{course}: is not empty and no example course; give --course another folder.")
    write_text(course / MARK, "Made by `labkit grade demo`; it may be deleted.\n")
    lab = demo_lab(course)
    release(Place(course, lab))
    for student, edit in EDITS.items():
        path = course / "handed-in" / student / lab.path.name
        notebook = nbformat.read(Place(course, lab).release, as_version=4)
        replaced = edit(notebook)
        write_text(path, replaced if isinstance(replaced, str) else nbformat.writes(notebook))
        handed = DEADLINE + timedelta(hours=26 if student == "eve-late" else -1)
        os.utime(path, (handed.timestamp(), handed.timestamp()))
    return lab


def fill(notebook: NotebookNode, **answers: str) -> None:
    """Write answers into a student version; what is not given gets the right one."""
    given = RIGHT | {name.replace("_", "-"): text for name, text in answers.items()}
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in given:
            cell.source = given[name]


def _without_test(notebook: NotebookNode) -> None:
    fill(notebook)
    notebook.cells = [c for c in notebook.cells if _name(c) != "log-density-test"]


def _renamed(notebook: NotebookNode) -> None:
    fill(notebook)
    for cell in notebook.cells:
        if _name(cell) == "components":
            cell.metadata.nbgrader.grade_id, cell.id = "my-components", "my-cell"


def _twice(notebook: NotebookNode) -> None:
    fill(notebook, log_density=NO_CONSTANT)
    place = next(n for n, cell in enumerate(notebook.cells) if _name(cell) == "log-density")
    again = new_code_cell(RIGHT["log-density"], metadata=notebook.cells[place].metadata, id="copied")
    notebook.cells.insert(place + 1, again)


def _with_script(notebook: NotebookNode) -> None:
    fill(notebook, essay="Hello <img src=x onerror=alert(1)> <script>alert(2)</script>")
    notebook.cells.append(new_code_cell(SCRIPT, id="script"))
    notebook.cells.append(new_markdown_cell("<svg onload=alert(3)> [click](javascript:alert(4))", id="svg"))


def _name(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


EDITS: dict[str, Edit] = {
    "ada-right": fill,
    "ben-right-otherwise": lambda notebook: fill(notebook, log_density=OTHERWISE),
    "cleo-no-constant": lambda notebook: fill(notebook, log_density=NO_CONSTANT),
    "dan-mean-for-sum": lambda notebook: fill(notebook, log_density=MEAN),
    "eve-late": fill,
    "finn-warnings": lambda notebook: fill(notebook, log_density=WARNS),
    "gus-deleted-test": _without_test,
    "hana-renamed-cell": _renamed,
    "ida-twice": _twice,
    "jon-kills-the-kernel": lambda notebook: fill(notebook, components=KILLS),
    "kim-endless-loop": lambda notebook: fill(notebook, components=HANGS),
    "lea-no-notebook": lambda notebook: "Dear teacher, I have sent the wrong file.",
    "mo-scripts": _with_script,
    "nia-untouched": lambda notebook: None,
}
