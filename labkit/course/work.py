"""A student's folder work/: every lab without its solutions, brought up to date and never overwritten.

work/.base/ keeps each lab as it was given last. So three texts of a cell can be compared: as given, as the student
left it, as the lab has it now.
"""

import copy
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labkit.course.grade.layout import need_nbgrader
from labkit.course.grade.release import notebook_text, student_version
from labkit.course.run.labs import Lab
from labkit.files import write_text

BASE = ".base"
BOTH = "This cell of the lab has changed, and so have you: yours is above, the new one here."


def fill(work: Path, labs: list[Lab]) -> list[str]:
    """Write the labs that are missing in `work`, merge those that have changed; returns a sentence for each merge.

    Raises LabkitError: the folder cannot be written, or nbgrader is missing.
    """
    need_nbgrader()
    said = []
    for lab in labs:
        mine, base = work / lab.path.name, work / BASE / lab.path.name
        new = student_version(lab)
        text = notebook_text(new)
        given = base.read_text(encoding="utf-8", errors="replace") if base.is_file() else ""
        if mine.exists() and given == text:
            continue
        if mine.exists():
            read = base
            try:
                before = nbformat.reads(given or text, as_version=4)
                read = mine
                merged, both = merge(_with_ids(nbformat.read(mine, as_version=4), before), before, new)
            except Exception as error:  # nbformat raises errors of many kinds
                why = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}".rstrip(": ")
                damaged = f", since {base} is damaged" if read == base else ""
                said.append(f"{mine}: left as it is{damaged} ({why}); move it away to get the lab's text anew.")
                continue
            write_text(mine, notebook_text(merged))
            said.append(f"{mine.name}: brought up to date" + (f"; {both} cells are there twice." if both else "."))
        else:
            write_text(mine, text)
        write_text(base, text)
    return said


def merge(mine: NotebookNode, base: NotebookNode, new: NotebookNode) -> tuple[NotebookNode, int]:
    """`mine` with what changed from `base` to `new`, cell by cell; and how many cells both sides changed.

    A cell that only one side changed is that side's. Where both did, the student's cell stays, and the lab's new one
    follows it. The student's further cells stay behind the cell that they stood behind.
    """
    before, now = _by_id(base), _by_id(new)
    merged, both = [], 0
    theirs = _by_id(mine)
    for cell in new.cells:
        own, old = theirs.get(cell.id), before.get(cell.id)
        if own is None:
            if old is None or old.source != cell.source:  # else the student has deleted it
                merged.append(cell)
        elif own.source == cell.source:
            merged.append(_with_outputs(cell, own))
        elif old is not None and own.source == old.source:
            merged.append(cell)
        elif old is not None and old.source == cell.source:
            merged.append(own)
        else:
            merged += [own, _marked(cell, theirs)]
            both += 1
    _put_back(merged, mine, before, now)
    result = copy.deepcopy(new)
    result.cells = merged
    return result, both


def _with_ids(mine: NotebookNode, base: NotebookNode) -> NotebookNode:
    """The student's notebook, where an older editor has dropped the cells' ids: known by nbgrader's name, or text."""
    if all("id" in cell for cell in mine.cells):
        return mine
    free = list(base.cells)
    for cell in mine.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        same = [each for each in free if name and each.metadata.get("nbgrader", {}).get("grade_id") == name]
        same = same or [each for each in free if each.source == cell.source]
        cell["id"] = same[0].id if same else uuid4().hex[:8]
        if same:
            free.remove(same[0])
    return mine


def _by_id(notebook: NotebookNode) -> dict[str, NotebookNode]:
    return {cell.id: cell for cell in notebook.cells}


def _with_outputs(cell: NotebookNode, own: NotebookNode) -> NotebookNode:
    """The lab's cell (its tags may be new) with what it printed for the student."""
    kept = copy.deepcopy(cell)
    for part in ("outputs", "execution_count"):
        if part in own and part in kept:
            kept[part] = own[part]
    return kept


def _marked(cell: NotebookNode, taken: dict[str, Any]) -> NotebookNode:
    """The lab's new cell as text to read: as code below the student's it would undo the answer when it runs."""
    name = next(name for n in range(len(taken) + 1) if (name := f"{cell.id[:50]}-new{n or ''}") not in taken)
    text = f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source
    return new_markdown_cell(f"*{BOTH}*\n\n{text}", id=name)


def _put_back(merged: list[NotebookNode], mine: NotebookNode, before: dict, now: dict) -> None:
    """Cells that the new lab does not know: the student's, and those of the old one that the student has changed."""
    last = ""
    for cell in mine.cells:
        if cell.id not in now:
            if cell.id in before and before[cell.id].source == cell.source:
                continue
            places = [n for n, other in enumerate(merged) if other.id == last]
            merged.insert(places[0] + 1 if places else 0 if not last else len(merged), cell)
        last = cell.id


def first_page(work: Path) -> str:
    """What JupyterLab opens by itself."""
    first = sorted(path.name for path in work.glob("00*.ipynb"))
    return f"/lab/tree/{first[0]}" if first else "/lab"
