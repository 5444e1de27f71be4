"""open_source: the same images from every form, nothing believed, nothing written."""

import os
import pickle
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from celeba_files import (
    IMAGES,
    ONE,
    jpegs,
    official_zip,
    read_all,
    tree,
    write_kaggle,
    write_official,
    write_zip,
)

from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError
from labkit.safe_zip import UnreadableEntryError


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


def outer_folder(folder, name):
    """Kaggle's folder as a browser or another system named it; its tables lie beside it."""
    kaggle(folder)
    return (folder / "img_align_celeba").rename(folder / name)


def link(folder):
    kaggle(folder)
    (folder.parent / "faces").symlink_to(folder / "img_align_celeba" / "img_align_celeba")
    return folder.parent / "faces"


def zips_of_google_drive(folder):
    folder.mkdir()
    official = google_drive_folders(folder.parent / "whole")
    for name in ("Anno", "Eval", "Img"):
        files = [file for file in (official / name).iterdir() if file.suffix != ".zip"]
        write_zip(folder / f"{name}-20261130-001.zip", {f"{name}/{file.name}": file.read_bytes() for file in files})
    write_zip(folder / "Img-20261130-001.zip", {f"Img/img_align_celeba/{n}": data for n, data in IMAGES.items()})
    return folder


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
    "kaggle, outer folder, downloaded again": lambda folder: outer_folder(folder, "img_align_celeba (1)"),
    "kaggle, outer folder, in capitals": lambda folder: outer_folder(folder, "IMG_ALIGN_CELEBA"),
    "kaggle, from within": lambda folder: kaggle(folder) / "img_align_celeba" / "img_align_celeba" / "..",
    "a link to the images": link,
    "a zip for each of google drive's folders": zips_of_google_drive,
    "from windows": from_windows,
    "deflated": deflated,
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


def test_further_zips_of_images_are_named(tmp_path):
    halves = list(IMAGES.items())
    for number, half in enumerate((halves[:3], halves[3:])):
        write_zip(tmp_path / f"img_align_celeba-{number}.zip", dict(half))
    source = open_source(tmp_path)
    assert len(source.images) == 3
    assert "unpack all of them into one folder" in source.dropped["img_align_celeba-1.zip"]


@pytest.mark.parametrize("name", ["img_align_celeba/000001.jpg", "list_attr_celeba.txt"])
def test_one_file_of_it_is_said_to_be_one(tmp_path, name):
    with pytest.raises(LabkitError, match="is one file of CelebA; give the folder that holds it"):
        open_source(write_official(tmp_path / "celeba", IMAGES) / name)


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


