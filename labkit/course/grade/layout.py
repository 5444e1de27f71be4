"""Where things lie in a course's folder: nbgrader's layout, with what was prepared and executed beside it."""

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from labkit.course.run.labs import Lab
from labkit.errors import LabkitError

# One component of a path that no shell, glob or regular expression reads as anything but itself.
STUDENT = re.compile(r"\w[\w.@+-]{0,79}")

# received/<student>/<lab>/timestamp.txt is all that nbgrader's own commands see of what was handed in.
RECEIVED = "received"


@dataclass(frozen=True)
class Place:
    """One lab in a course's folder; with a student's name, that student's submission.

    Raises LabkitError: `student` is not a name that `prepare` gives, so that it might lead elsewhere.
    """

    course: Path
    lab: Lab
    student: str = ""

    def __post_init__(self) -> None:
        if self.student and not STUDENT.fullmatch(self.student):
            raise LabkitError(
                f"{self.student!r}: is no student's name in this course; run `labkit grade prepare` first."
            )

    @property
    def name(self) -> str:
        """nbgrader's name of the lab, and of its folders: "lab03a"."""
        return f"lab{self.lab.number}"

    @property
    def source(self) -> Path:
        """The instructor's notebook, with solutions and hidden tests."""
        return self.course / "source" / self.name / self.lab.path.name

    @property
    def release(self) -> Path:
        """The student version."""
        return self.course / "release" / self.name / self.lab.path.name

    def release_in(self, language: str) -> Path:
        """The student version in another language; grading goes by the English one."""
        return self.course / f"release-{language}" / self.name / self.lab.path.name

    @property
    def row(self) -> tuple[str, str, str]:
        """What nbgrader finds a submitted notebook by."""
        return self.lab.stem, self.name, self.student

    def of(self, student: str) -> Self:
        """The place of one student's submission."""
        return replace(self, student=student)

    def folder(self, stage: str) -> Path:
        """<course>/<stage>/<student>/<lab>; stage: submitted, received, executed, autograded or feedback."""
        return self.course / stage / self.student / self.name

    def notebook(self, stage: str) -> Path:
        """The student's notebook at a stage."""
        return self.folder(stage) / self.lab.path.name

    def students(self) -> list[Self]:
        """The places, in the order of names, of those who have something prepared."""
        names = sorted(path.name for path in (self.course / "submitted").glob("*"))
        places = [self.of(name) for name in names if STUDENT.fullmatch(name)]
        return [place for place in places if (place.folder("submitted") / "prepared.json").is_file()]

    @property
    def gradebook_file(self) -> Path:
        """The course's database."""
        return self.course / "gradebook.db"

    @property
    def gradebook_url(self) -> Any:
        """The database as SQLAlchemy names it; not as text, in which a path would end at its first question mark."""
        from sqlalchemy import URL

        return URL.create("sqlite", database=str(self.gradebook_file.absolute()))


@contextmanager
def open_gradebook(place: Place, *, new: bool = False) -> Iterator[Any]:
    """nbgrader's gradebook of a course, closed at the end.

    Args:
        new: make one where there is none.

    Raises LabkitError: nbgrader cannot be imported, or the database cannot be used; says why and what to do.
    """
    need_nbgrader()
    from nbgrader.api import Gradebook

    if not new and not place.gradebook_file.exists():
        raise LabkitError(
            f"{place.gradebook_file}: is not there; check --course, or run `labkit release {place.lab.number}` and "
            f"`labkit grade ingest {place.lab.number}` first."
        )
    before = os.environ.get("PATH", "")
    # A new database is stamped by the command `alembic`, which lies beside an interpreter that nobody activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        with in_one_sentence(place):
            gradebook = Gradebook(place.gradebook_url)
    finally:
        os.environ["PATH"] = before
    with in_one_sentence(place), gradebook, warnings.catch_warnings():
        # nbgrader's own way of adding a submission, which it takes for harmless.
        warnings.filterwarnings("ignore", message=r"Object of type <Submitted\w+> not in session")
        yield gradebook


@contextmanager
def in_one_sentence(place: Place) -> Iterator[None]:
    """Turn whatever a database says into one sentence.

    Raises LabkitError: it is locked, damaged, read-only, a folder, of an older nbgrader, or of another course.
    """
    from nbgrader.api import InvalidEntry, MissingEntry, app_log
    from sqlalchemy.exc import SQLAlchemyError

    file, before = place.gradebook_file, app_log.disabled
    app_log.disabled = True  # nbgrader logs the traceback of what it raises again
    try:
        yield
    except MissingEntry as error:
        raise LabkitError(f"{file}: does not know {place.name}; run `labkit release` for this lab first.") from error
    except (SQLAlchemyError, InvalidEntry) as error:  # the second is nbgrader's name for some of the first
        said = str(getattr(error, "orig", None) or error).splitlines()[0]
        remedies = {
            "locked": "another program is writing to it; close formgrader and other commands, then try again",
            "no such column": f"it is of an older nbgrader; run `nbgrader db upgrade` in {file.parent}",
            "no such table": f"it is of an older nbgrader; run `nbgrader db upgrade` in {file.parent}",
            "readonly": "it is read-only; change its permissions",
            "unable to open": "it is a folder, or may not be opened; move it away or change its permissions",
        }
        remedy = next(
            (text for word, text in remedies.items() if word in said), "it is damaged; restore a copy of it"
        )
        raise LabkitError(f"{file}: cannot be used ({said}): {remedy}.") from error
    finally:
        app_log.disabled = before


def need_nbgrader() -> None:
    """Do nothing where nbgrader can be imported.

    Raises LabkitError: it cannot.
    """
    try:
        import nbgrader  # noqa: F401
    except ImportError as error:
        raise LabkitError(f"grading needs nbgrader ({error}); install it with: pip install -e '.[grade]'") from error
