"""olivetti(): the order of its sources, and what each kind of bad file gets.

`official` makes a set of its own in the place of the Olivetti faces and gives it their fingerprints, so that every
path runs without the real photographs; the last tests run on those where they are.
"""

import hashlib
import importlib
import os
import pickle
import shutil
import zipfile
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
from scipy.io import savemat
from sklearn.datasets import fetch_olivetti_faces
from sklearn.datasets._olivetti_faces import FACES
from sklearn.decomposition import PCA

from labkit.data import olivetti
from labkit.data.celeba.celeba import celeba
from labkit.errors import LabkitError
from labkit.faces import FaceSet, Provenance

# `labkit.data.olivetti` names the function.
MODULE = importlib.import_module("labkit.data.olivetti")


class Official:
    """400 arbitrary images in the two official forms."""

    def __init__(self, folder: Path) -> None:
        self.pixels = np.random.default_rng(0).integers(0, 243, (400, 4096), dtype=np.uint8)
        self.pixels.flat[:2] = 0, 242
        self.pkz = folder / "olivetti_py3.pkz"
        self.mat = folder / "olivettifaces.mat"
        joblib.dump(self.pixels, self.pkz, compress=6)
        savemat(self.mat, {"faces": self.pixels.T, "p": np.zeros(3)})

    def is_in(self, faces) -> bool:
        upright = self.pixels.reshape(400, 1, 64, 64).transpose(0, 1, 3, 2)
        return faces.real and np.array_equal(faces.images, upright)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return Official(tmp_path_factory.mktemp("official"))


@pytest.fixture
def official(made, monkeypatch):
    monkeypatch.setattr(MODULE, "PIXELS_SHA256", hashlib.sha256(made.pixels).hexdigest())
    monkeypatch.setattr(MODULE, "MAT_SHA256", hashlib.sha256(made.mat.read_bytes()).hexdigest())
    return made


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, no scikit-learn folder, no LABKIT_DATA; the folder of the cache."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sklearn"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    return tmp_path / "cache" / "olivetti"


@pytest.fixture
def drawn(monkeypatch):
    """A stand-in that costs nothing to draw."""
    origin = Provenance("drawn", real=False, source="this test", stand_in_for=MODULE.NAME)
    faces = FaceSet(np.zeros((400, 1, 64, 64), np.uint8), origin)
    monkeypatch.setattr("labkit.drawn.shots.synthetic_olivetti", lambda: faces)
    return faces


@pytest.fixture
def online(monkeypatch, server):
    """Lets `olivetti` ask the local server; the function sets the addresses."""
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(MODULE, "DOWNLOAD_SECONDS", 5.0)

    def serve(*replies):
        address = server.address(*replies)
        monkeypatch.setattr(MODULE, "ADDRESSES", (address,))
        return address

    return serve


def test_the_same_faces_as_scikit_learn(official, tmp_path):
    shutil.copy(official.pkz, tmp_path)
    theirs = fetch_olivetti_faces(data_home=tmp_path, download_if_missing=False)
    faces = olivetti(tmp_path)
    np.testing.assert_allclose(faces.images[:, 0] / np.float32(242), theirs.images, atol=1e-6)
    np.testing.assert_array_equal(faces.identity, theirs.target)


def test_the_fingerprint_is_the_one_that_scikit_learn_checks():
    assert (FACES.checksum, FACES.url) == (MODULE.MAT_SHA256, MODULE.ADDRESSES[0])


@pytest.mark.parametrize("form", ["file", "folder", "root"])
@pytest.mark.parametrize("kind", ["pkz", "mat"])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_an_explicit_path(official, tmp_path, monkeypatch, form, kind, by):
    folder = tmp_path / "given" / "olivetti"
    folder.mkdir(parents=True)
    file = Path(shutil.copy(getattr(official, kind), folder))
    given = {"file": file, "folder": folder, "root": folder.parent}[form]
    if by == "environment":
        monkeypatch.setenv("LABKIT_DATA", str(given))
    faces = olivetti(given if by == "argument" else None)
    assert official.is_in(faces)
    assert file.name in faces.provenance.source and faces.provenance.checksum == faces.checksum()


def kaggles(official, folder, zipped):
    """Kaggle's copy: upright float images, alone or in its archive.zip."""
    upright = official.pixels.reshape(400, 64, 64).swapaxes(1, 2)
    path = folder / "olivetti_faces.npy"
    np.save(path, (upright / 242).astype(np.float32))
    if not zipped:
        return path
    archive = folder / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.write(path, "olivetti_faces.npy")
        target.writestr("olivetti_faces_target.npy", b"not read")
    path.unlink()
    return archive


