"""What learning platforms, browsers and editors make of a notebook handed in, and whose it is."""

import json
import os
import shutil
import stat
import time
import zipfile
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from handed_in import packed

from labkit.course.grade.intake.collect import collect
from labkit.errors import LabkitError

STEM = "01b_olivetti_generalising"
LAB = SimpleNamespace(stem=STEM, number="01b", path=Path(f"{STEM}.ipynb"))
METADATA = """\
submission_1:
  :submitters:
  - :name: Ada Lovelace
    :sid: '12'
  :created_at: 2026-11-20 10:00:00
  :results:
    tests:
    - name: a test
  :history:
  - :id: 7
    :results:
      tests:
      - name: another test
submission_2:
  :submitters:
  - :name: "Bob"
  - :name: Cy Twombly
    :sid: ''
    :email: cy@x.org
submission_3:
  :submitters:
  - :email: wei1@x.org
    :name: Wei Zhang
    :sid: 31
submission_4:
  :submitters:
  - :name: Wei Zhang
    :sid: 32
"""


def book(mark):
    return json.dumps({"nbformat": 4, "cells": [], "mark": mark}).encode()


CASES = {
    "Canvas": (
        {
            f"doejane_123_78_{STEM}.ipynb": book("old"),
            f"doejane_123_99_{STEM}-1.ipynb": book("doejane"),
            f"smithbob_LATE_22_79_{STEM}.ipynb": book("smithbob"),
            f"lee_late_32_79_{STEM} (2).ipynb": book("lee"),
            "ray_7_9_03a_other.ipynb": book("another lab"),
        },
        {"doejane", "smithbob", "lee"},
    ),
    "Canvas, two of one name": (
        {f"doejane_1_2_{STEM}.ipynb": book("doejane_1"), f"doejane_9_3_{STEM}.ipynb": book("doejane_9")},
        {"doejane_1", "doejane_9"},
    ),
    "Canvas, anonymous": (
        {f"anon_a1B2c_78_{STEM}.ipynb": book("anon_a1B2c"), f"anon_x1y2z_79_{STEM}-1.ipynb": book("anon_x1y2z")},
        {"anon_a1B2c", "anon_x1y2z"},
    ),
    "Brightspace": (
        {
            f"12-7 - Ada Lovelace - Nov 20, 2026 1030 AM/{STEM}.ipynb": book("old"),
            f"12-7 - Ada Lovelace - Nov 21, 2026 930 AM/{STEM}.ipynb": book("Ada_Lovelace"),
            f"13-7 - Bo - Nov 20, 2026 1130 PM/{STEM}.ipynb": book("Bo"),
            "index.html": b"<html>",
        },
        {"Ada_Lovelace", "Bo"},
    ),
    "Brightspace, without folders": (
        {
            f"12-7 - Ada Lovelace - Sept 20, 2026 1030 AM - {STEM}.ipynb": book("old"),
            f"12-7 - Ada Lovelace - Sept 21, 2026 930 AM - {STEM} (2).ipynb": book("Ada_Lovelace"),
            f"13-7 - Bo - Nov 20, 2026 1130 PM - {STEM}.ipynb": book("Bo"),
            "14-7 - Cy - July 2, 2026 1130 PM - mine.zip": packed({f"{STEM}.ipynb": book("Cy")}),
        },
        {"Ada_Lovelace", "Bo", "Cy"},
    ),
    "Brightspace, other dates": (
        {
            f"12-7 - Ada Lovelace - 20 November, 2026 1030/{STEM}.ipynb": book("old"),
            f"12-7 - Ada Lovelace - 21 November, 2026 930/{STEM}.ipynb": book("Ada_Lovelace"),
            f"13-7 - Bo - 20 nov., 2026 1830/{STEM}.ipynb": book("Bo"),
        },
        {"Ada_Lovelace", "Bo"},
    ),
    "Canvas, unpacked by a program that makes a folder": (
        {f"submissions (1)/{who}_{k}_7_{STEM}.ipynb": book(who) for k, who in enumerate(("doejane", "roe"))},
        {"doejane", "roe"},
    ),
    "Moodle, in the folder of a course": (
        {f"Lab 1-998/{who}_{k}_assignsubmission_file/{STEM}.ipynb": book(f"{who}_{k}") for k, who in enumerate("ab")},
        {"a_0", "b_1"},
    ),
    "Blackboard, in a folder": (
        {f"gradebook_7/Lab 1_{who}_attempt_2026-11-21-10-15-30_x.ipynb": book(who) for who in ("ann", "bo")},
        {"ann", "bo"},
    ),
    "copies of Google and of other languages": (
        {
            f"ada/{STEM}.ipynb": book("as it was given"),
            f"ada/Copy of {STEM}.ipynb": book("ada"),
            f"bo/{STEM}.ipynb": book("as it was given"),
            f"bo/{STEM} - copia (2).ipynb": book("bo"),
            f"cy/{STEM}.ipynb": book("as it was given"),
            f"cy/C\u00f2pia de {STEM}.ipynb": book("cy"),
            "Copia de dee.ipynb": book("dee"),
        },
        {"ada", "bo", "cy", "dee"},
    ),
    "Moodle, with students' zips": (
        {
            "Ada L_1_assignsubmission_file_/lab.zip": packed({f"{STEM}.ipynb": book("Ada_L_1")}),
            "Bo_2_assignsubmission_file_/x/deep.ZIP": packed({f"a/b/{STEM}.ipynb": book("Bo_2")}),
            f"Cy_3_assignsubmission_file_{STEM}.ipynb": book("Cy_3"),
        },
        {"Ada_L_1", "Bo_2", "Cy_3"},
    ),
    "Blackboard": (
        {
            f"Lab_1_jdoe_attempt_2026-11-21-10-15-30_{STEM}.ipynb": book("jdoe"),
            f"Lab_1_jdoe_attempt_2026-11-20-10-15-30_{STEM}.ipynb": book("old"),
            "Lab_1_jdoe_attempt_2026-11-21-10-15-30.txt": b"Name: Doe",
        },
        {"jdoe"},
    ),
    "Google Classroom": ({f"Ada Lovelace - {STEM}.ipynb": book("Ada_Lovelace"), "Bo - x.pdf": b""}, {"Ada_Lovelace"}),
    "Google Classroom, a dash in a name": (
        {f"Anne - {who} - {STEM}.ipynb": book(f"Anne_-_{who}") for who in ("Marie", "Sophie")}
        | {f"Bo - {STEM}.ipynb": book("Bo")},
        {"Anne_-_Marie", "Anne_-_Sophie", "Bo"},
    ),
    "endings that no notebook has": (
        {f"{who}/x{ending}": book(who) for who, ending in (("ada", ""), ("bo", ".txt"), ("cy", ".ipynb.download"))},
        {"ada", "bo", "cy"},
    ),
    "Gradescope": (
        {
            f"assignment_77_export/submission_1/{STEM}.ipynb": book("Ada_Lovelace"),
            "assignment_77_export/submission_2/mine.ipynb": book("Bob"),
            "assignment_77_export/submission_3/mine.ipynb": book("Wei_Zhang_31"),
            "assignment_77_export/submission_4/mine.ipynb": book("Wei_Zhang_32"),
            "assignment_77_export/submission_metadata.yml": METADATA.encode(),
        },
        {"Ada_Lovelace", "Bob", "Cy_Twombly", "Wei_Zhang_31", "Wei_Zhang_32"},
    ),
    "browsers, mail programs and editors": (
        {
            "ada.ipynb.txt": book("ada"),
            "bob (2).ipynb": book("bob"),
            "cy.json": book("cy"),
            f"dan_{STEM}-1.ipynb": book("dan"),
            f"eve_{STEM} (1).ipynb.json": book("eve"),
            f"{STEM}_finn.IPYNB": book("finn"),
            f"gus/{STEM} - Copy.ipynb": book("gus"),
            "grades.json": b"{}",
        },
        {"ada", "bob", "cy", "dan", "eve", "finn", "gus"},
    ),
    "loose, numbered": (
        {f"{who}.ipynb": book(who) for who in ("team-1", "team-2", "s-01", "s-02", "zoe")}
        | {f"group ({n}).ipynb": book(f"group_{n}") for n in (1, 2)}
        | {"zoe-1.txt": b""},
        {"team-1", "team-2", "s-01", "s-02", "zoe", "group_1", "group_2"},
    ),
    "loose, the lab before the name": (
        {f"{STEM} - Ada.ipynb": book("Ada"), f"{STEM} - Bo.ipynb": book("Bo")},
        {"Ada", "Bo"},
    ),
    "loose, a title before the name": (
        {"Lab 1 - Ada.ipynb": book("Lab_1_-_Ada"), "Lab 1 - Bo.ipynb": book("Lab_1_-_Bo")},
        {"Lab_1_-_Ada", "Lab_1_-_Bo"},
    ),
    "Blackboard, names with an underscore": (
        {f"Lab_1_{who}_attempt_2026-11-21-10-15-30_x.ipynb": book(who) for who in ("a_doe", "b_doe")},
        {"a_doe", "b_doe"},
    ),
    "in one folder called as the lab": (
        {"Lab01b/ada.ipynb": book("ada"), "Lab01b/bo.ipynb": book("bo")},
        {"ada", "bo"},
    ),
    "deep, decomposed, an ending on a folder": (
        {
            f"ada/1/2/3/4/5/6/{STEM}.ipynb": book("ada"),
            "bo.ipynb/x.ipynb": book("bo"),
            "Jo\u0308/x.ipynb": book("J\u00f6"),
        },
        {"ada", "bo", "J\u00f6"},
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_each_gets_one_notebook_the_newest_whatever_made_the_names(tmp_path, name, form):
    files, people = CASES[name]
    source = tmp_path / "in.zip"
    source.write_bytes(packed(files))
    if form == "folder":
        source = tmp_path / "in"
        with zipfile.ZipFile(tmp_path / "in.zip") as archive:
            archive.extractall(source)
            for info in archive.infolist():
                moment = datetime(*info.date_time).timestamp()
                os.utime(source / info.filename, (moment, moment))
    found, _ = collect(source, LAB)
    assert {each.student for each in found} == people
    for each in found:
        mark = json.loads(each.read(10**6))["mark"]
        assert mark == each.student or (mark, each.student) == ("Bob", "Cy_Twombly")
        assert each.taken.split("/")[-1].lower().split(".")[0].rstrip(" ()-Copy0123456789") and not each.refused
    if name == "Canvas":
        assert ["Canvas marks it as late."] in [each.notes for each in found if each.student == "smithbob"]
    if name == "Blackboard":
        assert found[0].modified == datetime(2026, 11, 21, 10, 15, 30).timestamp()


@pytest.mark.parametrize(
    ("case", "student", "person"),
    [
        ("Canvas", "smithbob", {"system": "canvas", "name": "smithbob", "id": "22"}),
        ("Canvas, two of one name", "doejane_9", {"system": "canvas", "name": "doejane", "id": "9"}),
        ("Moodle, with students' zips", "Ada_L_1", {"system": "moodle", "name": "Ada L", "id": "1"}),
        ("Brightspace, without folders", "Bo", {"system": "brightspace", "name": "Bo", "id": "13"}),
        ("Blackboard", "jdoe", {"system": "blackboard", "name": "jdoe"}),
        ("Gradescope", "Ada_Lovelace", {"system": "gradescope", "name": "Ada Lovelace", "id": "12"}),
        ("Gradescope", "Cy_Twombly", {"system": "gradescope", "name": "Cy Twombly", "email": "cy@x.org"}),
        (
            "Gradescope",
            "Wei_Zhang_31",
            {"system": "gradescope", "email": "wei1@x.org", "name": "Wei Zhang", "id": "31"},
        ),
        ("browsers, mail programs and editors", "ada", {}),
    ],
)
def test_what_a_system_knows_its_students_by_is_kept(tmp_path, case, student, person):
    (tmp_path / "in.zip").write_bytes(packed(CASES[case][0]))
    found = {each.student: each.person for each in collect(tmp_path / "in.zip", LAB)[0]}
    assert found[student] == person


def test_names_of_any_length_cost_no_time(tmp_path):
    (tmp_path / "in.zip").write_bytes(packed({"ada/" + "_" * 60_000 + ".ipynb": book("x"), "(" * 60_000: b""}))
    begun = time.process_time()
    collect(tmp_path / "in.zip", LAB)
    assert time.process_time() - begun < 2


def test_nobody_goes_missing_and_what_was_there_instead_is_named(tmp_path):
    source = tmp_path / "in"
    for name in ("ada", "bo/" + "/".join("x" * 25), "cy", "\N{PARTY POPPER}"):
        (source / name).mkdir(parents=True)
    (source / "cy" / "lab.rar").write_bytes(b"Rar!")
    (source / "dee.pdf").write_bytes(b"%PDF")
    found, left_out = collect(source, LAB)
    refused = {each.student: each.refused for each in found}
    popper = next(student for student in refused if student.startswith("unnamed-"))
    assert set(refused) == {"ada", "bo", "cy", popper}
    assert "empty" in refused["ada"] and "too deep" in refused["bo"] and "'lab.rar'" in refused["cy"]
    assert len(left_out) == 1 and "'dee.pdf': it is no notebook" in left_out[0]
    for name in ("ada", "bo", "cy"):
        shutil.rmtree(source / name)
    assert [each.student for each in collect(source, LAB)[0]] == [popper], "the same name, whoever else is there"


def test_nobody_goes_missing_from_a_zip_either(tmp_path):
    files = {
        "ada/": b"",
        f"bo/.ipynb_checkpoints/{STEM}.ipynb": book("bo"),
        "cy.zip": packed({}),
        "__MACOSX/._x": b"",
    }
    (tmp_path / "in.zip").write_bytes(packed(files | {f"dee/{STEM}.ipynb": book("dee")}))
    found, left_out = collect(tmp_path / "in.zip", LAB)
    assert {each.student: bool(each.refused) for each in found} == {"ada": 1, "bo": 1, "cy": 1, "dee": 0}
    assert not left_out and all("hand in the .ipynb" in each.refused for each in found if each.refused)


def test_names_in_utf8_are_read_where_a_zip_does_not_say_that_they_are(tmp_path):
    """As macOS writes them; what is no UTF-8 is of the code page that a zip's format names."""
    data = packed({f"J\u00f6rg/{STEM}.ipynb": book("J\u00f6rg")})
    written = "J\u00f6rg".encode()
    assert data.count(written) == 2
    bare = bytearray(data)
    for signature, place in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        bare[data.index(signature) + place] &= ~0x08
    for name, content in (("utf8", bytes(bare)), ("cp437", bytes(bare).replace(written, b"Jo\x81rg"))):
        (tmp_path / f"{name}.zip").write_bytes(content)
    students = {name: collect(tmp_path / f"{name}.zip", LAB)[0][0].student for name in ("utf8", "cp437")}
    assert students == {"utf8": "J\u00f6rg", "cp437": "Jo\u00fcrg"}


def test_a_class_in_one_folder_is_not_taken_for_one_student(tmp_path):
    files = {f"Lab 1, group A/{who}/{STEM}.ipynb": book(who) for who in ("ada", "bo")}
    (tmp_path / "in.zip").write_bytes(packed(files))
    (found,), _ = collect(tmp_path / "in.zip", LAB)
    assert found.read is None and "several folders ('ada', 'bo')" in found.refused and "--from" in found.refused


def test_a_file_of_the_year_30000_has_no_date_and_stops_nobody(tmp_path, monkeypatch):
    (tmp_path / "ada.ipynb").write_bytes(book(1))
    late = SimpleNamespace(st_mode=stat.S_IFREG, st_mtime=9e11)
    entry = SimpleNamespace(name="ada.ipynb", path=str(tmp_path / "ada.ipynb"), stat=lambda **_: late)
    monkeypatch.setattr("labkit.course.grade.intake.members.os.scandir", lambda folder: [entry])
    (found,), _ = collect(tmp_path, LAB)
    assert found.modified == 0 and found.read(100)


def test_of_several_notebooks_the_one_that_counts_is_named(tmp_path):
    source = tmp_path / "in.zip"
    source.write_bytes(packed({f"ada/{STEM}.ipynb": book(1), f"ada/{STEM}_final.ipynb": book(2)}))
    (found,), _ = collect(source, LAB)
    assert f"'{STEM}.ipynb'" in found.notes[0] and "whole class" in found.notes[1]


@pytest.mark.parametrize("content", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"<html>", b"", b"\x1f\x8b"])
@pytest.mark.parametrize("name", ["in.zip", "in.rar"])
def test_another_archive_is_refused_with_what_to_do_and_nothing_of_photographs(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabkitError, match=r"unpack it|download (it )?again") as caught:
        collect(tmp_path / name, LAB)
    assert "celeba" not in str(caught.value)


def test_a_notebook_that_begins_with_a_day_or_a_group_is_the_labs_own(tmp_path):
    names = ("24_answers", "24_project", "03a_other", "06_other")
    for student in names:
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / f"{student}.ipynb").write_bytes(book("x"))
    (tmp_path / "labs").mkdir()
    lab = SimpleNamespace(stem=STEM, number="01b", path=tmp_path / "labs" / f"{STEM}.ipynb")
    found, left_out = collect(tmp_path / "in", lab)
    assert [each.student for each in found] == list(names[:2]) and len(left_out) == 2
    (tmp_path / "labs" / "24_a_later_lab.ipynb").touch()
    assert collect(tmp_path / "in", lab)[0] == []


def test_a_notebook_with_a_dot_in_front_is_seen_and_what_systems_leave_is_not(tmp_path):
    for name in (".ada.ipynb", "._bob.ipynb", ".~cy.ipynb", ".ipynb_checkpoints/dan.ipynb", "eve.ipynb"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(book("x"))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "in").rglob("*.ipynb"):
            archive.write(path, path.relative_to(tmp_path / "in"))
    for source in (tmp_path / "in", tmp_path / "all.zip"):
        found, left_out = collect(source, LAB)
        assert {each.student for each in found} == {"ada", "eve"} and left_out == []


def test_a_zip_as_submit_names_it_is_no_student(tmp_path):
    (tmp_path / "in").mkdir()
    for name in (STEM, f"ada_{STEM}"):
        with zipfile.ZipFile(tmp_path / "in" / f"{name}.zip", "w") as archive:
            archive.writestr(f"{STEM}.ipynb", book("x"))
    found, (said,) = collect(tmp_path / "in", LAB)
    assert [each.student for each in found] == ["ada"] and "it cannot be told whose it is" in said
