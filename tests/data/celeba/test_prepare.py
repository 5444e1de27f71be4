"""prepare(): one array and one table, whatever the images came in and whenever it was stopped."""

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
from labkit.data.celeba.prepare import CHUNK, prepare
from labkit.data.celeba.shelf import Job, prepared_report, read_table
from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError

IMAGES = jpegs(200, seed=1)
DAMAGED = {
    "000003.jpg": b"",
    "000077.jpg": IMAGES["000077.jpg"][:300],
    "000130.jpg": b"\x89PNG" + IMAGES["000130.jpg"],
}
forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork()")


def job(path, folder, height=64, width=64) -> Job:
    return Job(open_source(path), height, width, folder)


def prepared(path, folder, **options) -> dict:
    return prepare(job(path, folder, **options), progress=False)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("official"), IMAGES)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return np.stack([decode(data, 64, 64) for data in IMAGES.values()])


def pixels(folder, size="64x64") -> np.ndarray:
    return np.load(folder / f"faces-{size}.npy", mmap_mode="r")


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
    tables = {(tmp_path / "out" / name / "labels.csv").read_bytes() for name in forms}
    assert len(tables) == 1


def test_labels_stand_beside_their_image(official, tmp_path):
    prepared(official, tmp_path)
    table, drawn = read_table(tmp_path), labels(IMAGES)
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
    table = read_table(tmp_path / "out")
    np.testing.assert_array_equal(table["identity"], labels(IMAGES)["identity"][kept])


def test_sizes_share_one_table(official, tmp_path):
    for height, width in ((64, 64), (64, 48), (218, 178)):
        prepared(official, tmp_path, height=height, width=width)
        assert pixels(tmp_path, f"{height}x{width}").shape == (len(IMAGES), 3, height, width)
    fewer = write_official(tmp_path / "fewer", dict(list(IMAGES.items())[:150]))
    with pytest.raises(LabkitError, match="other images or labels"):
        prepared(fewer, tmp_path, height=128, width=128)


def test_a_prepared_size_is_not_decoded_again(official, tmp_path, monkeypatch):
    prepared(official, tmp_path)
    monkeypatch.setattr(celeba_prepare, "decode", None)
    assert "decoded" not in prepared(official, tmp_path)


def test_other_images_are_refused_unless_they_shall_replace(official, tmp_path):
    prepared(official, tmp_path / "out")
    other = write_official(tmp_path / "other", jpegs(70, seed=9))
    with pytest.raises(LabkitError, match="--replace"):
        prepared(other, tmp_path / "out")
    prepare(job(other, tmp_path / "out"), replace=True, progress=False)
    assert len(pixels(tmp_path / "out")) == len(read_table(tmp_path / "out")) == 70


def test_annotations_that_came_later_are_not_overlooked(tmp_path):
    source = write_official(tmp_path / "source", IMAGES, attributes=None)
    prepared(source, tmp_path / "out")
    prepared(source, tmp_path / "out")
    write_official(source, IMAGES)
    with pytest.raises(LabkitError, match=r"without attributes, which .* has.*--replace"):
        prepared(source, tmp_path / "out")
    report = prepare(job(source, tmp_path / "out"), replace=True, progress=False)
    assert report["with attributes"] == len(IMAGES)


