"""prepare(): one array and one table, whatever the images came in, was stopped or changed since."""

import json
import multiprocessing
import os
import resource
import shutil
import time
import tracemalloc

import numpy as np
import pytest
from celeba_files import jpegs, labels, write_kaggle, write_official
from filelock import FileLock

from labkit.data.celeba import prepare as celeba_prepare
from labkit.data.celeba.decode import decode
from labkit.data.celeba.prepare import CHUNK, prepare, prepared_report, read_table
from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError

IMAGES = jpegs(200, seed=1)
DAMAGED = {
    "000003.jpg": b"",
    "000077.jpg": IMAGES["000077.jpg"][:300],
    "000130.jpg": b"\x89PNG" + IMAGES["000130.jpg"],
}
forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork()")


def prepared(path, folder, height=64, width=64) -> dict:
    return prepare(open_source(path), height, width, folder, progress=False)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("official"), IMAGES)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return np.stack([decode(data, 64, 64) for data in IMAGES.values()])


def pixels(folder, size="64x64") -> np.ndarray:
    return np.load(folder / size / "faces.npy", mmap_mode="r")


WHOLE = {"faces.npy", "labels.csv", "report.json"}


def names_in(folder) -> set:
    return {path.name for path in folder.iterdir()}


def table_of(folder, size="64x64"):
    return read_table(folder / size)


def test_every_form_gives_the_same_files(official, expected, tmp_path):
    forms = {
        "folder": official,
        "zip": write_official(tmp_path / "zip", IMAGES, zipped=True),
        "kaggle": write_kaggle(tmp_path / "kaggle", IMAGES, identity=labels(IMAGES)["identity"]),
        "kaggle zip": write_kaggle(tmp_path / "kzip", IMAGES, identity=labels(IMAGES)["identity"], zipped=True),
    }
    for name, path in forms.items():
        prepared(path, tmp_path / "out" / name)
        np.testing.assert_array_equal(pixels(tmp_path / "out" / name), expected, err_msg=name)
    tables = {(tmp_path / "out" / name / "64x64" / "labels.csv").read_bytes() for name in forms}
    assert len(tables) == 1


def test_labels_stand_beside_their_image(official, tmp_path):
    prepared(official, tmp_path)
    table, drawn = table_of(tmp_path), labels(IMAGES)
    assert table["image"].tolist() == sorted(IMAGES)
    np.testing.assert_array_equal(table["identity"], drawn["identity"])
    np.testing.assert_array_equal(table["split"], drawn["partition"])
    np.testing.assert_array_equal(table.iloc[:, 3:].to_numpy() == 1, drawn["attributes"])


def test_what_cannot_be_used_is_left_out_named_and_shifts_nothing(expected, tmp_path):
    source = write_official(tmp_path / "source", IMAGES | DAMAGED)
    report = prepared(source, tmp_path / "out")
    kept = [name not in DAMAGED for name in sorted(IMAGES)]
    np.testing.assert_array_equal(pixels(tmp_path / "out"), expected[kept])
    assert set(report["dropped files"]) == set(DAMAGED) and sum(report["dropped"].values()) == len(DAMAGED)
    table = table_of(tmp_path / "out")
    np.testing.assert_array_equal(table["identity"], labels(IMAGES)["identity"][kept])


def test_each_size_stands_alone(official, tmp_path):
    for height, width in ((64, 64), (64, 48), (218, 178)):
        prepared(official, tmp_path, height, width)
        assert pixels(tmp_path, f"{height}x{width}").shape == (len(IMAGES), 3, height, width)
    fewer = write_official(tmp_path / "fewer", dict(list(IMAGES.items())[:150]))
    prepared(fewer, tmp_path, 128, 128)
    assert len(table_of(tmp_path, "128x128")) == 150 and len(table_of(tmp_path)) == 200


def test_a_prepared_size_is_not_decoded_again(official, tmp_path, monkeypatch):
    prepared(official, tmp_path)
    monkeypatch.setattr(celeba_prepare, "decode", None)
    assert "decoded" not in prepared(official, tmp_path)


def test_what_is_prepared_in_a_shared_cache_needs_no_right_to_write(official, tmp_path):
    prepared(official, tmp_path / "out")
    (tmp_path / "out" / ".lock").unlink(missing_ok=True)
    (tmp_path / "out" / ".lock").mkdir()  # no file can be opened in its place, not by root either
    assert "decoded" not in prepared(official, tmp_path / "out")
    with pytest.raises(LabkitError, match="cannot be written"):
        prepared(write_official(tmp_path / "other", IMAGES, identity=None), tmp_path / "out")


