import json
import os
import zipfile
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from hostile_course import hand_in

from labkit.course.grade.demo import DEADLINE, RIGHT, fill
from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.intake import members
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.release import release, student_version
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return demo_lab(tmp_path_factory.mktemp("labs"))


@pytest.fixture(scope="module")
def course(tmp_path_factory, lab):
    folder = tmp_path_factory.mktemp("course")
    release(Place(folder, lab))
    return folder


@pytest.fixture(scope="module")
def released(lab):
    return student_version(lab)


@pytest.fixture
def answered(released):
    notebook = deepcopy(released)
    fill(notebook)
    return notebook


def test_the_courses_own_folder_is_not_taken_for_what_was_handed_in(course, lab):
    with pytest.raises(LabkitError, match="the course's own folder; give --from"):
        prepare(Place(course, lab), course / "release" / "..")


def test_all_common_ways_to_hand_in_are_understood(course, lab, answered, tmp_path):
    files = {
        "ada.ipynb": answered,
        f"ben_{lab.path.name}": answered,
        f"Cleo Ångström_123456_assignsubmission_file_{lab.path.name}": answered,
        f"dan/{lab.path.name}": answered,
        f"eve/lab{lab.number}/{lab.path.name}": answered,
        "Finn Berg_77_assignsubmission_file_/anything.ipynb": answered,
        "gus/lab03a/03a_other.ipynb": answered,
        "jo/03a_other.ipynb": answered,
        "kay.zip": b"no zip",
        "hana/notes.txt": b"no notebook",
        ".DS_Store": b"",
        "grades.csv": b"1,2",
    }
    source = hand_in(tmp_path / "in", files)
    inner = tmp_path / "in" / "ida.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(f"deep/{lab.path.name}", nbformat.writes(answered))
    with zipfile.ZipFile(tmp_path / "in" / "lou.zip", "w") as archive:
        archive.write(inner, "mine.zip")
    expected = {
        "ada",
        "ben",
        "Cleo_Ångström_123456",
        "dan",
        "eve",
        "Finn_Berg_77",
        "hana",
        "ida",
        "kay",
        "lou",
    }
    result = prepare(Place(course, lab), source)
    assert set(result.students) == expected
    refused = {who: about["refused"] for who, about in result.students.items() if about["refused"]}
    assert refused.keys() == {"hana", "kay", "lou"}
    assert "no zip that can be read" in refused["kay"] and "zip within a zip" in refused["lou"]
    assert len(result.left_out) == 3
    for student in expected - refused.keys():
        path = Place(course, lab, student).notebook("submitted")
        assert RIGHT["log-density"] in [cell.source for cell in nbformat.read(path, as_version=4).cells]
    archive_of_all = tmp_path / "all.zip"
    with zipfile.ZipFile(archive_of_all, "w") as archive:
        for path in source.rglob("*"):
            if path.is_file() and path.suffix != ".zip":
                archive.write(path, Path("submissions", path.relative_to(source)))
    again = prepare(Place(course, lab), archive_of_all)
    assert set(again.students) == expected - {"ida", "kay", "lou"}
    with open_gradebook(Place(course, lab)) as gradebook:
        assert expected <= {student.id for student in gradebook.students}


def test_of_several_notebooks_the_newest_of_the_right_name_counts(course, lab, answered, released, tmp_path):
    source = hand_in(
        tmp_path / "in",
        {
            "ada/old/" + lab.path.name: released,
            "ada/new/" + lab.path.name: answered,
            "ada/scratch.ipynb": released,
        },
    )
    os.utime(source / "ada" / "old" / lab.path.name, (1, 1))
    about = prepare(Place(course, lab), source).students["ada"]
    which = f"{lab.path.name!r}, the one named as the lab"
    whole_class = "if its folder holds a whole class, give that folder itself to --from."
    assert about["repairs"] == [f"3 notebooks were handed in; {which} counts.", whole_class]
    path = Place(course, lab, "ada").notebook("submitted")
    assert RIGHT["essay"] in path.read_text()