def test_replacing_throws_unfinished_work_away(official, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(celeba_prepare, "finish", _stop)
        with pytest.raises(InterruptedError):
            prepare_raw(job(official, tmp_path / "out"))
    report = prepare(job(official, tmp_path / "out"), replace=True, progress=False)
    assert report["decoded"] == len(IMAGES)


def test_many_threads_write_each_chunk_to_its_place(official, tmp_path, monkeypatch, expected):
    monkeypatch.setattr(celeba_prepare, "CHUNK", 1)
    monkeypatch.setattr(celeba_prepare, "_cores", lambda: 16)
    by_data = dict(zip(IMAGES.values(), expected))
    monkeypatch.setattr(celeba_prepare, "decode", lambda data, *size: by_data[data])
    prepared(official, tmp_path / "out")
    np.testing.assert_array_equal(pixels(tmp_path / "out"), expected)


def test_unfinished_work_on_other_images_is_not_gone_on_with(official, tmp_path, monkeypatch, expected):
    other = write_official(tmp_path / "other", jpegs(200, seed=9)).rename(tmp_path / "renamed")
    shutil.move(other / "img_align_celeba" / "000200.jpg", other / "img_align_celeba" / "000999.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(celeba_prepare, "finish", _stop)
        with pytest.raises(InterruptedError):
            prepare_raw(job(other, tmp_path / "out"))
    prepared(official, tmp_path / "out")
    np.testing.assert_array_equal(pixels(tmp_path / "out"), expected)


def _stop(*_):
    raise InterruptedError


def prepare_raw(one: Job):
    """prepare() without its translation of errors."""
    one.folder.mkdir(parents=True)
    return celeba_prepare._prepare(one, progress=False)


def test_pixels_that_do_not_match_the_journal_are_decoded_again(official, tmp_path, monkeypatch, expected):
    """As after a power cut, when the journal may have reached the disk before the pixels."""
    with monkeypatch.context() as patch:
        patch.setattr(celeba_prepare, "finish", _stop)
        with pytest.raises(InterruptedError):
            prepare_raw(job(official, tmp_path / "out"))
    unfinished = tmp_path / "out" / ".preparing-64x64" / "pixels.npy"
    with open(unfinished, "r+b") as stream:
        stream.seek(-5, os.SEEK_END)
        stream.write(bytes(5))
    assert prepared(official, tmp_path / "out")["decoded"] == len(IMAGES) % CHUNK
    np.testing.assert_array_equal(pixels(tmp_path / "out"), expected)


SMALL, THREADS = 8, 2


def _logged_preparation(path, folder, log, image_seconds):
    def logged(data, height, width):
        time.sleep(image_seconds)
        with open(log, "ab", buffering=0) as stream:
            stream.write(f"{hash(data)}\n".encode())
        return decode(data, height, width)

    celeba_prepare.decode, celeba_prepare.CHUNK, celeba_prepare._cores = logged, SMALL, lambda: THREADS
    prepare(job(path, folder), progress=False)


@forks
@pytest.mark.parametrize("damaged", [{}, DAMAGED], ids=["whole", "damaged"])
def test_killed_again_and_again(tmp_path, expected, damaged):
    """After each kill −9 the next call goes on; only images in flight are decoded twice."""
    source = write_official(tmp_path / "source", IMAGES | damaged)
    random, log, out = np.random.default_rng(0), tmp_path / "log", tmp_path / "out"
    fork, kills = multiprocessing.get_context("fork"), 0
    for _ in range(50):
        if prepared_report(out, "64x64") is not None:
            break
        process = fork.Process(target=_logged_preparation, args=(source, out, log, 0.004))
        process.start()
        process.join(random.uniform(0.06, 0.25))
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
    kept = [name not in damaged for name in sorted(IMAGES)]
    np.testing.assert_array_equal(pixels(out), expected[kept])
    decoded = log.read_text().split()
    assert kills
    assert len(decoded) - len(set(decoded)) <= kills * SMALL * THREADS
    assert not list(out.glob(".preparing*"))


@forks
@pytest.mark.parametrize("moment", ["finish", "publish"])
@pytest.mark.parametrize("step", range(1, 7))
def test_killed_while_finishing(official, tmp_path, expected, moment, step):
    """Killed at each call that renames or removes, the next call ends with the same files."""
    source = write_official(tmp_path / "source", IMAGES | DAMAGED)
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_killed_at, args=(source, tmp_path / "out", moment, step))
    process.start()
    process.join()
    assert process.exitcode == 1
    prepared(source, tmp_path / "out")
    kept = [name not in DAMAGED for name in sorted(IMAGES)]
    np.testing.assert_array_equal(pixels(tmp_path / "out"), expected[kept])
    assert len(read_table(tmp_path / "out")) == sum(kept)


def _killed_at(path, folder, moment, step):
    real, calls, counting = os.replace, [], []
    wrapped = getattr(celeba_prepare, moment)

    def watched(*args):
        counting.append(True)
        wrapped(*args)
        counting.clear()

    def replace(*args):
        if counting:
            calls.append(args)
            if len(calls) == (step + 1) // 2 and step % 2:
                os._exit(1)  # before the rename
        real(*args)
        if counting and len(calls) == step // 2 and not step % 2:
            os._exit(1)  # after it

    os.replace = replace
    setattr(celeba_prepare, moment, watched)
    prepared(path, folder)


@forks
def test_a_full_disk_is_one_sentence_and_costs_nothing_done(official, tmp_path, expected):
    report = tmp_path / "said"
    process = multiprocessing.get_context("fork").Process(
        target=_with_little_room, args=(official, tmp_path / "out", report)
    )
    process.start()
    process.join()
    assert "free some space" in report.read_text() and "call again" in report.read_text()
    assert prepared(official, tmp_path / "out")["decoded"] < len(IMAGES)
    np.testing.assert_array_equal(pixels(tmp_path / "out"), expected)


def _with_little_room(path, folder, report):
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * CHUNK * 3 * 64 * 64 + 200,) * 2)
    try:
        prepared(path, folder)
    except LabkitError as error:
        report.write_text(str(error))


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
    assert made == {"faces-64x64.npy", "labels.csv", "report-64x64.json"}
    json.loads((tmp_path / "out" / "report-64x64.json").read_text())


def test_memory_does_not_grow_with_the_images(tmp_path):
    """Four times as many images: the array grows by 9 MB, the peak of what is held by far less."""
    peaks = {}
    for copies in (1, 4):
        many = {f"{100000 * k + i:06d}.jpg": d for k in range(1, copies + 1) for i, d in enumerate(IMAGES.values())}
        one = job(write_official(tmp_path / f"source {copies}", many), tmp_path / f"out {copies}")
        tracemalloc.start()
        prepare(one, progress=False)
        peaks[copies] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    grown = 3 * len(IMAGES) * 3 * 64 * 64
    assert peaks[4] - peaks[1] < 0.2 * grown