def test_threads_and_forks_do_not_share_a_position_in_the_file(tmp_path):
    source = open_source(official_zip(tmp_path / "c"))
    start = threading.Barrier(4)

    def work(_):
        start.wait(10)
        return all(read_all(source) == IMAGES for _ in range(100))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    source.read("000002.jpg")
    position = source._container._stream().tell()
    child = os.fork()
    if not child:
        os._exit(0 if read_all(source) == IMAGES else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert source._container._stream().tell() == position


def test_reading_does_not_go_through_the_list_again(tmp_path, monkeypatch):
    source = open_source(official_zip(tmp_path / "c"))
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert read_all(pickle.loads(pickle.dumps(source))) == IMAGES


def test_the_real_files(real_data):
    source = open_source(real_data / "celeba")
    assert len(source.images) == 4800 and source.dropped == {}
    assert all(source.read(name).startswith(b"\xff\xd8\xff") for name in source.images[::100])


@pytest.mark.parametrize("inner", ["img_align_celeba.zip", "img_align_celeba"])
@pytest.mark.parametrize("name", ["Img", "img"])
def test_the_official_img_folder_finds_anno_and_eval_beside_it(tmp_path, inner, name):
    google_drive_folders(tmp_path)
    (tmp_path / "Img").rename(tmp_path / "moved")
    folder = (tmp_path / "moved").rename(tmp_path / name)
    if inner == "img_align_celeba":
        with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
            archive.extractall(folder)
        (folder / "img_align_celeba.zip").unlink()
    assert open_source(folder).annotations == ["attributes", "identity", "partition"]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("thumbs", ["a_thumbnails", "img", "zz"])
def test_thumbnails_of_the_same_names_give_way_to_the_aligned_images(tmp_path, zipped, thumbs):
    small = jpegs(6, seed=3, size=(8, 8))
    members = {f"{thumbs}/{name}": data for name, data in small.items()}
    members |= {f"img_align_celeba/{name}": data for name, data in IMAGES.items()}
    path = tmp_path / "c"
    path.mkdir()
    if zipped:
        path = write_zip(path / "all.zip", members)
    else:
        for name, data in members.items():
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_bytes(data)
    source = open_source(path)
    assert read_all(source) == IMAGES and list(source.dropped.values()) == ["duplicate name"] * 6


def test_the_fingerprint_is_of_names_sizes_and_tables(tmp_path):
    path = write_official(tmp_path / "c", IMAGES)
    first = open_source(path).fingerprint()
    assert open_source(path).fingerprint() == first
    (path / "identity_CelebA.txt").write_text("000001.jpg 3\n")
    changed = open_source(path).fingerprint()
    assert {part for part in first if first[part] != changed[part]} == {"identity"}


@pytest.mark.parametrize(
    "name", ["list_attr_celeba (1).txt", "LIST_ATTR_CELEBA.TXT.txt", "list_attr_celeba-fixed.tsv"]
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_table_is_known_also_by_the_name_that_a_browser_or_an_editor_gave_it(tmp_path, name, beside):
    write_official(tmp_path, IMAGES, identity=None, partition=None)
    (tmp_path / "list_attr_celeba.txt").rename(tmp_path / name)
    assert open_source(tmp_path / "img_align_celeba" if beside else tmp_path).annotations == ["attributes"]


@pytest.mark.parametrize(
    "name",
    [
        *("list_attr_celeba.xlsx", "list_attr_celeba.txt.gz", "list_attr_celeba.csv.zip", "my_attributes.csv"),
        *("metadata.jsonl", "identity.txt", "link.txt", "labels.csv"),
    ],
)
def test_a_table_that_is_not_read_is_named_with_what_to_do(tmp_path, name):
    write_official(tmp_path / "faces", IMAGES, identity=None, partition=None)
    given = tmp_path / "faces" / "list_attr_celeba.txt"
    if name == "link.txt":
        given.rename(tmp_path / name)
        os.symlink(tmp_path / name, given)
    else:
        given.rename(given.with_name(name))
    said = " ".join(open_source(tmp_path / "faces").dropped.values())
    assert any(
        remedy in said
        for remedy in ("save it as csv", "call it list_attr_celeba.csv", "identity_celeba.csv", "put there")
    )


def test_the_table_of_a_prepared_set_is_no_stranger(tmp_path):
    write_official(tmp_path, IMAGES)
    (tmp_path / "64x64").mkdir()
    (tmp_path / "64x64" / "labels.csv").write_text("name\n")
    assert not open_source(tmp_path).dropped


@pytest.mark.parametrize("name", ["faces.tar", "img_align_celeba.7z", "faces.tar.gz", "CelebA.rar"])
def test_an_archive_that_is_not_read_is_to_be_unpacked(tmp_path, name):
    (tmp_path / name).write_bytes(b"any")
    with pytest.raises(LabkitError, match="an archive that is not read: unpack it"):
        open_source(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux")
def test_a_file_that_opens_and_cannot_be_read_is_a_sentence():
    with pytest.raises(LabkitError, match="cut short or damaged"):
        open_source("/proc/self/mem")


def test_a_link_that_leads_nowhere_for_ever_is_left_out(tmp_path):
    folder = write_official(tmp_path / "celeba", jpegs(3))
    (tmp_path / "loop").symlink_to("loop")
    (folder / "img_align_celeba" / "000009.jpg").symlink_to(tmp_path / "loop")
    source = open_source(folder)
    assert len(source.images) == 3 and "img_align_celeba/000009.jpg" in source.dropped