def test_of_several_in_a_students_own_zip_the_last_one_written_counts_and_no_hidden_one(
    course, lab, answered, released, tmp_path
):
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "ada.zip", "w") as packed:
        for year, where, notebook in (
            (2001, "old/mine.ipynb", released),
            (2002, "new/mine.ipynb", answered),
            (2003, "new/.ipynb_checkpoints/mine-checkpoint.ipynb", released),
        ):
            packed.writestr(zipfile.ZipInfo(where, (year, 1, 1, 0, 0, 0)), nbformat.writes(notebook))
    about = prepare(Place(course, lab), tmp_path / "in").students["ada"]
    assert about["repairs"][0] == "2 notebooks were handed in; the newest one counts."
    path = Place(course, lab, "ada").notebook("submitted")
    assert RIGHT["essay"] in path.read_text()


def test_only_the_folder_of_another_lab_keeps_a_notebook_out(course, lab, answered, tmp_path):
    files = {f"{who}/{where}/x.ipynb": answered for who, where in (("ada", "labs"), ("bob", "lab03a"))}
    result = prepare(Place(course, lab), hand_in(tmp_path / "in", files))
    assert set(result.students) == {"ada"} and "'bob': nothing in it is for labdemo" in result.left_out[0]


@pytest.mark.parametrize("fault", ["more than 3 files", "cannot be opened"])
def test_one_students_folder_stops_nobody_else(course, lab, answered, tmp_path, fault, monkeypatch):
    source = hand_in(tmp_path / "in", {f"ada/{n}.txt": b"" for n in range(4)} | {"bob.ipynb": answered})
    scandir = os.scandir

    def closed(folder):
        if str(folder).endswith("ada"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    if fault == "cannot be opened":
        monkeypatch.setattr(members.os, "scandir", closed)
    else:
        monkeypatch.setattr(members, "MAX_FILES", 3)
    found = prepare(Place(course, lab), source).students
    assert fault in found["ada"]["refused"] and not found["bob"]["refused"]
    with pytest.raises(LabkitError, match=fault):
        prepare(Place(course, lab), source / "ada")


def test_late_is_what_is_dated_after_the_deadline(course, lab, answered, tmp_path):
    source = hand_in(tmp_path / "in", {"early.ipynb": answered, "tardy.ipynb": answered})
    for student, hours in {"early": -1, "tardy": 5}.items():
        moment = (DEADLINE + timedelta(hours=hours)).timestamp()
        os.utime(source / f"{student}.ipynb", (moment, moment))
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(source.iterdir()):
            packed.write(path, path.name)
    for way in (source, archive):
        found = prepare(Place(course, lab), way, deadline=DEADLINE).students
        assert found["early"]["late_seconds"] == 0
        assert found["tardy"]["late_seconds"] == pytest.approx(5 * 3600, abs=2)
    again = prepare(Place(course, lab), source).students["tardy"]["late_seconds"]
    assert again == pytest.approx(5 * 3600), "what was said before holds"


def test_an_older_one_that_replaces_a_newer_one_is_named(course, lab, answered, tmp_path):
    def batch(year, notebook):
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo("ada.ipynb", (year, 1, 1, 0, 0, 0)), nbformat.writes(notebook))
        return prepare(Place(course, lab), tmp_path / "in.zip").students["ada"]["repairs"]

    older = deepcopy(answered)
    older.cells[0].source += "\n"
    assert batch(2025, answered) == [] and batch(2025, answered) == []
    (said,) = batch(2024, older)
    assert said.startswith("it is dated 2024-01-01") and "replaces one of 2025-01-01" in said
    assert batch(2025, answered) == []


