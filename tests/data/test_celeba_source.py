"""open_source: the same images from every form, nothing believed, nothing written."""

import os
import pickle
import struct
import threading
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest
from celeba_files import jpegs, write_kaggle, write_official, write_zip

from labkit.data.celeba_source import IMAGE_BYTES, open_source
from labkit.data.safe_zip import UnreadableEntryError
from labkit.errors import LabkitError

IMAGES = jpegs(6, size=(24, 30))
ONE = IMAGES["000001.jpg"]


def official_zip(folder):
    return write_official(folder, IMAGES, zipped=True) / "img_align_celeba.zip"


def bare_folder(folder):
    write_official(folder, IMAGES)
    return folder / "img_align_celeba"


def jpegs_and_texts_together(folder):
    write_official(folder, IMAGES)
    for file in (folder / "img_align_celeba").iterdir():
        file.rename(folder / file.name)
    (folder / "img_align_celeba").rmdir()
    return folder


def google_drive_folders(folder):
    """Img, Anno and Eval, as the folder on Google Drive has it."""
    write_official(folder, IMAGES, zipped=True)
    for sub, name in {
        "Img": "img_align_celeba.zip",
        "Anno": "list_attr_celeba.txt",
        "Eval": "list_eval_partition.txt",
    }.items():
        (folder / sub).mkdir()
        (folder / name).rename(folder / sub / name)
    (folder / "identity_CelebA.txt").rename(folder / "Anno" / "identity_CelebA.txt")
    return folder


def with_leavings(folder):
    """A zip from a Mac, and pictures that are none of the data beside it."""
    members = {f"img_align_celeba/{name}": data for name, data in IMAGES.items()}
    members |= {f"__MACOSX/img_align_celeba/._{name}": b"\0\5\26\7" for name in IMAGES}
    write_official(folder, {}, attributes="a", identity="i", partition="p")
    write_zip(folder / "img_align_celeba.zip", members)
    (folder / "screenshot.png").write_bytes(ONE)
    return folder


def from_windows(folder):
    write_official(folder, {}, attributes="a", identity="i", partition="p")
    return write_zip(folder / "c.zip", {f"img_align_celeba\\{name}": data for name, data in IMAGES.items()})


def deflated(folder):
    write_official(folder, {}, attributes="a", identity="i", partition="p")
    return write_zip(folder / "img_align_celeba.zip", IMAGES, zipfile.ZIP_DEFLATED)


def kaggle(folder, zipped=False):
    return write_kaggle(folder, IMAGES, identity="i", zipped=zipped)


FORMS = {
    "official folder": lambda folder: write_official(folder, IMAGES),
    "official folder with the zip": lambda folder: official_zip(folder).parent,
    "official zip": official_zip,
    "bare folder": bare_folder,
    "jpegs and texts together": jpegs_and_texts_together,
    "google drive's folders": google_drive_folders,
    "zip in google drive's folders": lambda folder: google_drive_folders(folder) / "Img/img_align_celeba.zip",
    "kaggle folder": kaggle,
    "kaggle, outer folder": lambda folder: kaggle(folder) / "img_align_celeba",
    "kaggle, inner folder": lambda folder: kaggle(folder) / "img_align_celeba/img_align_celeba",
    "kaggle folder with the zip": lambda folder: kaggle(folder, zipped=True),
    "kaggle zip": lambda folder: kaggle(folder, zipped=True) / "archive.zip",
    "with leavings": with_leavings,
    "from windows": from_windows,
    "deflated": deflated,
}


