"""Names, links and archives that lead elsewhere: nothing is read or written there.

Each attack is shown to work as well: against nbgrader as it comes, or with the defence switched off.
"""

import os
import stat
import zipfile
from pathlib import Path

import nbformat
import pytest
from hostile_course import VICTIM, grade, hand_in, snapshot

from labkit.course.grade.intake import collect
from labkit.course.grade.intake.members import RefusedError, read_file
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


@pytest.mark.parametrize(
    "entry",
    [
        f"../../submitted/{VICTIM}/labdemo/demo_two_exercises.ipynb",
        "/tmp/absolute/demo_two_exercises.ipynb",
        "x/../../gradebook.db/demo_two_exercises.ipynb",
        "..\\..\\gradebook.ipynb",
        "C:\\grades\\demo_two_exercises.ipynb",
    ],
)
def test_a_zip_that_leads_out_of_its_folder(room, tmp_path, entry):
    course, lab, honest = room
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(entry, nbformat.writes(honest))
        packed.writestr("bob.ipynb", nbformat.writes(honest))
    before = snapshot(course, without=[course / "submitted" / "bob"])
    result = prepare(Place(course, lab), archive)
    assert set(result.students) == {"bob"} and "leads out" in result.left_out[0]
    del before[course / "gradebook.db"]
    assert {path: path.read_bytes() for path in before} == before
    # Without the defence, a name joined to a folder leads elsewhere: to another student's work, too.
    plain = entry.replace("\\", "/").removeprefix("C:")
    joined = Path(os.path.normpath(course / "submitted" / "mallory" / plain))
    assert not joined.is_relative_to(course / "submitted" / "mallory")


@pytest.mark.parametrize(
    "student", ["../../evil", "a/b", "..", "", "-rf", "*", "[a]", "x" * 300, "a\nb", "\u202egnp"]
)
def test_a_name_with_a_path_in_it(student):
    harmless = collect._harmless(student, set())
    folder = Place(Path("/course"), type("Lab", (), {"number": "demo"}), harmless).folder("submitted")
    assert os.path.normpath(folder) == str(folder) and folder.parent.parent == Path("/course/submitted")
    assert not set("*?[]\n/\\") & set(harmless) and len(harmless) < 80


def test_a_backslash_in_a_files_name(room, tmp_path):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {f"x\\..\\..\\{VICTIM}.ipynb": honest, f"x\\..\\{VICTIM}/x.ipynb": honest})
    result = prepare(Place(course, lab), source)
    assert not result.students and len(result.left_out) == 2


def test_a_name_that_looks_like_anothers_takes_nobodys_place(room, tmp_path):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"Eve A.ipynb": b"{}", "Eve_A.ipynb": honest, "eve a.ipynb": b"{}"})
    result = prepare(Place(course, lab), source)
    assert sorted(result.students) == ["Eve_A", "Eve_A-2", "eve_a-3"]
    assert result.students["Eve_A"]["refused"] is None, "whose own name it is keeps it"
    assert all(result.students[who]["refused"] for who in ("Eve_A-2", "eve_a-3"))
    assert collect._harmless("Eve_A", set()) == "Eve_A" == collect._harmless("Eve A", set())  # as they would be alone


def test_a_symbolic_link_in_place_of_a_submission(room, tmp_path):
    course, lab, _ = room
    source = tmp_path / "in"
    (source / "mallory").mkdir(parents=True)
    (source / "mallory" / lab.path.name).symlink_to(Place(course, lab).source)
    (source / "oscar.ipynb").symlink_to(Place(course, lab, VICTIM).notebook("submitted"))
    (source / "trudy").symlink_to(course / "submitted" / VICTIM)
    result = prepare(Place(course, lab), source)
    assert all("symbolic link" in about["refused"] for about in result.students.values())
    assert {"mallory", "oscar"} <= set(result.students)
    assert sum(grade(course, lab).values()) == 0
    # nbgrader opens the path: the solution itself is what it would grade.
    opened = nbformat.read(source / "mallory" / lab.path.name, as_version=4)
    assert any("### BEGIN SOLUTION" in cell.source for cell in opened.cells)


def test_names_that_no_file_or_terminal_should_hold(room, tmp_path):
    """They end up in sentences: half a letter would stop the writing of them, and with it everybody's `prepare`."""
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"bob.ipynb": honest})
    half = os.fsdecode(b"m\xff\x1b]0;.ipynb")
    (source / half).symlink_to("elsewhere")
    (source / half.replace("ipynb", "txt")).write_text("")
    (source / "mallory").mkdir()
    (source / "mallory" / half).symlink_to("elsewhere")
    result = prepare(Place(course, lab), source)
    told = [about["refused"] for about in result.students.values() if about["refused"]] + result.left_out
    assert len(told) == 3 and all(each.isprintable() for each in told)
    assert result.students["bob"]["refused"] is None
    with pytest.raises(UnicodeEncodeError):
        half.encode()


def test_a_symbolic_link_that_appears_after_the_look(room, tmp_path, monkeypatch):
    course, lab, _ = room
    link = tmp_path / "link.ipynb"
    link.symlink_to(Place(course, lab).source)
    with pytest.raises(RefusedError, match="cannot be read"):
        read_file(link, 10**6)
    monkeypatch.delattr(os, "O_NOFOLLOW")
    assert b"BEGIN SOLUTION" in read_file(link, 10**6)


def test_a_folder_that_appears_after_the_look(tmp_path):
    with pytest.raises(RefusedError, match="no plain file"):
        read_file(tmp_path, 10**6)


def test_a_symbolic_link_in_a_zip(room, tmp_path):
    """Not shown to bite: `unzip` makes such a link, Python's zipfile a file that holds the link's target."""
    course, lab, _ = room
    archive = tmp_path / "in.zip"
    entry = zipfile.ZipInfo(f"mallory/{lab.path.name}")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(entry, str(Place(course, lab).source))
    assert "symbolic link" in prepare(Place(course, lab), archive).students["mallory"]["refused"]
    assert grade(course, lab) == {"mallory": 0}


def test_a_pipe_is_not_waited_for(room, tmp_path):
    course, lab, honest = room
    source = hand_in(tmp_path / "in", {"bob.ipynb": honest})
    os.mkfifo(source / "mallory.ipynb")
    found = prepare(Place(course, lab), source).students
    assert "no plain file" in found["mallory"]["refused"] and not found["bob"]["refused"]
