"""Odd paths: one sentence from every loader, whatever a user typed."""

import os
import sys

import pytest

from labkit.data import celeba, dsprites, olivetti
from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError
from labkit.faces import load_photo

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