def test_what_has_no_date_is_not_late(course, lab, answered, tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        packed.writestr(zipfile.ZipInfo("ada.ipynb", (1980, 0, 0, 0, 0, 0)), nbformat.writes(answered))
    about = prepare(Place(course, lab), tmp_path / "in.zip", deadline=datetime(1960, 1, 1)).students["ada"]
    assert about["late_seconds"] is None and about["submitted"] is None


def test_the_dates_inside_a_students_own_zip_count_for_nothing(course, lab, answered, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    entry = zipfile.ZipInfo(lab.path.name, date_time=(1999, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(source / "ada.zip", "w") as packed:
        packed.writestr(entry, nbformat.writes(answered))
    late = prepare(Place(course, lab), source, deadline=datetime(2020, 1, 1)).students["ada"]["late_seconds"]
    assert late > 0


def test_what_this_machine_lacks_refuses_nobody(course, lab, answered, tmp_path, monkeypatch):
    prepare(Place(course, lab), hand_in(tmp_path / "1", {"yan.ipynb": answered}))
    kept = {path: path.read_bytes() for path in Place(course, lab, "yan").folder("submitted").iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labkit.course.grade.intake.prepare.run_limited", full)
    result = prepare(Place(course, lab), tmp_path / "1")
    assert not result.students and "No space left" in result.failed["yan"]
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_second_prepare_replaces_and_a_refusal_takes_away(course, lab, answered, tmp_path):
    folder = Place(course, lab, "zoe").folder("submitted")
    prepare(Place(course, lab), hand_in(tmp_path / "1", {"zoe.ipynb": answered}))
    first = (folder / lab.path.name).read_bytes()
    prepare(Place(course, lab), hand_in(tmp_path / "1", {"zoe.ipynb": answered}))
    assert (folder / lab.path.name).read_bytes() == first
    prepare(Place(course, lab), hand_in(tmp_path / "2", {"zoe.ipynb": b"oops"}))
    assert not (folder / lab.path.name).exists()
    assert json.loads((folder / "prepared.json").read_text())["refused"]


@pytest.mark.parametrize(
    "named", ["leeann_{}_900_{}", "Lee Ann_{}_assignsubmission_file_{}"], ids=["canvas", "moodle"]
)
def test_two_of_one_name_stay_two_however_they_are_handed_in(lab, answered, tmp_path, named):
    place = Place(tmp_path / "course", lab)
    release(place)
    first, second = named.format(1111, lab.path.name), named.format(2222, lab.path.name)
    batches = [{first: answered}, {second: answered}, {first: answered, second: answered}, {second: answered}]
    for number, batch in enumerate(batches):
        assert not prepare(place, hand_in(tmp_path / str(number), batch)).failed
        people = {
            path.parents[1].name: json.loads(path.read_text())["person"]["id"]
            for path in place.course.glob("submitted/*/*/prepared.json")
        }
        assert sorted(people.values()) == ["1111", "2222"][: number + 1]
    assert len(people) == 2


def test_nothing_of_outputs_metadata_or_kernel_is_kept(course, lab, answered, tmp_path):
    answered.metadata.widgets = {"state": 1}
    answered.metadata.kernelspec = {"name": "evil", "display_name": "x", "language": "sh"}
    answered.cells[2].metadata.tags = ["skip-execution"]
    answered.cells[2].outputs = [nbformat.v4.new_output("stream", text="secret")]
    about = prepare(Place(course, lab), hand_in(tmp_path / "in", {"ada.ipynb": answered})).students["ada"]
    notebook = nbformat.read(Place(course, lab, "ada").notebook("submitted"), as_version=4)
    assert notebook.metadata.kernelspec.name == "python3" and "widgets" not in notebook.metadata
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert all(set(cell.metadata) <= {"nbgrader"} for cell in notebook.cells)
    assert about["repairs"] == ["its kernel was called 'evil'; it is run with python3."]


def test_what_is_missing_is_said_in_a_sentence(course, lab, tmp_path):
    with pytest.raises(LabkitError, match="neither a folder nor a zip"):
        prepare(Place(course, lab), tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabkitError, match="empty: holds nothing; give --from"):
        prepare(Place(course, lab), tmp_path / "empty")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(LabkitError, match=r"loop: .*neither a folder nor a zip"):
        prepare(Place(course, lab), tmp_path / "loop")
    with pytest.raises(LabkitError, match="labkit release"):
        prepare(Place(tmp_path / "other", lab), tmp_path)
    assert Place(course, lab).release.is_file()