@pytest.mark.parametrize("zipped", [False, True])
def test_kaggles_copy_is_read_and_is_none_of_celebas(official, tmp_path, zipped):
    path = kaggles(official, tmp_path, zipped)
    assert official.is_in(olivetti(path))
    assert not celeba(path, synthetic_n=10).real
    if not zipped:
        assert official.is_in(olivetti(tmp_path))


@pytest.mark.parametrize("zipped", [False, True])
def test_another_array_of_that_name_is_refused(official, tmp_path, zipped):
    path = kaggles(official, tmp_path, zipped)
    if zipped:
        path.write_bytes(path.read_bytes()[:-4000])
        with pytest.raises(LabkitError, match=r"archive\.zip"):
            olivetti(path)
        return
    two = np.zeros((400, 64, 64), [("a", int), ("b", int)])
    for wrong in (np.zeros((400, 64, 64)), np.full((400, 64, 64), np.nan), np.zeros(5), np.array([{}], object), two):
        np.save(path, wrong, allow_pickle=True)
        with pytest.raises(LabkitError, match=r"not Kaggle's copy"):
            olivetti(path)
    for more in ({}, {"faces": two}):
        with open(path, "wb") as stream:
            np.savez(stream, **more)
        with pytest.raises(LabkitError, match=r"not Kaggle's copy"):
            olivetti(path)


def test_a_zip_beside_it_is_not_taken_for_celeba(official, tmp_path):
    shutil.copy(official.pkz, tmp_path)
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    (tmp_path / "broken.zip").write_bytes(b"PK")
    assert official.is_in(olivetti(tmp_path)) and not celeba(tmp_path, synthetic_n=10).real


def test_an_argument_goes_before_the_environment(official, monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "nowhere"))
    assert official.is_in(olivetti(official.pkz))


