"""What is taken of notebooks as they are handed in: whatever saved them, by a deadline, and into which folder."""

import json
from datetime import date

import nbformat
import pytest
from handed_in import packed
from typer.testing import CliRunner

from labkit.course.cli import app
from labkit.course.grade.command import _moment
from labkit.course.grade.demo import RIGHT, fill
from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place
from labkit.course.grade.release import release
from labkit.errors import LabkitError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    pytest.importorskip("nbgrader", reason="needs the extra `grade`")
    lab = demo_lab(tmp_path_factory.mktemp("labs"))
    made = Place(tmp_path_factory.mktemp("a course?"), lab)
    release(made)
    return made


@pytest.fixture
def answered(place):
    notebook = nbformat.read(place.release, as_version=4)
    fill(notebook)
    return nbformat.writes(notebook)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_notebook_in_any_of_unicodes_forms_is_taken(place, answered, tmp_path, encoding):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.ipynb").write_bytes(answered.encode(encoding))
    result = prepare(place, tmp_path / "in")
    assert not result.students["ada"]["refused"]
    assert RIGHT["essay"] in place.of("ada").notebook("submitted").read_text(encoding="utf-8")


def test_a_notebook_that_notepad_saved_as_ansi_is_taken(place, answered, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.ipynb").write_bytes(answered.replace("A density", "D\u00e9j\u00e0").encode("cp1252"))
    assert not prepare(place, tmp_path / "in").students["ada"]["refused"]
    assert "D\u00e9j\u00e0" in place.of("ada").notebook("submitted").read_text(encoding="utf-8")


INSTEAD = {
    "but empty": b"",
    "but a web page": b"\n<!DOCTYPE html><html>",
    "but a zip or an Office file": packed({"word/document.xml": b""}),
    "but a PDF": b"%PDF-1.7",
    "but one cut short or damaged": b'{"cells": [',
    "that can be read; hand": b"Dear teacher",
}


@pytest.mark.parametrize("words", INSTEAD)
def test_what_is_no_notebook_is_named_with_what_to_do(place, tmp_path, words):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.ipynb").write_bytes(INSTEAD[words])
    refused = prepare(place, tmp_path / "in").students["ada"]["refused"]
    assert words in refused and "hand in the .ipynb file itself" in refused


def test_a_moodle_number_reaches_prepared_json(place, answered, tmp_path):
    source = tmp_path / "in.zip"
    source.write_bytes(packed({f"Mia Moo_77_assignsubmission_file_/{place.lab.path.name}": answered}))
    prepare(place, source)
    prepared = json.loads((place.of("Mia_Moo_77").folder("submitted") / "prepared.json").read_text())
    assert prepared["person"] == {"system": "moodle", "name": "Mia Moo", "id": "77"}


def test_a_deadline_that_is_a_day_ends_with_it_and_is_said_with_who_is_late(place, answered, tmp_path, monkeypatch):
    files = {f"{who}/{place.lab.path.name}": answered for who in ("eve", "finn")}
    source = tmp_path / "in.zip"
    source.write_bytes(packed(files, dates=[(2026, 11, 20, 9, 0, 0), (2026, 11, 21, 0, 0, 2)]))
    result = prepare(place, source, deadline=date(2026, 11, 20))
    assert result.students["eve"]["late_seconds"] == 0 and 0 < result.students["finn"]["late_seconds"] < 3
    (place.course / place.lab.path.name).write_text(place.lab.path.read_text())
    command = ["grade", "prepare", "demo", "--from", str(source), "--course", str(place.course)]
    done = CliRunner().invoke(app, [*command, "--deadline", "2026-11-20"])
    assert done.exit_code == 0, done.output
    assert "2026-11-20 23:59:59" in done.output and "late: finn" in done.output
    assert f"eve: took 'eve/{place.lab.path.name}' of 2026-11-20 09:00\n" in done.output
    again = CliRunner().invoke(app, command)
    assert "2026-11-20 23:59:59" in again.output, "what the gradebook remembers is said, too"


def test_a_course_whose_path_holds_a_question_mark_keeps_its_gradebook(place):
    assert "?" in str(place.course) and place.gradebook_file.is_file()
    assert [path for path in place.course.parent.glob("a course*") if not path.is_symlink()] == [place.course]


@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59-12:00", "20.11.2026", "2026-11-20T18.30", ""]
)
def test_a_deadline_that_is_no_day_of_ours_is_refused(text):
    with pytest.raises(LabkitError, match="is no day and no moment"):
        _moment(text)