def test_a_class_can_read_what_one_of_it_has_prepared(official, tmp_path):
    prepared(official, tmp_path / "out")
    (tmp_path / "usual").mkdir()
    usual = (tmp_path / "usual").stat().st_mode
    assert (tmp_path / "out" / "64x64").stat().st_mode == usual


def repaired(text: str) -> str:
    """One label of the first row turned round."""
    lines = text.splitlines()
    lines[2] = lines[2][:-2] + (" 1" if lines[2].endswith("-1") else "-1")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "change", ["a table added", "a table repaired", "other images", "an image replaced", "no table"]
)
def test_what_it_was_made_of_is_known_and_a_change_makes_it_anew(tmp_path, capsys, change):
    source = write_official(tmp_path / "source", IMAGES, identity=None)
    before = prepared(source, tmp_path / "out")
    assert "decoded" not in prepared(source, tmp_path / "out")
    table = source / "list_attr_celeba.txt"
    if change == "a table added":
        (source / "identity_CelebA.txt").write_text("000001.jpg 7\n")
    elif change == "a table repaired":
        table.write_text(repaired(table.read_text()))
    elif change == "no table":
        table.unlink()
    elif change == "an image replaced":
        (source / "img_align_celeba" / "000001.jpg").write_bytes(IMAGES["000002.jpg"])
    else:
        source = write_official(tmp_path / "other", jpegs(70, seed=9))
    after = prepared(source, tmp_path / "out")
    assert after["decoded"] == len(open_source(source).images) and "anew: other " in capsys.readouterr().out
    told = {"a table added": after["people"] == 1, "no table": after["with attributes"] == 0,
            "other images": len(pixels(tmp_path / "out")) == len(table_of(tmp_path / "out")) == 70}  # fmt: skip
    assert told.get(change, before["sha256"] != after["sha256"] or before["labels sha256"] != after["labels sha256"])


def test_the_same_images_with_labels_elsewhere_bring_their_labels(tmp_path):
    bare = write_official(tmp_path / "a", IMAGES, attributes=None, identity=None, partition=None)
    assert prepared(bare, tmp_path / "out")["with attributes"] == 0
    assert prepared(write_official(tmp_path / "b", IMAGES), tmp_path / "out")["with attributes"] == len(IMAGES)


def test_many_threads_write_each_chunk_to_its_place(official, tmp_path, monkeypatch, expected):
    monkeypatch.setattr(celeba_prepare, "CHUNK", 1)
    monkeypatch.setattr(celeba_prepare, "_cores", lambda: 16)
    by_data = dict(zip(IMAGES.values(), expected))
    monkeypatch.setattr(celeba_prepare, "decode", lambda data, *size: by_data[data])
    prepared(official, tmp_path / "out")
    np.testing.assert_array_equal(pixels(tmp_path / "out"), expected)


def _slow_preparation(path, folder):
    def slow(data, height, width):
        time.sleep(0.004)
        return decode(data, height, width)

    celeba_prepare.decode, celeba_prepare.CHUNK = slow, 8
    prepared(path, folder)


@forks
def test_killed_again_and_again(official, tmp_path, expected):
    """A kill −9 at any moment leaves nothing that looks whole, and nothing behind once a call has ended well."""
    random, out = np.random.default_rng(0), tmp_path / "out"
    for _ in range(4):
        process = multiprocessing.get_context("fork").Process(target=_slow_preparation, args=(official, out))
        process.start()
        process.join(random.uniform(0.06, 0.3))
        process.kill()
        process.join()
        assert prepared_report(out, "64x64") is None
    prepared(official, out)
    np.testing.assert_array_equal(pixels(out), expected)
    assert {path.name for path in out.iterdir()} == {".lock", "64x64"}


@forks
@pytest.mark.parametrize("step", range(1, 5))
def test_killed_while_finishing(tmp_path, step):
    """Killed before or after each rename, the old set or the new one is there, or the next call makes it."""
    source = write_official(tmp_path / "source", IMAGES)
    prepared(source, tmp_path / "out")
    (source / "list_attr_celeba.txt").unlink()
    process = multiprocessing.get_context("fork").Process(target=_killed_at, args=(source, tmp_path / "out", step))
    process.start()
    process.join()
    assert process.exitcode == 1
    prepared(source, tmp_path / "out")
    assert prepared_report(tmp_path / "out", "64x64")["with attributes"] == 0
    assert names_in(tmp_path / "out" / "64x64") >= WHOLE


