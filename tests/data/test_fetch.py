"""fetch: the file whole and verified, or one sentence and nothing left behind."""

import hashlib
import importlib
import os
import re
import socket
import threading

import pytest

from labkit.data.fetch import fetch, is_offline
from labkit.errors import LabkitError
from labkit.files import data_root

DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch, server):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def assert_fails(match, urls, target, **options):
    """The one sentence holds `match` and the manual steps; the folder is as it was."""
    before = sorted(target.parent.iterdir()) if target.parent.exists() else []
    with pytest.raises(LabkitError, match=match) as caught:
        fetch(urls, SHA256, target, **options)
    message = str(caught.value)
    assert str(target) in message and SHA256 in message and "by hand" in message and "\n" not in message
    assert sorted(target.parent.iterdir()) == before


def test_success_is_the_very_bytes_and_nothing_else(server, tmp_path):
    target = tmp_path / "new" / "faces.mat"
    assert fetch(server.address(server.reply(DATA)), SHA256, target) == target
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["faces.mat"]


def test_chunked_transfer_without_a_length(server, tmp_path):
    fetch(server.address(server.reply(DATA, chunked=True)), SHA256, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_verified_file_is_not_asked_for_again(server, tmp_path):
    url = server.address(server.reply(DATA))
    for _ in range(2):
        fetch(url, SHA256, tmp_path / "f")
    assert server.times_asked(url) == 1


def test_a_damaged_file_is_replaced(server, tmp_path):
    (tmp_path / "f").write_bytes(DATA[:100])
    fetch(server.address(server.reply(DATA)), SHA256, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_refusal_is_named(server, tmp_path, status):
    url = server.address(server.reply(b"No.", status=status))
    assert_fails(f"{status}", url, tmp_path / "f")
    assert server.times_asked(url) == 1


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/zip"])
def test_a_quota_page_is_recognised_whatever_it_calls_itself(server, tmp_path, content_type):
    page = b"\n<!DOCTYPE html><html><head><title>Quota exceeded</title></head></html>"
    url = server.address(server.reply(page, content_type=content_type))
    assert_fails("HTML page.*Quota exceeded", url, tmp_path / "f")
    assert server.times_asked(url) == 1


def test_an_answer_without_content(server, tmp_path):
    assert_fails("202.*no content", server.address(server.reply(status=202)), tmp_path / "f")


def test_another_file(server, tmp_path):
    url = server.address(server.reply(DATA[::-1]))
    assert_fails("SHA-256 differs", url, tmp_path / "f")
    assert server.times_asked(url) == 1


def test_a_cut_connection_leaves_the_mirror_its_turn(server, tmp_path):
    cut = server.address(server.reply(DATA, sent=5000))
    fetch([cut, server.address(server.reply(DATA))], SHA256, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    assert_fails("cut", server.address(server.reply(DATA, sent=5000)), tmp_path / "g")


def test_a_trickle_ends_at_the_time_limit(server, tmp_path):
    # 10,240 bytes at 0.02 s each: without the limit the file would come whole after three minutes.
    url = server.address(server.reply(DATA, pause=0.02))
    assert_fails("time limit", url, tmp_path / "f", timeout=3.0)
    assert server.times_asked(url) == 1
    for thread in threading.enumerate():
        if thread.name == "labkit-fetch":
            thread.join(5)
            assert not thread.is_alive(), "the download goes on in the background"


def test_a_server_that_never_answers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/f"
        assert_fails("no answer in time", url, tmp_path / "f", timeout=3.0)


def test_a_name_look_up_that_hangs(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: release.wait(60))
    assert_fails("time limit", "http://faces.invalid/f", tmp_path / "f", timeout=0.3)
    release.set()


def test_an_unreachable_address_leaves_the_others_their_turn(server, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}/f"
    mirrors = [gone, server.address(server.reply(status=403)), server.address(server.reply(DATA))]
    fetch(mirrors, SHA256, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    assert [server.times_asked(url) for url in mirrors[1:]] == [1, 1]


def test_the_sentence_names_every_address(server, tmp_path):
    urls = [server.address(server.reply(status=404)), server.address(server.reply(status=403))]
    assert_fails(
        f"{re.escape(urls[0])}: 404.*{re.escape(urls[1])}: 403",
        urls,
        tmp_path / "f",
    )


def test_a_target_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LabkitError, match="cannot be written"):
        fetch(server.address(server.reply(DATA)), SHA256, tmp_path / "file" / "f")


def test_a_disk_that_fills_up(server, tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importlib.import_module("labkit.data.fetch")._Transfer, "__call__", full)
    with pytest.raises(LabkitError, match="No space left"):
        fetch(server.address(server.reply(DATA)), SHA256, tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "chosen"))
    assert data_root() == tmp_path / "chosen"
    monkeypatch.delenv("LABKIT_CACHE")
    (tmp_path / "labkit").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "labkit" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert data_root() == tmp_path / "data"
    os.remove(tmp_path / "pyproject.toml")
    assert tmp_path not in data_root().parents


@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("yes", True), ("", False), ("0", False), ("False", False)]
)
def test_a_variable_that_says_no_does_not_mean_yes(monkeypatch, value, offline):
    monkeypatch.setenv("LABKIT_OFFLINE", value)
    assert is_offline() is offline