def tree(folder):
    return {
        path: (path.lstat().st_mtime_ns, path.lstat().st_size, path.lstat().st_ino)
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_and_finds_all_annotations(tmp_path, form):
    path = FORMS[form](tmp_path / "celeba")
    before = tree(tmp_path)
    source = open_source(path)
    assert source.images == tuple(IMAGES)
    assert {name: source.read(name) for name in source.images} == IMAGES
    assert all(source.annotation(kind) for kind in ("attributes", "identity", "partition"))
    assert source.path == path and tree(tmp_path) == before
    leavings = 7 if form == "with leavings" else 0
    assert sum(reason == "not an image name" for reason in source.dropped.values()) <= leavings
    assert leavings or source.dropped == {}


def test_annotations_are_the_texts_and_may_be_missing(tmp_path):
    write_official(tmp_path / "c", IMAGES, attributes=None, identity="000001.jpg 7\n", partition="\xe9 0")
    source = open_source(tmp_path / "c")
    assert source.annotation("attributes") is None
    assert source.annotation("identity") == "000001.jpg 7\n"
    (tmp_path / "c" / "list_eval_partition.txt").write_bytes(b"\xe9 0")
    assert source.annotation("partition") == "\N{REPLACEMENT CHARACTER} 0"
    assert "6 images with identity and partition." in source.describe()


def test_inside_comes_before_beside_and_txt_before_csv(tmp_path):
    members = {f"img_align_celeba/{name}": data for name, data in IMAGES.items()}
    members |= {"identity_CelebA.csv": b"inside csv", "deep/list_attr_celeba.txt": b"deep"}
    members |= {
        "list_attr_celeba.txt": b"inside",
        "list_eval_partition.csv": b"csv",
        "list_eval_partition.txt": b"txt",
    }
    write_zip(tmp_path / "all.zip", members)
    for name in ("list_attr_celeba.txt", "identity_CelebA.txt"):
        (tmp_path / name).write_text("beside")
    source = open_source(tmp_path / "all.zip")
    assert [source.annotation(kind) for kind in ("attributes", "identity", "partition")] == [
        "inside", "inside csv", "txt"
    ]  # fmt: skip


def test_a_damaged_zip_beside_the_unpacked_images_does_not_matter(tmp_path):
    write_official(tmp_path, IMAGES)
    (tmp_path / "img_align_celeba.zip").write_bytes(b"PK\3\4 broken off")
    assert len(open_source(tmp_path).images) == 6


def test_names_of_any_kind_are_kept(tmp_path):
    names = ["1.JPG", "Anna Ünal.jpeg", "x.PnG", "000001.jpg"]
    source = open_source(write_official(tmp_path / "c", dict.fromkeys(names, ONE)))
    assert source.images == tuple(sorted(names)) and source.read("1.JPG") == ONE
    with pytest.raises(UnreadableEntryError, match="no such image") as caught:
        source.read("2.jpg")
    assert caught.value.reason == "no such image"


def _read_all(source):
    return {name: source.read(name) for name in source.images}


@pytest.mark.parametrize("form", ["official zip", "official folder"])
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_another_process_reads_after_unpickling(tmp_path, form, method):
    source = open_source(FORMS[form](tmp_path / "celeba"))
    source.read("000003.jpg")
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        for result in [pool.submit(_read_all, source) for _ in range(4)]:
            assert result.result() == IMAGES
    assert pickle.loads(pickle.dumps(source)) == source


def test_threads_and_forks_do_not_share_a_position_in_the_file(tmp_path):
    source = open_source(official_zip(tmp_path / "c"))
    start = threading.Barrier(4)

    def work(_):
        start.wait(10)
        return all(_read_all(source) == IMAGES for _ in range(100))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    source.read("000002.jpg")
    position = source._container._stream().tell()
    child = os.fork()
    if not child:
        os._exit(0 if _read_all(source) == IMAGES else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert source._container._stream().tell() == position


def test_reading_does_not_go_through_the_list_again(tmp_path, monkeypatch):
    source = open_source(official_zip(tmp_path / "c"))
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert _read_all(pickle.loads(pickle.dumps(source))) == IMAGES


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
    assert {name: source.read(name) for name in source.images} == {
        name: IMAGES[name] for name in source.images
    }
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
        "\\xff.jpg": "not an image name",
        "more": "symbolic link",
        "list_attr_celeba.txt": "symbolic link",
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
    assert _read_all(open_source(tmp_path / "link")) == IMAGES


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
    with pytest.raises(LabkitError, match="no images found"):
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
    assert "it holds x/img.zip, so unpack that" in refused(
        write_zip(tmp_path / "o.zip", {"x/img.zip": inner})
    )
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


def test_the_real_files(real_data):
    source = open_source(real_data / "celeba")
    assert len(source.images) == 4800 and source.dropped == {}
    assert all(source.read(name).startswith(b"\xff\xd8\xff") for name in source.images[::100])
