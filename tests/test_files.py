"""Files whole or absent, on systems that flush only what was opened for writing, and under any name."""

import fcntl
import json
import os
import socket
import subprocess
import sys

import pytest

from labkit.errors import LabkitError
from labkit.files import absolute, atomic_path, read_json, write_json, write_text


def test_a_file_is_flushed_through_a_handle_that_may_write(monkeypatch, tmp_path):
    """Windows refuses to flush any other."""

    def fsync(descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_folder_in_the_way_is_met_before_the_work(tmp_path):
    begun = []
    with pytest.raises(LabkitError, match="it is a folder"), atomic_path(tmp_path):
        begun.append(1)
    assert not begun and not list(tmp_path.parent.glob(f".{tmp_path.name}-*"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, linked):
    """Root would else turn /dev/null, named as where a table goes, into that table."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    target = tmp_path / ("link" if linked else "pipe")
    with pytest.raises(LabkitError, match=f"{target.name}: cannot be written .it is a pipe"):
        write_text(target, "a table")
    assert target.is_fifo() and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("text", ["", "[" * 100_000, "{", "\udcff"])
def test_what_is_no_json_is_read_as_none(tmp_path, text):
    (tmp_path / "a.json").write_text(text, errors="surrogateescape")
    assert read_json(tmp_path / "a.json") is read_json(tmp_path) is read_json(tmp_path / "none") is None


def test_a_name_that_is_not_utf8_is_written_and_read_back(tmp_path):
    name = os.fsdecode(b"na\xe9")
    write_json(tmp_path / "a.json", {"path": name})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"path": name}


def test_home_folders_are_found_or_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert absolute("~/my faces") == absolute("my faces") == tmp_path / "my faces"
    with pytest.raises(LabkitError, match="there is no such home folder"):
        absolute("~nosuchuser/faces")


OPENS = """
import os, sys
from labkit.files import no_pipes, read_json
folder = sys.argv[1]
with no_pipes():
    for name in ("pipe", "socket", "device"):
        try:
            open(f"{folder}/{name}", "rb").close()
        except OSError as error:
            print(name, error.strerror == "it is a pipe, a socket or a device, and no file")
        print(read_json(f"{folder}/{name}"))
    open(os.devnull).close()
    os.close(os.open(folder, os.O_RDONLY))
    print(read_json(f"{folder}/file"))
open(f"{folder}/device", "rb").close()
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_a_socket_and_a_device_are_not_read(tmp_path):
    """Reading one may never end, wherever in a given folder it lies."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "file").write_text("1")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "socket"))  # from the root it may be longer than one may be
        command = [sys.executable, "-c", OPENS, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    expected = [f"{name} True\nNone" for name in ("pipe", "socket", "device")]
    assert done.stdout.splitlines() == "\n".join([*expected, "1"]).splitlines()
