"""`labkit demo`: faces, a failed check with its hint, and a verdict, on one page made of cells of the labs."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit.course.grade.release import notebook_text
from labkit.course.run.labs import choose_labs, list_labs, project_root, read_lab
from labkit.course.run.results import Console
from labkit.course.run.run import RunConfig, run_labs, validate
from labkit.errors import LabkitError
from labkit.files import write_text
from labkit.record import PAGE

# Text, code, or lab and id of a cell.
CELLS = (
    "# A look at the labs\n\nThese are cells of labs 00 and 01a: look at the faces, get an exercise wrong and read "
    "its hint, get it right, and see how a claim of a student report is judged.\n\n## The faces",
    ("01a", "parameters"),
    ("01a", "setup"),
    ("01a", "data"),
    ("01a", "look"),
    "## An exercise that went wrong\n\nThe log-density of a standard normal: this answer forgot a constant. The "
    "check does not know the answer. It tests properties, and says what to look at.",
    new_code_cell("import math\n\nfrom labkit.errors import CheckFailed\nfrom labkit.labs import lab00"),
    ("00", "failed-check"),
    "The same exercise, right:",
    ("00", "log-density"),
    ("00", "log-density-test"),
    "## A claim, and its verdict\n\nA student report looked at ten principal components and saw glasses in one. Here "
    "is the measurement. A rule, not a person, turns it into a verdict. Where the data are too few, it says how many "
    "would decide.",
    new_code_cell('pixels = unit_pixels(faces)\nfull = PCA(svd_solver="full").fit(pixels)'),
    ("01a", "glasses-component"),
    ("01a", "component-maps"),
    "Next: `make lab` opens the labs, `make run` executes all of them.",
)


def show(console: Console) -> Path:
    """Make the page in runs/demo and return its path.

    Raises LabkitError: a lab lacks one of the cells, or a cell failed.
    """
    found = {}
    for lab in choose_labs(["00", "01a"], list_labs()):
        source = nbformat.read(lab.path, as_version=4)
        found |= {(lab.number, cell.id): cell for cell in source.cells}
    notebook = new_notebook(metadata=source.metadata)  # of 01a, whose time and parameters it needs
    notebook.metadata.labkit.title = "A look at the labs"
    for cell in CELLS:
        if isinstance(cell, tuple):
            if cell not in found:
                raise LabkitError(f"demo: lab {cell[0]} has no cell {cell[1]!r}; take the labs as they came.")
            cell = found[cell]
            shown = cell.source.split("\n### BEGIN HIDDEN TESTS")[0].splitlines()
            cell.source = "\n".join(line for line in shown if not line.strip().startswith("### "))
        notebook.cells.append(new_markdown_cell(cell) if isinstance(cell, str) else cell)
    out = project_root() / "runs" / "demo"
    write_text(out / "demo.ipynb", notebook_text(notebook))
    lab = read_lab(out / "demo.ipynb")
    config = validate(RunConfig("smoke", out, budget_factor=2.5), [lab])
    (result,) = run_labs([lab], config, console)
    if not result.fine:
        raise LabkitError(f"demo: {result.state}: {result.message}")
    return config.folder(lab) / PAGE
