"""Feedback as HTML: nbgrader's own page, rendered by an exporter that sanitises all that a student wrote.

It shows the student's work, each property with its hint, points and comments; what the hidden inputs were and what
should have come of them is not in any file that this reads.
"""

from pathlib import Path
from typing import Any

import nbformat

from labkit.course.grade.layout import assignment, gradebook_url, open_gradebook, student_folder, students
from labkit.course.grade.marks.gradebook import update_penalties
from labkit.course.grade.marks.neutral import exporter
from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import write_text


def write_feedback(course: Path, lab: Lab) -> list[Path]:
    """Write feedback/<student>/<lab>/<notebook>.html for everybody who was graded; returns the pages.

    Raises:
        LabkitError: nobody was graded yet.
    """
    with open_gradebook(course) as gradebook:
        update_penalties(gradebook, course, lab)
    page, written = _feedback_exporter(), []
    for student in students(course, lab):
        graded = student_folder(course, "autograded", student, lab) / lab.path.name
        if not graded.is_file():
            continue
        names = {
            "student": student,
            "assignment": assignment(lab),
            "notebook": lab.stem,
            "db_url": gradebook_url(course),
        }
        notebook = nbformat.read(graded, as_version=4)
        html, _ = page.from_notebook_node(notebook, resources={"nbgrader": names})
        path = student_folder(course, "feedback", student, lab) / f"{lab.stem}.html"
        write_text(path, html)
        written.append(path)
    if not written:
        raise LabkitError(f"{assignment(lab)}: nobody is graded; run `labkit grade ingest {lab.number}` first.")
    return written


def unread(course: Path, lab: Lab) -> list[str]:
    """Students one of whose answers waits for a human: until then it counts for nothing."""
    with open_gradebook(course) as gradebook:
        rows = gradebook.assignment_submissions(assignment(lab))
        return sorted(row.student.id for row in rows if row.needs_manual_grade)


def _feedback_exporter() -> Any:
    from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
    from nbgrader.preprocessors import GetGrades
    from nbgrader.server_extensions.formgrader import handlers

    styles = Path(handlers.template_path).parent / "static" / "node_modules" / "bootstrap" / "dist" / "css"
    page = exporter("feedback", [handlers.template_path], [str(styles)])
    page.register_preprocessor(GetGrades(), enabled=True)
    page.register_preprocessor(CSSHTMLHeaderPreprocessor(), enabled=True)
    return page
