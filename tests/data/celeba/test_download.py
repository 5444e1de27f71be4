"""download_celeba: the right files whole, going on after a break, or the steps to do it by hand."""

import contextlib
import hashlib
import importlib.util
import inspect
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from celeba_files import jpegs, write_kaggle

from labkit.data.celeba import download as celeba_download
from labkit.data.celeba.download import DRIVE_FILES, DriveFile, download_celeba
from labkit.errors import LabkitError

DATA = {
    "img_align_celeba.zip": bytes(range(256)) * 10_000,
    "list_attr_celeba.txt": b"attributes" * 100,
    "identity_CelebA.txt": b"identity" * 100,
}
# gdown writes by 512 KiB and loses what is cut off within.
BLOCK = 1 << 19
PAGE = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"


@pytest.fixture(autouse=True)
def _online(monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE", raising=False)


class _Server(ThreadingHTTPServer):
    """Serves `bodies`, knows Range; breaks off at the first of `cuts` beyond the start, or answers a status."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies = dict(DATA)
        self.cuts: tuple[int, ...] = ()
        self.statuses: dict[str, int] = {}
        self.ranges: dict[str, list[str | None]] = {}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/")
        body, asked = self.server.bodies[name], self.headers.get("Range")
        self.server.ranges.setdefault(name, []).append(asked)
        if name in self.server.statuses:
            self.send_error(self.server.statuses[name])
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        with contextlib.suppress(OSError):  # gdown asks, looks at the headers and hangs up.
            self.wfile.write(body[start : next((cut for cut in self.server.cuts if cut > start), None)])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def drive(monkeypatch):
    """A server in the place of Google Drive, which gdown itself is sent to."""
    pytest.importorskip("gdown", reason="needs gdown")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = _Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    files = tuple(DriveFile(name, name, hashlib.md5(body).hexdigest(), len(body)) for name, body in DATA.items())
    monkeypatch.setattr(celeba_download, "DRIVE_FILES", files)
    home = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(DriveFile, "address", property(lambda file: f"{home}/{file.number}"))
    yield server
    server.shutdown()
    server.server_close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_comes_whole_and_is_not_asked_for_again(drive, tmp_path):
    target = tmp_path / "new" / "celeba"
    assert download_celeba("gdrive", target) == target
    assert contents(target) == DATA
    download_celeba("gdrive", target)
    assert {name: len(asked) for name, asked in drive.ranges.items()} == dict.fromkeys(DATA, 1)


def test_a_file_that_is_there_but_wrong_is_replaced(drive, tmp_path):
    (tmp_path / "identity_CelebA.txt").write_bytes(b"half")
    download_celeba("gdrive", tmp_path)
    assert contents(tmp_path) == DATA


def asked_from(drive, name):
    """The offsets that were asked for; gdown also asks without one, to look at the headers."""
    return [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in drive.ranges[name] if asked]


def test_a_cut_connection_goes_on_where_it_stopped(drive, tmp_path):
    drive.cuts = (BLOCK, 3 * BLOCK)
    download_celeba("gdrive", tmp_path)
    assert contents(tmp_path) == DATA
    assert asked_from(drive, "img_align_celeba.zip") == [BLOCK, 3 * BLOCK]


def test_a_later_call_goes_on_where_the_first_gave_up(drive, tmp_path, monkeypatch):
    monkeypatch.setattr(celeba_download, "RETRIES", 0)
    drive.cuts = (2 * BLOCK,)
    with pytest.raises(LabkitError, match="What has come so far is kept"):
        download_celeba("gdrive", tmp_path)
    assert not (tmp_path / "img_align_celeba.zip").exists()
    download_celeba("gdrive", tmp_path)
    assert contents(tmp_path) == DATA
    assert asked_from(drive, "img_align_celeba.zip") == [2 * BLOCK]


def test_another_file_is_asked_for_from_the_start_and_never_kept(drive, tmp_path):
    drive.bodies["img_align_celeba.zip"] = b"other" * 1000
    with pytest.raises(LabkitError, match=r"img_align_celeba.zip: another file.*5,000 bytes, MD5 differs"):
        download_celeba("gdrive", tmp_path)
    assert contents(tmp_path) == {name: body for name, body in DATA.items() if name != "img_align_celeba.zip"}


def test_the_quota_page_is_recognised_and_not_asked_for_again(drive, tmp_path):
    drive.bodies["img_align_celeba.zip"] = PAGE
    with pytest.raises(LabkitError) as caught:
        download_celeba("gdrive", tmp_path)
    message = str(caught.value)
    assert "img_align_celeba.zip: an HTML page" in message and "quota" in message
    assert len(drive.ranges["img_align_celeba.zip"]) == 1
    assert not (tmp_path / "img_align_celeba.zip").exists()


def test_a_refusal_of_google_drive_is_called_its_quota(monkeypatch, tmp_path):
    class FileURLRetrievalError(Exception):
        pass

    def refuse(*_, **__):
        raise FileURLRetrievalError("Too many users have viewed or downloaded this file recently.")

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=refuse))
    with pytest.raises(LabkitError, match=r"list_attr_celeba.txt: .* quota"):
        download_celeba("gdrive", tmp_path)


def test_the_steps_by_hand_name_what_is_missing_and_nothing_else(drive, tmp_path):
    drive.bodies["img_align_celeba.zip"] = PAGE
    with pytest.raises(LabkitError) as caught:
        download_celeba("gdrive", tmp_path)
    message, file = str(caught.value), celeba_download.DRIVE_FILES[0]
    assert (
        f"1. Open {file.address} and save it as {tmp_path / file.name} (2,560,000 bytes, MD5 {file.md5})" in message
    )
    assert f"2. labkit data celeba --from {tmp_path}" in message
    assert "identity_CelebA.txt" not in message and "list_attr_celeba.txt" not in message


def test_a_disk_that_fills_is_said_at_once(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=full))
    with pytest.raises(LabkitError, match=r"cannot be written \(No space left on device\); free some space"):
        download_celeba("gdrive", tmp_path)


@pytest.mark.parametrize("how", ["gdrive", "kaggle"])
def test_a_target_that_cannot_be_written(tmp_path, how):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LabkitError, match="cannot be written"):
        download_celeba(how, tmp_path / "file" / "celeba")


@pytest.mark.parametrize(("how", "name"), [("gdrive", "gdown"), ("kaggle", "kagglehub")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, how, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LabkitError, match=rf'needs the package {name} .*pip install -e "\.\[celeba\]"'):
        download_celeba(how, tmp_path)


def test_an_unknown_way(tmp_path):
    with pytest.raises(LabkitError, match="use gdrive or kaggle"):
        download_celeba("ftp", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_official_files_are_the_published_ones():
    by_name = {file.name: file for file in DRIVE_FILES}
    assert set(by_name) == {
        "img_align_celeba.zip", "list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt"
    }  # fmt: skip
    # 202,599 rows of six digits, ".jpg", a blank, a digit and the end of a line in two bytes.
    assert by_name["list_eval_partition.txt"].size == 202_599 * 14
    # Read, not imported: torchvision is slow to import and these are three constants in a row.
    home = Path(importlib.util.find_spec("torchvision").origin).parent
    published = (home / "datasets" / "celeba.py").read_text()
    for file in DRIVE_FILES:
        row = ", ".join(f'"{constant}"' for constant in (file.number, file.md5, file.name))
        assert f"({row})" in published


@pytest.fixture
def kaggle(monkeypatch):
    """kagglehub's one function, answered with so many images or an exception."""
    monkeypatch.setattr(celeba_download, "IMAGES", 3)

    def answering(answer):
        def dataset_download(handle, *, output_dir):
            assert handle == "jessicali9530/celeba-dataset"
            if isinstance(answer, Exception):
                raise answer
            return str(write_kaggle(Path(output_dir), jpegs(answer, size=(16, 16))))

        monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=dataset_download))

    return answering


def test_kaggles_copy_lies_below_the_target(kaggle, tmp_path):
    kaggle(3)
    folder = download_celeba("kaggle", tmp_path)
    assert folder.is_relative_to(tmp_path) and (folder / "list_attr_celeba.csv").is_file()


@pytest.mark.parametrize("answer", [RuntimeError("403 Client Error"), 2])
def test_kaggle_that_gives_nothing_or_too_little_ends_with_the_steps(kaggle, tmp_path, answer):
    kaggle(answer)
    with pytest.raises(LabkitError, match=r"403 Client Error|2 of 3 images came") as caught:
        download_celeba("kaggle", tmp_path)
    message = str(caught.value)
    assert "archive.zip" in message and "--from archive.zip" in message and "log-in" in message


def test_kagglehub_has_the_call_that_is_made():
    kagglehub = pytest.importorskip("kagglehub", reason="needs kagglehub")
    assert "output_dir" in inspect.signature(kagglehub.dataset_download).parameters


def test_offline_nothing_is_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    with pytest.raises(LabkitError, match="LABKIT_OFFLINE is set"):
        download_celeba("gdrive", tmp_path)
