"""A course in which an honest student has been graded, and what the hostile tests do to it."""

import nbformat
from example_course import run_trusted

from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.marks.gradebook import ingest

TESTS = ("log-density-test", "components-test")
VICTIM = "victim"


def hand_in(folder, files):
    for where, content in files.items():
        path = folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else nbformat.writes(content).encode())
    return folder


def points(course, lab):
    """student → points of the tests, as the gradebook has them."""
    with open_gradebook(Place(course, lab)) as gradebook:
        rows = [s for student in gradebook.students for s in student.submissions]
        return {row.student.id: sum(g.score for n in row.notebooks for g in n.grades) for row in rows}


def grade(course, lab):
    run_trusted(course, lab)
    ingest(Place(course, lab))
    found = points(course, lab)
    assert found.pop(VICTIM) == 8, "another student's grade was touched"
    return found


def snapshot(folder, *, without=()):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_relative_to(without[0])}


def prepared(course, lab, student):
    return nbformat.read(Place(course, lab, student).notebook("submitted"), as_version=4)


def name(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")
