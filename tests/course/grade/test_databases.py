"""A gradebook that cannot be used, and a course that is none: one sentence, status 2, for every command."""

import os
import shutil
import sqlite3
from datetime import date
from pathlib import Path

import pytest
from example_course import run_trusted
from typer.testing import CliRunner

from labkit.course.cli import app
from labkit.course.grade.demo import DEADLINE, make_demo
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.marks.export import export_csv, overview
from labkit.course.grade.marks.feedback import unread, write_feedback
from labkit.course.grade.marks.gradebook import ingest
from labkit.course.grade.release import release
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    place = Place(course, make_demo(course))
    prepare(place, course / "handed-in", deadline=DEADLINE)
    run_trusted(course, place.lab)
    ingest(place)
    return place


@pytest.fixture
def place(template, tmp_path):
    return Place(shutil.copytree(template.course, tmp_path / "course"), template.lab)


def lock(file):
    other = sqlite3.connect(file)
    other.execute("begin exclusive")
    return other


def older(file):
    with sqlite3.connect(file) as database:
        database.execute("alter table assignment rename to assignment_of_old")


def folder(file):
    file.unlink()
    file.mkdir()


FAULTS = {
    "locked": (lock, "locked.*close formgrader"),
    "missing": (os.unlink, "is not there"),
    "damaged": (lambda file: file.write_bytes(b"no database" * 1000), "damaged"),
    "a folder": (folder, "folder"),
    "older": (older, r"nbgrader db upgrade|does not know"),
    "of another course": (lambda file: file.write_bytes(b""), "does not know"),
}
COMMANDS = {
    "prepare": lambda place: prepare(place, place.course / "handed-in"),
    "ingest": ingest,
    "feedback": write_feedback,
    "unread": unread,
    "export": lambda place: export_csv(place, place.course / "x.csv"),
    "overview": overview,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_is_wrong_in_one_sentence(place, fault, command, monkeypatch):
    monkeypatch.setattr("sqlite3.dbapi2.connect", _impatient(sqlite3.connect))
    spoil, words = FAULTS[fault]
    held = spoil(place.gradebook_file)
    try:
        COMMANDS[command](place)
    except LabkitError as error:
        assert "\n" not in str(error) and len(str(error)) < 400, error
        import re

        assert re.search(words, str(error)) or "nobody is graded" in str(error), error
    else:
        assert command in ("unread", "prepare", "feedback") and fault in ("of another course", "older")
    if isinstance(held, sqlite3.Connection):
        held.close()


def read_only(connect):
    """Connects as to a file that may not be written: root may write whatever its permissions say."""
    return lambda file, **settings: connect(f"{Path(file).as_uri()}?mode=ro", **settings, uri=True)


@pytest.mark.parametrize("fault", ["read-only", "locked"])
@pytest.mark.parametrize("command", ["prepare", "ingest"])
def test_what_nbgrader_says_in_its_own_words_of_a_database_is_one_sentence_too(
    place, fault, command, monkeypatch, caplog
):
    """Of what is new to the gradebook it raises an InvalidEntry, whatever the reason, and logs a traceback."""
    (place.course / "handed-in" / "zoe").mkdir()
    shutil.copy(place.of("ada-right").notebook("submitted"), place.course / "handed-in" / "zoe")
    with monkeypatch.context() as patch:
        if command == "ingest":
            patch.setattr("labkit.course.grade.intake.prepare._register", lambda *_: None)
            prepare(place, place.course / "handed-in")
            run_trusted(place.course, place.lab)
    held = lock(place.gradebook_file) if fault == "locked" else None
    connect = _impatient(sqlite3.connect) if fault == "locked" else read_only(sqlite3.connect)
    monkeypatch.setattr("sqlite3.dbapi2.connect", connect)
    with pytest.raises(
        LabkitError, match=r"gradebook.db: cannot be used .*(read-only; change|locked.*; close formgrader)"
    ):
        if command == "prepare":
            prepare(place, place.course / "handed-in", deadline=date(2026, 11, 20))
        else:
            ingest(place)
    assert not caplog.records
    if held:
        held.close()


def _impatient(connect):
    return lambda *args, **settings: connect(*args, **{**settings, "timeout": 0.1})


def test_a_course_that_is_none_is_said_and_left_as_it_is(template, tmp_path):
    for command in COMMANDS.values():
        with pytest.raises(LabkitError, match=r"--course|labkit release|nothing is prepared"):
            command(Place(tmp_path / "nowhere", template.lab))
    assert not (tmp_path / "nowhere").exists()


def test_a_release_to_a_place_that_cannot_be_written_is_said(template, tmp_path):
    (tmp_path / "file").write_text("")
    for course in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LabkitError, match="--course"):
            release(Place(course, template.lab))


def test_one_spoilt_notebook_stops_no_command_which_names_it_and_ends_with_1(place):
    spoilt = place.of("ada-right").notebook("autograded")
    spoilt.write_text("{")
    (place.of("ben-right-otherwise").folder("submitted") / "prepared.json").write_text("[]")
    place.of("cleo-no-constant").notebook("submitted").write_text("{}")
    run = CliRunner().invoke(app, ["grade", "feedback", "demo", "--course", str(place.course)])
    assert run.exit_code == 1 and "failed: ada-right" in run.output and "13 pages" in run.output
    run = CliRunner().invoke(app, ["grade", "ingest", "demo", "--course", str(place.course)])
    assert run.exit_code == 1 and run.output.endswith("failed: ben-right-otherwise\n")
    assert spoilt.read_text() != "{"  # it is made anew
    with open_gradebook(place) as gradebook:
        assert len(gradebook.students) == 14
