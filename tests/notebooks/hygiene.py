"""What every committed notebook must be; each rule yields a sentence per breach."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labkit.course.run.labs import STATED, read_lab
from labkit.errors import LabkitError

MAX_LINES = 25
CELLS = range(30, 51)
CHECKED = "check-output"
MACHINE_PATH = re.compile(r"(/(home|Users|root|tmp|work|mnt)/|[A-Z]:\\\\)\w")
MARKDOWN_IMAGE = re.compile(r"!\[(.*?)\]\(")
HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Of words that stop a reader who has English as a second language; a question may begin with "what is".
CONVOLUTED = re.compile(
    r"(?:^|(?<=[.:;,]\s))[Ww]hat (?:is|was|are|were)\b[^.!?]*(?:[.!]|$)"
    r"|\b(?:that which|asks for|(?:is|are) told|(?:is|are|was|were) turned|turned round|stands? in the way"
    r"|of (?:its|their) own|hangs? on|no numbers any more|all the same)\b"
)
NBGRADER_KEYS = {"schema_version", "grade_id", "grade", "solution", "locked", "task"}


def problems(path: Path) -> list[str]:
    """Every breach of every rule in one notebook."""
    return [f"{path.name}: {problem}" for rule in RULES for problem in rule(path, nbformat.read(path, 4))]


def valid_format(path: Path, notebook: NotebookNode) -> Iterator[str]:
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        yield f"not valid nbformat: {error.message}"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "its kernel is not python3"


def stripped(path: Path, notebook: NotebookNode) -> Iterator[str]:
    for number, cell in code_cells(notebook):
        if CHECKED not in cell.metadata.get("tags", []):
            if cell.outputs:
                yield f"cell {number} has outputs but no tag {CHECKED}"
            if cell.execution_count is not None:
                yield f"cell {number} has an execution count"
        elif not cell.outputs or any(output.output_type != "stream" for output in cell.outputs):
            yield f"cell {number} is tagged {CHECKED} but its output is not printed text alone"
        elif cell.execution_count is None:
            yield f"cell {number} is tagged {CHECKED} but has no execution count, without which nbval refuses it"


def no_widget_state(path: Path, notebook: NotebookNode) -> Iterator[str]:
    if "widgets" in notebook.metadata:
        yield "has widget state in its metadata"


def short_cells(path: Path, notebook: NotebookNode) -> Iterator[str]:
    for number, cell in code_cells(notebook):
        if (lines := len(cell.source.splitlines())) > MAX_LINES:
            yield f"cell {number} has {lines} lines, more than {MAX_LINES}"


def cell_count(path: Path, notebook: NotebookNode) -> Iterator[str]:
    count = sum("launch" not in cell.metadata.get("tags", []) for cell in notebook.cells)
    if not path.name.startswith("00") and count not in CELLS:
        yield f"has {count} cells, not {CELLS.start} to {CELLS.stop - 1}"


def metadata_and_parameters(path: Path, notebook: NotebookNode) -> Iterator[str]:
    try:
        lab = read_lab(path)
    except LabkitError as error:
        yield str(error)
        return
    if not path.name.startswith(f"{lab.number}_"):
        yield f"its metadata say lab {lab.number}"
    first = next((cell for _, cell in code_cells(notebook)), None)
    if first is None or "parameters" not in first.metadata.get("tags", []):
        yield "its first code cell is not the one tagged parameters"
    for profile in STATED:  # slow and busy machines are common, and a run that is stopped looks like a fault
        if lab.budget_seconds[profile] < 3 * 60 * lab.minutes[profile]:
            yield f"is stopped in {profile} on a machine a third as fast as the one whose minutes it states"


def figures_have_alt_text(path: Path, notebook: NotebookNode) -> Iterator[str]:
    for number, cell in code_cells(notebook):
        for call in calls(cell.source, "figure"):
            # Without alt= a figure's title is its alt text, and `Run.figure` refuses one without either.
            alt = next((word.value for word in call.keywords if word.arg == "alt"), ast.Constant("the title"))
            if isinstance(alt, ast.Constant) and not str(alt.value).strip():
                yield f"cell {number} calls run.figure without alt text"
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            bare = [alt for alt in MARKDOWN_IMAGE.findall(cell.source) if not alt.strip()]
            bare += [tag for tag in HTML_IMAGE.findall(cell.source) if not re.search(r'alt="[^"]+"', tag)]
            if bare:
                yield f"cell {number} has an image without alt text"


def links_resolve(path: Path, notebook: NotebookNode) -> Iterator[str]:
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    yield from broken_links(path, text)


def plain_words(path: Path, notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            yield from (f"cell {number} is convoluted: {words!r}" for words in convoluted(cell.source))


def convoluted(text: str) -> list[str]:
    """Phrases of a text that are to be said plainly."""
    return [found[0] for found in CONVOLUTED.finditer(" ".join(text.split()))]


def no_machine_paths(path: Path, notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        if found := MACHINE_PATH.search(cell.source):
            yield f"cell {number} names a path of one machine ({found.group()}…)"


def exercises_are_coherent(path: Path, notebook: NotebookNode) -> Iterator[str]:
    graded = [(n, c) for n, c in enumerate(notebook.cells) if "nbgrader" in c.metadata]
    names = Counter(cell.metadata.nbgrader.get("grade_id") for _, cell in graded)
    yield from (f"grade_id {name} is used {count} times" for name, count in names.items() if count > 1)
    for number, cell in graded:
        yield from (f"cell {number} {problem}" for problem in exercise_problems(cell))
    for number, cell in code_cells(notebook):
        if "### BEGIN SOLUTION" in cell.source and not cell.metadata.get("nbgrader", {}).get("solution"):
            yield f"cell {number} has a solution but no nbgrader metadata that say so"
    points = sum(cell.metadata.nbgrader.get("points", 0) for _, cell in graded)
    if points != notebook.metadata.get("labkit", {}).get("points"):
        yield f"its exercises are worth {points:g} points, its metadata say otherwise"


def exercise_problems(cell: NotebookNode) -> Iterator[str]:
    about = cell.metadata.nbgrader
    if missing := NBGRADER_KEYS - set(about):
        yield f"lacks nbgrader's {', '.join(sorted(missing))}"
        return
    for mark in ("SOLUTION", "HIDDEN TESTS"):
        if cell.source.count(f"### BEGIN {mark}") != cell.source.count(f"### END {mark}"):
            yield f"begins and ends {mark} unequally often"
    if about.schema_version != 3:
        yield "has nbgrader metadata of another version than 3"
    if cell.cell_type == "code" and about.solution and "### BEGIN SOLUTION" not in cell.source:
        yield "is a solution without ### BEGIN SOLUTION"
    if cell.cell_type == "code" and about.grade and not about.solution:
        if not list(calls(cell.source.split("### BEGIN HIDDEN TESTS")[0], "check")):
            yield "is a test without a visible run.check"
        if "### BEGIN HIDDEN TESTS" not in cell.source:
            yield "is a test without hidden tests"
        if not about.locked:
            yield "is a test that is not locked"


RULES: tuple[Callable[[Path, NotebookNode], Iterator[str]], ...] = (
    valid_format,
    stripped,
    no_widget_state,
    short_cells,
    cell_count,
    metadata_and_parameters,
    figures_have_alt_text,
    links_resolve,
    plain_words,
    no_machine_paths,
    exercises_are_coherent,
)


def broken_links(path: Path, text: str) -> Iterator[str]:
    """Links of a markdown text to files that are not there; those to the network are not looked at."""
    for target in LINK.findall(text):
        file = target.split("#")[0]
        if file and "://" not in file and not file.startswith("mailto:") and not (path.parent / file).exists():
            yield f"links to {file}, which is not there"


def misspelt(texts: dict[str, str], folder: Path) -> list[str]:
    """Common misspellings in texts (name → text), found by codespell with the project's settings."""
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    settings = Path(__file__).parents[2] / "pyproject.toml"
    command = [sys.executable, "-m", "codespell_lib", "--toml", str(settings), str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert found.returncode in (0, 65), found.stderr
    return found.stdout.splitlines()


def prose(path: Path) -> str:
    """Source of all cells, comments and strings in code included."""
    return "\n\n".join(cell.source for cell in nbformat.read(path, 4).cells)


def code_cells(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    return ((number, cell) for number, cell in enumerate(notebook.cells) if cell.cell_type == "code")


def calls(source: str, method: str) -> Iterator[ast.Call]:
    """Calls of run.<method> in a cell; lines of IPython's own (%, !) are left out."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == method
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "run"
        ):
            yield node
