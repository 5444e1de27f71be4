"""`labkit data …` as typed."""

import subprocess
import sys

import pytest
from celeba_files import jpegs, write_official

from labkit.course.cli import main


@pytest.fixture
def labkit(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))

    def typed(*arguments):
        command = [sys.executable, "-m", "labkit", "data", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300)

    return typed


def test_prepare_list_verify_and_a_damaged_file(labkit, tmp_path):
    images = jpegs(70) | {"000007.jpg": b"", "000009.jpg": b"<html>"}
    done = labkit("celeba", "--from", write_official(tmp_path / "source", images))
    assert done.returncode == 0, done.stderr
    assert "68 images" in done.stdout and "1 × empty file" in done.stdout and "1 × not a JPEG" in done.stdout
    assert "CelebA 64x64            real" in labkit("list").stdout
    assert labkit("verify").returncode == 0
    with open(tmp_path / "cache" / "celeba" / "64x64" / "faces.npy", "r+b") as stream:
        stream.seek(1000)
        stream.write(b"\1\2\3")
    checked = labkit("verify")
    assert checked.returncode == 1 and "✗" in checked.stdout and "SHA-256 differs" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either --from PATH or --download"),
        (["--from", "nowhere"], "nowhere"),
        (["--from", "nowhere", "--size", "65"], "not a size"),
        (["--download", "torrent"], "torrent"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_status_2(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["labkit", "data", "celeba", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and words in said
    assert said.count("\n") == 1 and said.startswith("labkit: ")
