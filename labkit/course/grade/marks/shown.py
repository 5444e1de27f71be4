"""The notebook that formgrader and feedback show: the student's work, and behind each test what came of it."""

import json
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labkit.course.grade.intake.members import RefusedError, read_file
from labkit.course.grade.marks.needs import say_what_is_needed
from labkit.course.grade.marks.neutral import neutral_outputs, plain_markdown, plain_text
from labkit.course.grade.marks.score import Score

MAX_EXECUTED = 100_000_000


def shown_notebook(
    notebook: NotebookNode, executed: dict[str, Any], scores: dict[str, Score], notes: list[str]
) -> NotebookNode:
    """`notebook` with neutral outputs, the notes at its head, and a list of properties behind each test.

    Args:
        notebook: as `prepare` wrote it; changed in place.
        executed: cell id → outputs and execution_count, see `executed_cells`.
        scores: grade_id of a test cell → its score.
        notes: sentences about the whole.
    """
    cells = [new_markdown_cell(_notes(notes), id="grading-notes")] if notes else []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found = executed.get(cell.id, {})
            cell.outputs = neutral_outputs(found.get("outputs", []))
            count = found.get("execution_count")
            cell.execution_count = count if isinstance(count, int) else None
        else:
            cell.source = plain_markdown(cell.source)
        cells.append(cell)
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in scores:
            cells.append(new_markdown_cell(_properties(name, scores[name]), id=f"result-{len(cells)}"))
    notebook.cells = cells
    say_what_is_needed(cells)
    return notebook


def shown_text(notebook: str, executed: Path | None, scores: dict[str, Score], notes: list[str]) -> str:
    """`shown_notebook` from text to text: for a process of its own, since all of it is a student's.

    Args:
        executed: the executed notebook; None if there is none of this submission.
    """
    cells = executed_cells(executed) if executed else {}
    return nbformat.writes(shown_notebook(nbformat.reads(notebook, as_version=4), cells, scores, notes)) + "\n"


def executed_cells(path: Path) -> dict[str, dict[str, Any]]:
    """Outputs and execution count of each cell of an executed notebook, by id; nothing where it cannot be read."""
    try:
        cells = json.loads(read_file(path, MAX_EXECUTED))["cells"]
        return {cell["id"]: cell for cell in cells if isinstance(cell.get("outputs", []), list)}
    except (RefusedError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _notes(notes: list[str]) -> str:
    return "**About this submission**\n\n" + "\n".join(f"- {plain_text(note)}" for note in notes)


def _properties(name: str, score: Score) -> str:
    lines = [f"**{plain_text(name)}: {score.points:.2f} of {score.maximum:g} points**"]
    if score.properties:
        lines[0] += f", {score.passed} of {len(score.properties)} properties hold"
    lines.append("")
    for each in score.properties:
        hint = f": {plain_text(each['hint'])}" if each["hint"] else ""
        lines.append(f"- {'✔' if each['passed'] else '✘'} {plain_text(each['name'])}{hint}")
    if score.reason:
        lines.append(f"- {plain_text(score.reason)}")
    return "\n".join(lines)
