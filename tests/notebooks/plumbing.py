"""How much of the notebooks' code is plumbing: lines that set up, record and draw, and teach nothing.

Blank lines, comments and hidden tests are left out. Plumbing is an import, the cell of parameters, the table of
sizes, a call of the run's record (`run.figure`, `run.metric`, …), what builds a figure (`plots.…`) and its texts:
assignments to title, figure, words, axes, … As a program it prints a line per lab.
"""

import ast
import json
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
TEXTS = {"title", "titles", "figure", "protocol", "alt", "words", "caption", "labels", "measured"}
TEXTS |= {"axes", "levels", "question", "xlabel", "ylabel", "bounds", "frame", "marked", "around", "over_time"}


def code_cells(path: Path) -> list[tuple[list[str], str]]:
    """Tags and source of each code cell; cells of hidden tests end where these begin."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        (cell["metadata"].get("tags", []), "".join(cell["source"]).split("### BEGIN HIDDEN TESTS")[0])
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def is_plumbing(statement: ast.stmt) -> bool:
    """Whether a statement without a body of others is plumbing."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    if {node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)} & TEXTS:
        return True
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("run", "plots")
        for node in ast.walk(statement)
    ) or any(isinstance(node, ast.Name) and node.id == "start_lab" for node in ast.walk(statement))


def lines_of(path: Path) -> tuple[int, int]:
    """Lines of code, and how many of them are plumbing."""
    code, plumbing = set(), set()
    for cell, (tags, source) in enumerate(code_cells(path)):
        written = {
            n for n, line in enumerate(source.splitlines(), 1) if line.strip() and not line.strip().startswith("#")
        }
        code |= {(cell, n) for n in written}
        if {"parameters", "launch"} & {*tags}:
            plumbing |= {(cell, n) for n in written}
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.stmt) and not hasattr(node, "body") and is_plumbing(node):
                plumbing |= {(cell, n) for n in written if node.lineno <= n <= node.end_lineno}
    return len(code), len(plumbing)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOKS
    counts = {path.stem: lines_of(path) for path in sorted(folder.glob("[0-9]*.ipynb"))}
    counts["all"] = tuple(map(sum, zip(*counts.values())))
    for stem, (code, plumbing) in counts.items():
        print(f"{stem:34} {code:5} lines, {plumbing:5} plumbing, {plumbing / code:4.0%}")
