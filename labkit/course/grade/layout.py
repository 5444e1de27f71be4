"""Where things lie in a course's folder: nbgrader's layout, with what was prepared and executed beside it."""

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.course.run.labs import Lab
from labkit.errors import LabkitError

# One component of a path that no shell, glob or regular expression reads as anything but itself.
STUDENT = re.compile(r"\w[\w.@+-]{0,79}")

# received/<student>/<lab>/timestamp.txt is all that nbgrader's own commands see of what was handed in.
RECEIVED = "received"


def assignment(lab: Lab) -> str:
    """nbgrader's name of a lab, and of its folders: "lab03a"."""
    return f"lab{lab.number}"


def source_path(course: Path, lab: Lab) -> Path:
    """The instructor's notebook, with solutions and hidden tests."""
    return course / "source" / assignment(lab) / lab.path.name


def release_path(course: Path, lab: Lab) -> Path:
    """The student version."""
    return course / "release" / assignment(lab) / lab.path.name


def student_folder(course: Path, stage: str, student: str, lab: Lab) -> Path:
    """<course>/<stage>/<student>/<lab>; stage: submitted, received, executed, autograded or feedback.

    Raises:
        LabkitError: `student` is not a name that `prepare` gives, so that it might lead elsewhere.
    """
    if not STUDENT.fullmatch(student):
        raise LabkitError(f"{student!r}: is no student's name in this course; run `labkit grade prepare` first.")
    return course / stage / student / assignment(lab)


def students(course: Path, lab: Lab) -> Iterator[str]:
    """Names, in order, of those who have something prepared for a lab."""
    for folder in sorted((course / "submitted").glob("*")):
        if STUDENT.fullmatch(folder.name) and (folder / assignment(lab) / "prepared.json").is_file():
            yield folder.name


def gradebook_url(course: Path) -> str:
    """The database of a course, as SQLAlchemy names it."""
    return f"sqlite:///{(course / 'gradebook.db').absolute()}"


@contextmanager
def open_gradebook(course: Path) -> Iterator[Any]:
    """nbgrader's gradebook of a course, closed at the end.

    Raises:
        LabkitError: nbgrader cannot be imported.
    """
    need_nbgrader()
    from nbgrader.api import Gradebook

    before = os.environ.get("PATH", "")
    # A new database is stamped by the command `alembic`, which lies beside an interpreter that nobody activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        gradebook = Gradebook(gradebook_url(course))
    finally:
        os.environ["PATH"] = before
    with gradebook, warnings.catch_warnings():
        # nbgrader's own way of adding a submission, which it takes for harmless.
        warnings.filterwarnings("ignore", message=r"Object of type <Submitted\w+> not in session")
        yield gradebook


def need_nbgrader() -> None:
    """Do nothing where nbgrader can be imported.

    Raises:
        LabkitError: it cannot.
    """
    try:
        import nbgrader  # noqa: F401
    except ImportError as error:
        raise LabkitError(f"grading needs nbgrader ({error}); install it with: pip install -e '.[grade]'") from error
