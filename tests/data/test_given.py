"""Odd paths: one sentence from every loader, whatever a user typed."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from labkit.data import celeba, dsprites, olivetti
from labkit.data.celeba.source import open_source
from labkit.data.inventory import inventory, verify
from labkit.errors import LabkitError
from labkit.faces import load_photo
from labkit.run import start_lab

LOADERS = {"olivetti": olivetti, "celeba": celeba, "dsprites": dsprites, "source": open_source, "photo": load_photo}
ODD = {
    "unknown user": "~nosuchuser/faces",
    "long part": "/tmp/" + "x" * 300,
    "NUL": "a\0b",
    "missing": "/no/such/folder",
    "loop": "loop",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")


@pytest.fixture
def close(monkeypatch):
    """Makes folders that nobody may look into, root included, whom permissions do not stop."""
    closed = set()

    def guard(function, inner):
        def call(path, *args, **kwargs):
            if isinstance(path, str | os.PathLike) and closed & {*([path] * (not inner)), *Path(path).parents}:
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *args, **kwargs)

        return call

    for name, inner in (("stat", True), ("lstat", True), ("listdir", False), ("scandir", False)):
        monkeypatch.setattr(os, name, guard(getattr(os, name), inner))
    monkeypatch.setattr(os, "access", lambda path, mode, real=os.access: path not in closed and real(path, mode))

    def make(folder):
        folder.mkdir(parents=True, exist_ok=True)
        closed.add(folder)

    return make


@pytest.mark.parametrize("name", ["", "celeba", "celeba/64x64", "olivetti", "dsprites", "synthetic"])
def test_a_cache_that_may_not_be_read_stops_no_lab(tmp_path, close, capsys, name):
    for each in ("celeba/64x64", "olivetti", "dsprites", "synthetic"):
        (tmp_path / "cache" / each).mkdir(parents=True)
    close(tmp_path / "cache" / name)
    assert not any(load().provenance.real for load in (olivetti, partial(celeba, synthetic_n=8), dsprites))
    assert "real" not in {entry.kind for entry in inventory()} and not any(problem for _, problem in verify())
    start_lab("03a", profile="cpu", out=tmp_path / "out", reference=True)
    assert ("64x64: is a prepared set that is not whole, or" in capsys.readouterr().out) == (
        name in ("celeba/64x64", "olivetti", "dsprites", "synthetic")
    )


@pytest.mark.parametrize("loader", ["olivetti", "celeba", "dsprites"])
def test_a_folder_that_may_not_be_read_is_named(tmp_path, close, loader):
    close(tmp_path / "mine")
    with pytest.raises(
        LabkitError, match=r"mine: cannot be looked into \(Permission denied\); change its permissions"
    ):
        LOADERS[loader](tmp_path / "mine")


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_path_is_one_sentence(loader, odd):
    with pytest.raises(LabkitError) as caught:
        LOADERS[loader](ODD[odd])
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 450


@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("loader", LOADERS)
def test_proc_is_one_sentence(loader):
    with pytest.raises(LabkitError, match=r"\.$"):
        LOADERS[loader]("/proc/self")


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize(
    ("loader", "name"),
    [
        *((loader, "pipe") for loader in LOADERS),
        ("olivetti", "olivetti_py3.pkz"),
        ("celeba", "img_align_celeba.zip"),
        ("source", "img_align_celeba.zip"),
        ("photo", "face.jpg"),
    ],
)
def test_a_pipe_is_refused_and_never_waited_for(tmp_path, loader, name):
    os.mkfifo(tmp_path / name)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(LabkitError):
            LOADERS[loader](path)
