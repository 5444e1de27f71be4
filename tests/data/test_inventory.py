"""What `labkit data list` and `labkit data verify` say of whole, damaged and missing files."""

import numpy as np
import pytest
from celeba_files import jpegs, write_official

from labkit.data.celeba.prepare import prepare
from labkit.data.celeba.source import open_source
from labkit.data.inventory import inventory, verify
from labkit.drawn.portraits import cached_files, synthetic_celeba


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "nothing"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def filled(cache, tmp_path):
    source = open_source(write_official(tmp_path / "source", jpegs(70)))
    prepare(source, 64, 64, cache / "celeba", progress=False)
    synthetic_celeba(20)
    return cache


def damage(path) -> None:
    with open(path, "r+b") as stream:
        stream.seek(200)
        stream.write(bytes(40))


def test_nothing_there_is_said_with_what_takes_its_place(cache):
    entries = {entry.name: entry for entry in inventory()}
    assert set(entries) == {"Olivetti faces", "CelebA"}
    assert all(entry.kind == "absent" and entry.advice and not entry.images for entry in entries.values())
    assert not list(verify())


def test_a_path_that_labs_take_photographs_from_is_no_absence(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(write_official(tmp_path / "source", jpegs(3))))
    entries = {entry.name: entry for entry in inventory()}
    assert entries["CelebA"].kind == "given" and str(tmp_path / "source") in entries["CelebA"].advice
    assert entries["Olivetti faces"].kind == "absent" and not list(verify())


def test_real_and_stand_in_are_told_apart(filled):
    kinds = {entry.name: (entry.kind, entry.images) for entry in inventory() if entry.images}
    assert kinds == {"CelebA 64x64": ("real", 70), "synthetic CelebA": ("stand-in", 20)}
    assert all(len(entry.checksum) == 64 for entry in inventory() if entry.images)


def test_whole_files_pass(filled):
    results = list(verify())
    assert len(results) == 3 and not any(problem for _, problem in results)


@pytest.mark.parametrize("name", ["faces.npy", "labels.csv"])
def test_a_damaged_file_is_named(filled, name):
    path = filled / "celeba" / "64x64" / name
    damage(path)
    assert [file for file, problem in verify() if "SHA-256 differs" in problem] == [str(path)]


@pytest.mark.parametrize("given", [True, False])
def test_a_damaged_file_of_olivetti_is_no_absent_one(cache, tmp_path, monkeypatch, given):
    path = tmp_path / "olivetti_py3.pkz" if given else cache / "olivetti" / "olivetti_py3.pkz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    if given:
        monkeypatch.setenv("LABKIT_DATA", str(path))
    for _ in range(2):  # one in the cache is put aside when it is met
        ((file, problem),) = verify()
        assert file.startswith(str(path)) and "olivetti_py3.pkz" in problem
    (entry,) = (entry for entry in inventory() if entry.name == "Olivetti faces")
    assert entry.kind == "damaged" and not entry.images


def test_other_files_beside_the_stand_ins_are_passed_over(filled):
    for name in ("celeba-mine.npy", "celeba-.npy", "celeba-20-64x64-0-celeba-copy (1).npy"):
        (filled / "synthetic" / name).write_bytes(b"")
    assert len(cached_files()) == 1


@pytest.mark.parametrize("how", [damage, lambda path: path.write_bytes(b"")])
def test_a_damaged_stand_in_is_named(filled, how):
    ((path, _),) = cached_files()
    how(path)
    assert [file for file, problem in verify() if problem] == [str(path)]


@pytest.mark.parametrize(("off", "fine"), [(1, True), (9, False)])
def test_a_stand_in_drawn_off_the_cpu_may_differ_by_rounding_alone(filled, off, fine):
    ((path, _),) = cached_files()
    images = np.load(path)
    images[::2] += np.where(images[::2] < 200, off, 0).astype(np.uint8)
    path.unlink()
    np.save(path.with_suffix(".cuda.npy"), images)
    ((path, _),) = cached_files()
    assert (dict(verify())[str(path)] == "") == fine
    assert any(entry.kind == "stand-in" for entry in inventory())


def test_an_old_stand_in_is_told_from_a_current_one(filled):
    ((path, _),) = cached_files()
    path.rename(path.with_name("celeba-20-64x64-0-celeba-000000000000.npy"))
    assert "older renderer" in dict(verify())[str(cached_files()[0][0])]


def test_a_cut_array_counts_as_not_prepared(filled):
    faces = filled / "celeba" / "64x64" / "faces.npy"
    np.save(faces, np.load(faces)[:10])
    assert "incomplete" in dict(verify())[str(faces.parent)]
    assert not any(entry.name == "CelebA 64x64" for entry in inventory())
