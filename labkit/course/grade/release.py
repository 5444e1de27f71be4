"""The student version of a lab, made from its one source by nbgrader's own preprocessors.

The order is that of `nbgrader generate_assignment`: the gradebook keeps the cells as they are in the source, the
student's copy loses solutions, hidden tests and outputs.
"""

import ast
import os
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from labkit.course.grade.layout import RECEIVED, Place, in_one_sentence, need_nbgrader, open_gradebook
from labkit.course.run.labs import Lab
from labkit.course.translate import Count, translate
from labkit.errors import LabkitError
from labkit.files import write_text

CODE_STUB = "raise NotImplementedError"
TEXT_STUB = "*Your answer.*"

# Read by nbgrader's commands and by formgrader, which render with nbconvert's defaults: nothing sanitised. Their
# "autograde" runs what it finds with all rights of whoever clicks: in `RECEIVED` lie only moments, no notebook.
SETTINGS = f"""\
# Written by `labkit release`. What students hand in is shown with its HTML sanitised, and never run from here.
c = get_config()  # noqa: F821
c.CourseDirectory.submitted_directory = "{RECEIVED}"
c.ClearSolutions.code_stub = {{"python": "{CODE_STUB}"}}
c.ClearSolutions.text_stub = "{TEXT_STUB}"
c.CourseDirectory.db_url = "sqlite:///gradebook.db"
c.SanitizeHTML.enabled = True
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {{
    "markdown2html": "labkit.course.grade.marks.neutral.markdown_filter",
    "clean_html": "labkit.course.grade.marks.neutral.safe_html",
}}
"""


def release(place: Place, *, check: bool = False) -> Path:
    """Write the student version of a lab and register its exercises in the gradebook; returns where it lies.

    Args:
        check: write nothing; only compare the copy that is there with what the source gives today.

    Raises LabkitError: the source's exercises are not in order, the copy is stale (with `check`), or submissions are
        in the gradebook already and the exercises are no longer the ones they were made for.
    """
    need_nbgrader()
    lab, text = place.lab, notebook_text(student_version(place.lab))
    if check:
        _compare(place.release, text, lab)
        return place.release
    try:
        place.course.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabkitError(
            f"{place.course}: cannot be made ({error.strerror}); give --course another folder."
        ) from error
    _register(place)
    write_text(place.source, lab.path.read_text(encoding="utf-8"))
    write_text(place.release, text)
    if not (settings := place.course / "nbgrader_config.py").exists():
        write_text(settings, SETTINGS)
    return place.release


def release_in(place: Place, language: str, *, check: bool = False) -> Count:
    """Write the student version in another language beside the English one; returns how much of it is translated.

    Raises LabkitError: there is no such translation, the copy is stale (with `check`), or see `release`.
    """
    need_nbgrader()
    notebook = student_version(place.lab)
    counted, text = translate(notebook, place.lab, language), notebook_text(notebook)
    if check:
        _compare(place.release_in(language), text, place.lab, f" --lang {language}")
    else:
        write_text(place.release_in(language), text)
    return counted


def student_version(lab: Lab) -> NotebookNode:
    """The notebook as students get it: no solutions, no hidden tests, no outputs, locked where it is the kit's.

    Raises LabkitError: see `release`.
    """
    from nbgrader import preprocessors as of

    notebook, resources = _instructor_version(lab)
    for step in (of.ClearHiddenTests(), of.ComputeChecksums(), _validated):
        notebook, resources = _apply(step, notebook, resources, lab)
    _must_be_python(notebook, lab)
    return notebook


def notebook_text(notebook: NotebookNode) -> str:
    """A notebook as the text of a file."""
    return nbformat.writes(notebook) + "\n"


def _instructor_version(lab: Lab) -> tuple[NotebookNode, dict[str, Any]]:
    """Solutions and outputs gone, hidden tests still there: what the gradebook remembers of each cell."""
    from nbgrader import preprocessors as of

    notebook, resources = nbformat.read(lab.path, as_version=4), {}
    steps = (
        of.LockCells(),
        of.ClearSolutions(code_stub={"python": CODE_STUB}, text_stub=TEXT_STUB),
        of.ClearOutput(),
        _validated,
        of.ComputeChecksums(),
    )
    for step in steps:
        notebook, resources = _apply(step, notebook, resources, lab)
    return notebook, resources


def _validated(notebook: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
    """nbgrader's CheckCellMetadata without its log: what it found is in the sentence."""
    from nbgrader.nbgraderformat import MetadataValidator

    MetadataValidator().validate_nb(notebook)
    return notebook, resources


def _register(place: Place) -> None:
    from nbgrader.preprocessors import SaveCells

    notebook, _ = _instructor_version(place.lab)
    with open_gradebook(place, new=True) as gradebook:
        gradebook.update_or_create_assignment(place.name)
    names = {"notebook": place.lab.stem, "assignment": place.name, "db_url": place.gradebook_url}
    with in_one_sentence(place):
        _apply(SaveCells(), notebook, {"nbgrader": names}, place.lab)


def _apply(step: Any, notebook: NotebookNode, resources: dict, lab: Lab) -> tuple[NotebookNode, dict]:
    from nbgrader.nbgraderformat import ValidationError

    try:
        return step(notebook, resources)
    except (RuntimeError, ValidationError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise LabkitError(f"{lab.path}: cannot be released ({reason}); mend the notebook.") from error


def _must_be_python(notebook: NotebookNode, lab: Lab) -> None:
    """A stub that took the only statement of a block with it would stop the student's notebook at once."""
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and about.get("solution"):
            try:
                ast.parse(cell.source)
            except SyntaxError as error:
                raise LabkitError(
                    f"{lab.path}: the stub of {about['grade_id']} is not Python (line {error.lineno}); "
                    "move its BEGIN and END SOLUTION."
                ) from error


def _compare(path: Path, text: str, lab: Lab, option: str = "") -> None:
    shown = os.path.relpath(path)
    if not path.is_file():
        raise LabkitError(f"{shown}: is not there; write it with `labkit release {lab.number}{option}`.")
    if path.read_text(encoding="utf-8", errors="replace") != text:
        raise LabkitError(f"{shown}: is stale; write it again with `labkit release {lab.number}{option}`.")
