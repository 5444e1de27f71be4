"""Feedback as HTML: nbgrader's own page, rendered by an exporter that sanitises all that a student wrote.

It shows the student's work, each property with its hint, points and comments; what the hidden inputs were and what
should have come of them is not in any file that this reads.
"""

import re
from pathlib import Path
from typing import Any

import nbformat

from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.limited import Overrun, run_limited
from labkit.course.grade.marks.anonymous import names_of, pseudonyms, without_names
from labkit.course.grade.marks.gradebook import person_of, update_penalties
from labkit.course.grade.marks.neutral import exporter
from labkit.errors import LabkitError
from labkit.files import write_text

# nbgrader's list at the head of a page calls every exercise the same.
LISTED = re.compile(r'(<li><a href="#([^"<>&]+)">)(Test cell|Written response|Coding free-response|Task)(?=</a>)')


def write_feedback(place: Place, *, anonymous: bool = False) -> tuple[list[Path], dict[str, str]]:
    """Write feedback/<student>/<lab>/<notebook>.html for everybody who was graded.

    With `anonymous` it is feedback-anonymous/<lab>/<pseudonym>.html, with no name on it: for a second reader.

    Returns the pages, and student → why there is none of theirs: nobody's work keeps others from their page.

    Raises LabkitError: nobody was graded yet, or the gradebook cannot be used.
    """
    with open_gradebook(place) as gradebook:
        update_penalties(gradebook, place)
    written: list[Path] = []
    failed: dict[str, str] = {}
    labels = pseudonyms(place) if anonymous else {}
    for one in place.students():
        if not one.notebook("autograded").is_file():
            continue
        path = one.folder("feedback") / f"{place.lab.stem}.html"
        hidden: tuple[list[str], str] | None = None
        if anonymous:
            label = labels[one.student]
            path = place.course / "feedback-anonymous" / place.name / f"{label}.html"
            hidden = names_of(one.student, person_of(one)), label
        try:
            write_text(path, run_limited(_page, one, hidden))
            written.append(path)
        except Overrun as error:
            failed[one.student] = f"its page cannot be drawn: {error}."
        except Exception as error:  # whatever one notebook does to its readers, the others get their page
            failed[one.student] = f"its page cannot be drawn ({type(error).__name__}: {str(error)[:200]})."
    if not written and not failed:
        raise LabkitError(f"{place.name}: nobody is graded; run `labkit grade ingest {place.lab.number}` first.")
    return written, failed


def unread(place: Place) -> list[str]:
    """Students one of whose answers waits for a human: until then it counts for nothing."""
    with open_gradebook(place) as gradebook:
        rows = gradebook.assignment_submissions(place.name)
        return sorted(row.student.id for row in rows if row.needs_manual_grade)


def _page(place: Place, hidden: tuple[list[str], str] | None = None) -> str:
    names = {
        "student": place.student,
        "assignment": place.name,
        "notebook": place.lab.stem,
        "db_url": place.gradebook_url,
    }
    notebook = nbformat.read(place.notebook("autograded"), as_version=4)
    html, _ = _feedback_exporter().from_notebook_node(notebook, resources={"nbgrader": names})
    head, toc, rest = html.partition('<div id="toc">')
    listed, end, rest = rest.partition("</div>")
    page = head + toc + LISTED.sub(r"\1\2", listed) + end + rest
    return without_names(page, *hidden) if hidden else page


def _feedback_exporter() -> Any:
    from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
    from nbgrader.preprocessors import GetGrades
    from nbgrader.server_extensions.formgrader import handlers

    styles = Path(handlers.template_path).parent / "static" / "node_modules" / "bootstrap" / "dist" / "css"
    page = exporter("feedback", [handlers.template_path], [str(styles)])
    page.register_preprocessor(GetGrades(), enabled=True)
    page.register_preprocessor(CSSHTMLHeaderPreprocessor(), enabled=True)
    return page