def _killed_at(path, folder, step):
    real, calls = os.rename, []

    def rename(*args):
        calls.append(args)
        if len(calls) == (step + 1) // 2 and step % 2:
            os._exit(1)  # before it
        real(*args)
        if len(calls) == step // 2 and not step % 2:
            os._exit(1)  # after it

    os.rename = rename
    prepared(path, folder)


@forks
def test_a_full_disk_is_one_sentence_and_leaves_nothing(official, tmp_path):
    report = tmp_path / "said"
    process = multiprocessing.get_context("fork").Process(
        target=_with_little_room, args=(official, tmp_path / "out", report)
    )
    process.start()
    process.join()
    assert "free some space" in report.read_text()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def _with_little_room(path, folder, report):
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * CHUNK * 3 * 64 * 64 + 200,) * 2)
    try:
        prepared(path, folder)
    except LabkitError as error:
        report.write_text(str(error))


@forks
def test_no_more_room_is_used_than_was_asked_for(tmp_path, monkeypatch):
    """Images left out cost no second copy of the array."""
    source, asked = write_official(tmp_path / "source", IMAGES | DAMAGED), []
    usage = shutil.disk_usage(tmp_path)
    needed = int(1.02 * len(IMAGES) * (3 * 64 * 64 + celeba_prepare.LABEL_BYTES)) + 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    rename = os.rename

    def weighed(old, new):
        asked.append(sum(path.stat().st_size for path in old.rglob("*")))
        rename(old, new)

    monkeypatch.setattr(os, "rename", weighed)
    prepared(source, tmp_path / "out")
    assert asked and max(asked) < needed + 10_000  # header and report


def test_too_little_room_is_said_before_the_work(official, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(LabkitError, match="GB are needed"):
        prepared(official, tmp_path / "out")


def test_a_folder_that_cannot_be_written(official, tmp_path):
    (tmp_path / "out").write_text("a file in the way")
    with pytest.raises(LabkitError, match="cannot be written"):
        prepared(official, tmp_path / "out")


def test_two_at_once(official, tmp_path):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(LabkitError, match="another process"):
        prepared(official, tmp_path / "out")


def test_nothing_usable(tmp_path):
    source = write_official(tmp_path / "source", dict.fromkeys(IMAGES, b"<html>"))
    with pytest.raises(LabkitError, match="200 × not a JPEG"):
        prepared(source, tmp_path / "out")


def test_nothing_is_written_beside_the_folder(official, tmp_path):
    before = sorted(official.rglob("*"))
    prepared(official, tmp_path / "out")
    assert sorted(official.rglob("*")) == before
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    made = {path.name for path in (tmp_path / "out").iterdir()} - {".lock"}
    assert made == {"64x64"}
    assert names_in(tmp_path / "out" / "64x64") == WHOLE
    json.loads((tmp_path / "out" / "64x64" / "report.json").read_text())


@pytest.mark.skipif(os.name == "nt", reason="file names there are Unicode")
def test_a_path_that_is_no_utf8_is_written_all_the_same(tmp_path):
    source = write_official(tmp_path / os.fsdecode(b"na\xe9"), IMAGES)
    report = prepared(source, tmp_path / "out")
    assert report["images"] == len(IMAGES) and "\\udce9" in report["source"]
    assert "decoded" not in prepared(source, tmp_path / "out")


def test_memory_does_not_grow_with_the_images(tmp_path):
    """Four times as many images: the array grows by far more than the peak of what is held."""
    peaks = {}
    for copies in (4, 16):  # both fill the queue of chunks, whichever thread is faster
        many = {f"{100000 * k + i:06d}.jpg": d for k in range(1, copies + 1) for i, d in enumerate(IMAGES.values())}
        source = open_source(write_official(tmp_path / f"source {copies}", many))
        tracemalloc.start()
        prepare(source, 64, 64, tmp_path / f"out {copies}", progress=False)
        peaks[copies] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    grown = 12 * len(IMAGES) * 3 * 64 * 64
    assert peaks[16] - peaks[4] < 0.2 * grown