class Burglar:
    """Unpickled, it leaves a file behind."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def bad_files(official, folder):
    """Name → bytes of files that are no Olivetti cache."""
    good, mat = official.pkz.read_bytes(), official.mat.read_bytes()
    foreign = folder / "foreign.pkz"
    joblib.dump(official.pixels[:10], foreign, compress=6)
    altered = official.pixels.copy()
    altered[200, 7] ^= 1
    other = folder / "other.pkz"
    joblib.dump(altered, other, compress=6)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    return {
        "empty.pkz": b"",
        "text.pkz": b"these are no faces\n",
        "half.pkz": good[: len(good) // 2],
        "nearly.pkz": good[:-100],
        "flipped.pkz": bytes(flipped),
        "shape.pkz": foreign.read_bytes(),
        "other.pkz": other.read_bytes(),
        "bomb.pkz": zlib.compress(bytes(50_000_000)),
        "half.mat": mat[: len(mat) // 2],
        "text.mat": b"these are no faces\n",
        "pickle.mat": good,
    }


def test_a_bad_explicit_file_is_refused_and_left_alone(official, tmp_path):
    for name, content in bad_files(official, tmp_path).items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(LabkitError, match=name) as caught:
            olivetti(path)
        assert "remove it or download it anew" in str(caught.value) and "\n" not in str(caught.value)
        assert path.read_bytes() == content


@pytest.mark.parametrize("compressed", [True, False])
def test_a_hostile_pickle_is_never_run(tmp_path, compressed):
    trace, path = tmp_path / "trace", tmp_path / "olivetti_py3.pkz"
    content = pickle.dumps(Burglar(trace))
    path.write_bytes(zlib.compress(content) if compressed else content)
    with pytest.raises(LabkitError, match=path.name):
        olivetti(path)
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists()


@pytest.mark.parametrize("name", ["missing.pkz", "missing_folder", "empty_folder"])
def test_a_path_without_olivetti_is_refused(tmp_path, name):
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(LabkitError, match=f"{name}.*LABKIT_DATA"):
        olivetti(tmp_path / name)


@pytest.mark.parametrize("kind", ["pkz", "mat"])
def test_the_cache_comes_next(official, cache, kind, capsys):
    cache.mkdir(parents=True)
    shutil.copy(getattr(official, kind), cache)
    assert official.is_in(olivetti())
    assert not capsys.readouterr().out


def test_then_scikit_learns_own_cache(official, tmp_path):
    (tmp_path / "sklearn").mkdir()
    shutil.copy(official.pkz, tmp_path / "sklearn")
    assert official.is_in(olivetti())


def test_then_the_download_which_fills_the_cache(official, cache, online, server):
    address = online(server.reply(official.mat.read_bytes()))
    assert official.is_in(olivetti())
    assert official.is_in(olivetti())
    assert server.times_asked(address) == 1
    assert [path.name for path in cache.iterdir()] == ["olivettifaces.mat"]


@pytest.mark.parametrize("stand_in", ["offline", "refused", "html", "another file"])
def test_last_a_stand_in_that_says_so(official, drawn, online, server, monkeypatch, capsys, stand_in):
    replies = {
        "refused": server.reply(status=403),
        "html": server.reply(b"<html>", content_type="text/html"),
        "another file": server.reply(official.mat.read_bytes()[:-1]),
    }
    address = online(replies.get(stand_in, server.reply(official.mat.read_bytes())))
    if stand_in == "offline":
        monkeypatch.setenv("LABKIT_OFFLINE", "1")
    assert olivetti() is drawn
    assert server.times_asked(address) == (stand_in in replies)
    said = capsys.readouterr().out
    assert "SYNTHETIC" in said and said.count("\n") == 1
    assert ("by hand" in said) == (stand_in in replies)


def test_a_slow_failure_is_not_repeated_within_the_hour(official, drawn, cache, online, server, capsys, monkeypatch):
    monkeypatch.setattr(importlib.import_module("labkit.data.fetch"), "CHEAP_SECONDS", 0.0)
    address = online(server.reply(status=403), server.reply(official.mat.read_bytes()))
    assert olivetti() is drawn
    assert olivetti() is drawn
    assert server.times_asked(address) == 1
    marker = cache / ".download-failed"
    assert str(marker) in capsys.readouterr().out
    os.utime(marker, (0, 0))
    assert official.is_in(olivetti())
    assert not marker.exists()


def test_a_quick_failure_is_tried_again(official, drawn, online, server):
    online(server.reply(status=403), server.reply(official.mat.read_bytes()))
    assert olivetti() is drawn
    assert official.is_in(olivetti())


def test_a_damaged_cache_is_put_aside_and_replaced(official, cache, online, server, capsys):
    cache.mkdir(parents=True)
    (cache / "olivetti_py3.pkz").write_bytes(official.pkz.read_bytes()[:1000])
    online(server.reply(official.mat.read_bytes()))
    assert official.is_in(olivetti())
    said = capsys.readouterr().out
    assert "olivetti_py3.pkz.damaged" in said and said.count("\n") == 1
    assert official.is_in(olivetti())
    assert not capsys.readouterr().out


def test_a_cache_that_cannot_be_read_is_not_put_aside(official, drawn, cache, monkeypatch, capsys):
    """It may be whole, and belong to a class."""
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copy(official.pkz, cache / "olivetti_py3.pkz")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(MODULE, "_read_pkz", refuse)
    assert olivetti() is drawn
    assert "cannot be read (Permission denied)" in capsys.readouterr().out
    assert [path.name for path in cache.iterdir()] == ["olivetti_py3.pkz"]


def test_a_damaged_cache_without_network_gives_the_stand_in(official, drawn, cache, capsys):
    cache.mkdir(parents=True)
    (cache / "olivettifaces.mat").write_bytes(b"half")
    assert olivetti() is drawn
    assert "was damaged" in capsys.readouterr().out


def test_the_stand_in_has_the_shape_of_the_original():
    faces = olivetti()
    assert faces.images.shape == (400, 1, 64, 64) and not faces.real
    np.testing.assert_array_equal(faces.identity, np.repeat(np.arange(40), 10))
    assert faces.provenance.stand_in_for == MODULE.NAME


def test_with_a_stand_in_every_reason_is_told(drawn, cache, capsys):
    assert olivetti() is drawn
    said = capsys.readouterr().out
    assert str(cache) in said and "LABKIT_OFFLINE" in said


def test_to_see_whether_they_are_here_neither_draws_nor_asks_the_network(official, cache, online, server):
    address = online(server.reply(official.mat.read_bytes()))
    assert MODULE.olivetti_here() is None
    cache.mkdir(parents=True)
    shutil.copy(official.pkz, cache)
    assert official.is_in(MODULE.olivetti_here())
    assert server.times_asked(address) == 0


def explained(faces):
    """Share of the variance held by the first 1, 2, … principal components."""
    spectrum = PCA(svd_solver="full").fit(faces.images.reshape(len(faces), -1) / 255).explained_variance_ratio_
    return np.cumsum(spectrum)


def test_real_olivetti_has_the_spectrum_of_the_reports(real_data):
    share = explained(olivetti(real_data))
    assert np.searchsorted(share, 0.9) + 1 == 66
    assert round(float(share[63]), 3) == 0.897


def test_real_olivetti_is_what_scikit_learn_loads(real_data, tmp_path):
    faces = olivetti(real_data)
    if not (real_data / "olivetti" / "olivetti_py3.pkz").is_file():
        pytest.skip("needs scikit-learn's own file in olivetti/")
    shutil.copy(real_data / "olivetti" / "olivetti_py3.pkz", tmp_path)
    theirs = fetch_olivetti_faces(data_home=tmp_path, download_if_missing=False)
    np.testing.assert_allclose(faces.images[:, 0] / np.float32(242), theirs.images, atol=1e-6)
    assert len(np.unique(faces.images)) > 230
