"""open_source: the entries of a zip that lie, are doubled, encrypted or too large."""

import os
import pickle
import struct
import zipfile
import zlib

import pytest
from celeba_files import (
    IMAGES,
    ONE,
    official_zip,
    tree,
)

from labkit.data.celeba.listing import IMAGE_BYTES
from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError
from labkit.safe_zip import UnreadableEntryError


def zip_of(path, *infos, **members):
    """A zip of two good images and these; each is a name, or (ZipInfo, data)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("000001.jpg", "000002.jpg"):
            archive.writestr(f"img_align_celeba/{name}", IMAGES[name])
        for info in infos:
            archive.writestr(*((info, b"evil") if isinstance(info, str) else info))
    return path


def entry(name="000009.jpg", mode=0o100644, method=zipfile.ZIP_DEFLATED):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, method
    return info


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        *((name, "unsafe path") for name in (
            "../000009.jpg", "a/../../000009.jpg", "/tmp/000009.jpg", "..\\000009.jpg", "\\\\host\\000009.jpg",
            "C:\\000009.jpg", "c:000009.jpg", "../list_attr_celeba.txt", "../../etc/passwd",
        )),
        ((entry(mode=0o120777), b"/etc/passwd"), "symbolic link"),
        ((entry("list_attr_celeba.txt", mode=0o120777), b"/etc/passwd"), "symbolic link"),
        ((entry(method=zipfile.ZIP_LZMA), ONE), "unknown compression"),
        ((entry(), bytes(IMAGE_BYTES + 1)), "too large"),
        ((entry(method=zipfile.ZIP_STORED), os.urandom(IMAGE_BYTES + 1)), "too large"),
        ((entry(), bytes(IMAGE_BYTES - 1)), "too large"),
        ("other/000002.jpg", "duplicate name"),
        ("img_align_celeba/._000001.jpg", "not an image name"),
        ("notes.pdf", "not an image name"),
        (".jpg", "not an image name"),
    ],
)  # fmt: skip
def test_an_entry_that_is_refused_is_counted_and_the_others_stand(tmp_path, bad, reason):
    path = zip_of(tmp_path / "img_align_celeba.zip", bad)
    before = tree(tmp_path)
    source = open_source(path)
    assert list(source.dropped.values()) == [reason]
    assert source.images == ("000001.jpg", "000002.jpg") and source.annotation("attributes") is None
    assert {name: source.read(name) for name in source.images} == {name: IMAGES[name] for name in source.images}
    assert tree(tmp_path) == before and f"1 × {reason}" in source.describe()


def test_an_encrypted_entry(tmp_path):
    path = zip_of(tmp_path / "c.zip", "000009.jpg")
    data = bytearray(path.read_bytes())
    flags = data.rindex(b"PK\1\2") + 8
    data[flags] |= 1
    path.write_bytes(data)
    assert list(open_source(path).dropped.values()) == ["encrypted"]


def test_many_entries_of_one_name_are_counted_one_by_one(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zip_of(tmp_path / "c.zip", *["img_align_celeba/000001.jpg"] * 3)
    source = open_source(path)
    assert list(source.dropped.values()) == ["duplicate name"] * 3
    assert source.read("000001.jpg") == ONE


def patched_entry(path, **fields):
    """Overwrite fields of the last entry in the zip's directory."""
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\1\2")
    for field, value in fields.items():
        offset = {"crc": 16, "packed": 20, "size": 24, "header": 42}[field]
        struct.pack_into("<I", data, start + offset, value)
    path.write_bytes(data)


def test_a_bomb_whose_header_lies_is_cut_off_while_reading(tmp_path, monkeypatch):
    bomb = bytes(100 * IMAGE_BYTES)
    path = zip_of(tmp_path / "c.zip", ("000009.jpg", bomb))
    patched_entry(path, size=50_000)
    source = open_source(path)
    real, most = zlib.decompressobj, []

    class Watched:
        def __init__(self, *args):
            self.inner = real(*args)

        def decompress(self, data, limit=0):
            most.append(len(result := self.inner.decompress(data, limit)))
            return result

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(UnreadableEntryError) as caught:
        source.read("000009.jpg")
    assert caught.value.reason == "too large" and most == [IMAGE_BYTES + 1]
    assert source.read("000001.jpg") == ONE


@pytest.mark.parametrize(
    "fields",
    [{"crc": 1}, {"size": 7}, {"packed": 2}, {"header": 3}, {"header": 2**31}, {"size": 0, "crc": 0}],
)
def test_a_header_that_lies_otherwise_is_a_damaged_entry(tmp_path, fields):
    path = zip_of(tmp_path / "c.zip", ("000009.jpg", ONE))
    patched_entry(path, **fields)
    source = open_source(path)
    with pytest.raises(UnreadableEntryError) as caught:
        source.read("000009.jpg")
    assert caught.value.reason == "damaged entry" and "000009.jpg" in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).reason == "damaged entry"
    assert source.read("000002.jpg") == IMAGES["000002.jpg"]


def test_a_zip_that_changes_after_it_was_opened(tmp_path):
    path = official_zip(tmp_path / "c")
    source = open_source(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableEntryError, match="damaged"):
        source.read("000006.jpg")
    path.unlink()
    with pytest.raises(UnreadableEntryError, match="cannot be read"):
        pickle.loads(pickle.dumps(source)).read("000001.jpg")


def test_entries_that_overlap(tmp_path):
    path = official_zip(tmp_path / "c")
    size = path.stat().st_size
    patched_entry(path, packed=size)
    with pytest.raises(LabkitError, match="claim more bytes than it has"):
        open_source(path)
