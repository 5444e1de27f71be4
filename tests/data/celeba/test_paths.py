"""open_source: folders that lead elsewhere, and paths that hold no images; each refusal is one sentence."""

import os

import pytest
from celeba_files import (
    IMAGES,
    ONE,
    jpegs,
    official_zip,
    read_all,
    write_official,
    write_zip,
)

from labkit.data.celeba.listing import IMAGE_BYTES
from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError
from labkit.safe_zip import UnreadableEntryError


def test_what_leads_out_of_a_folder_is_refused(tmp_path):
    outside = write_official(tmp_path / "outside", jpegs(9, seed=1, size=(16, 16)))
    folder = write_official(tmp_path / "c", IMAGES, attributes=None)
    (folder / "img_align_celeba" / "000007.jpg").symlink_to(outside / "img_align_celeba" / "000007.jpg")
    (folder / "img_align_celeba" / "inside.jpg").symlink_to("000001.jpg")
    (folder / "img_align_celeba" / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "img_align_celeba" / "round.jpg").symlink_to("round.jpg")
    (folder / "more").symlink_to(outside)
    (folder / "list_attr_celeba.txt").symlink_to(outside / "list_attr_celeba.txt")
    os.mkfifo(folder / "img_align_celeba" / "000008.jpg")
    (folder / "img_align_celeba" / "large.jpg").write_bytes(bytes(IMAGE_BYTES + 1))
    os.close(os.open(os.fsencode(folder) + b"/\xff.jpg", os.O_CREAT))
    source = open_source(folder)
    assert source.images == (*IMAGES, "inside.jpg") and source.read("inside.jpg") == ONE
    assert source.annotation("attributes") is None
    inner = "img_align_celeba/"
    assert source.dropped == {
        f"{inner}000007.jpg": "symbolic link",
        f"{inner}000008.jpg": "not a plain file",
        f"{inner}gone.jpg": "not a plain file",
        f"{inner}round.jpg": "not a plain file",
        f"{inner}large.jpg": "too large",
        "\\udcff.jpg": "not an image name",
        "more": "symbolic link at more out of the folder: put there what it leads to",
        "list_attr_celeba.txt": "symbolic link at list_attr_celeba.txt out of the folder: put there what it leads to",
    }


def test_a_link_beside_that_leads_away_is_not_followed(tmp_path):
    official_zip(tmp_path / "outside")
    path = write_zip(tmp_path / "img_align_celeba.zip", IMAGES)
    (tmp_path / "away").mkdir()
    path = path.rename(tmp_path / "away" / path.name)
    (tmp_path / "away" / "identity_CelebA.txt").symlink_to(tmp_path / "outside" / "identity_CelebA.txt")
    assert open_source(path).annotation("identity") is None


def test_the_folder_that_is_given_may_itself_be_a_link(tmp_path):
    write_official(tmp_path / "c", IMAGES)
    (tmp_path / "link").symlink_to("c")
    assert read_all(open_source(tmp_path / "link")) == IMAGES


def test_a_file_that_grows_or_goes_after_it_was_listed(tmp_path):
    source = open_source(write_official(tmp_path / "c", IMAGES))
    folder = tmp_path / "c" / "img_align_celeba"
    with open(folder / "000001.jpg", "ab") as stream:
        stream.truncate(3 << 30)
    (folder / "000002.jpg").unlink()
    for name, reason in {"000001.jpg": "too large", "000002.jpg": "cannot be read"}.items():
        with pytest.raises(UnreadableEntryError) as caught:
            source.read(name)
        assert reason in caught.value.reason


def test_a_folder_is_not_searched_without_end(tmp_path):
    deep = write_official(tmp_path / "a" / "b" / "c" / "d", IMAGES)
    write_official(tmp_path / ".hidden", IMAGES)
    with pytest.raises(LabkitError, match=r"no images found.*a folder too deep"):
        open_source(tmp_path)
    assert len(open_source(deep).images) == 6


def refused(path):
    with pytest.raises(LabkitError) as caught:
        open_source(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and message.endswith(".")
    return message


def test_bad_paths_get_one_sentence(tmp_path):
    assert "no such folder or zip" in refused(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    assert "no images found" in refused(tmp_path / "empty")
    (tmp_path / "note.txt").write_text("Hello")
    assert "neither a folder nor a zip" in refused(tmp_path / "note.txt")
    (tmp_path / "c.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    assert "7z archive; unpack it" in refused(tmp_path / "c.7z")
    assert "no images found" in refused(write_zip(tmp_path / "none.zip", {}))
    inner = official_zip(tmp_path / "c").read_bytes()
    assert "it holds x/img.zip, so unpack that" in refused(write_zip(tmp_path / "o.zip", {"x/img.zip": inner}))
    assert "2 × unsafe path" in refused(write_zip(tmp_path / "u.zip", {"../1.jpg": ONE, "/2.jpg": ONE}))


@pytest.mark.parametrize("start", [b"", b"\n  ", b"\xef\xbb\xbf"])
def test_the_quota_page_named_zip(tmp_path, start):
    path = tmp_path / "img_align_celeba.zip"
    path.write_bytes(start + b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title>")
    assert "an HTML page under the name of a zip" in refused(path) and "quota" in refused(path)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9, 0.999])
def test_a_truncated_zip(tmp_path, kept):
    path = official_zip(tmp_path / "c")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    assert "cut short or damaged" in refused(path)


def test_a_folder_and_a_zip_that_cannot_be_read(tmp_path, monkeypatch):
    def deny(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    path = official_zip(tmp_path / "c")
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", deny)
        assert "cannot be read (Permission denied)" in refused(path.parent)
    monkeypatch.setattr("builtins.open", deny)
    assert "cannot be read (Permission denied)" in refused(path)


def test_a_page_under_the_name_of_an_annotation(tmp_path):
    write_official(tmp_path, IMAGES, identity="<html>Quota exceeded")
    with pytest.raises(LabkitError, match="identity_celeba is an HTML page"):
        open_source(tmp_path).annotation("identity")
