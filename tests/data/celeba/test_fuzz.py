"""Damaged copies of CelebA, 20 of each kind: an error in words or a counted drop; only the target is written."""

import io
import os
import time
import zipfile

import numpy as np
import pytest
from celeba_files import jpegs, labels, write_kaggle, write_official, write_zip
from PIL import Image

from labkit.data.celeba.labels import read_labels
from labkit.data.celeba.listing import IMAGE_BYTES
from labkit.data.celeba.prepare import prepare, read_table
from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError
from labkit.faces.words import ATTRIBUTES

IMAGES = jpegs(12)
TRUTH = labels(IMAGES)
KINDS_OF_TEXT = ("list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt")
CASES = 20
SECONDS = 5.0


def truncated(folder, random):
    path = write_official(folder, IMAGES, zipped=True) / "img_align_celeba.zip"
    data = path.read_bytes()
    path.write_bytes(data[: random.integers(0, len(data))])


def flipped_bytes(folder, random):
    """Anywhere in the zip, most often in its directory, where all the headers are."""
    path = write_kaggle(folder, IMAGES, zipped=True) / "archive.zip"
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\1\2") if random.random() < 0.7 else 0
    for _ in range(random.integers(1, 30)):
        data[random.integers(first, len(data))] = random.integers(256)
    path.write_bytes(data)


def escaping_entries(folder, random):
    ups = ["../", "/", "..\\", "C:\\", "a/../../", "./../", "//", "\\\\host\\", "x/..\\../", "c:"]
    hostile = {f"{random.choice(ups)}{random.integers(99)}evil{random.integers(9)}.jpg": b"evil" for _ in range(5)}
    hostile |= {f"{random.choice(ups)}{name}": b"evil" for name in KINDS_OF_TEXT}
    items = list((hostile | IMAGES).items())
    random.shuffle(items)
    folder.mkdir()
    write_zip(folder / "img_align_celeba.zip", dict(items))


def links(folder, random):
    if random.random() < 0.5:
        write_official(folder, dict(list(IMAGES.items())[:6]), **{kind: TRUTH[kind][:6] for kind in TRUTH})
        for name in list(IMAGES)[6:]:
            goal = random.choice(["/etc/passwd", "../..", "000001.jpg", name, "/dev/zero", "/proc/self/mem"])
            (folder / "img_align_celeba" / name).symlink_to(goal)
        (folder / "out").symlink_to(random.choice(["/", "..", "/etc", "."]))
    else:
        folder.mkdir()
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
            for name, data in IMAGES.items():
                info = zipfile.ZipInfo(f"img_align_celeba/{name}")
                is_link = random.random() < 0.5
                info.external_attr = (0o120777 if is_link else 0o100644) << 16
                archive.writestr(info, b"/etc/passwd" if is_link else data)


def bombs(folder, random):
    folder.mkdir()
    swollen = {f"bomb{index}.jpg": bytes(int(random.integers(1e5, 3e7))) for index in range(2)}
    path = write_zip(folder / "img_align_celeba.zip", IMAGES | swollen, zipfile.ZIP_DEFLATED)
    if random.random() < 0.7:
        data = bytearray(path.read_bytes())
        at = data.rindex(b"PK\1\2") + 24
        data[at : at + 4] = int(random.integers(0, 60_000)).to_bytes(4, "little")
        path.write_bytes(data)


def pages(folder, random):
    page = b"\n" * random.integers(3) + b"<!DOCTYPE html><html><title>Quota exceeded</title>" + random.bytes(50)
    write_official(folder, IMAGES, zipped=True)
    for name in random.choice(["img_align_celeba.zip", *KINDS_OF_TEXT], random.integers(1, 4)):
        (folder / name).write_bytes(page)


def encrypted_and_other_flags(folder, random):
    path = write_official(folder, IMAGES, zipped=True) / "img_align_celeba.zip"
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    while at >= 0:
        data[at + 8 + random.integers(4)] = random.integers(256)
        at = data.find(b"PK\1\2", at + 4)
    path.write_bytes(data)


def odd_folder(folder, random):
    write_official(folder, IMAGES)
    inner = folder / "img_align_celeba"
    for index in range(8):
        name = os.fsdecode(random.choice([b"\xff", b"a\nb", b".", b"x" * 200, b"\xe2\x80\xae"])) + f"{index}.jpg"
        match random.integers(4):
            case 0:
                os.mkfifo(inner / name)
            case 1:
                (inner / name).mkdir()
            case 2:
                (inner / name).write_bytes(random.bytes(random.integers(0, 30)))
            case 3:
                with open(inner / name, "wb") as stream:
                    stream.truncate(int(random.integers(IMAGE_BYTES, 10**10)))


def damaged_images(folder, random):
    """Cut, changed, empty, of another format, colour space or size."""
    images = dict(IMAGES)
    for name in random.choice(list(IMAGES), 6, replace=False):
        data = IMAGES[name]
        match random.integers(6):
            case 0:
                images[name] = data[: random.integers(len(data))]
            case 1:
                places = bytearray(data)
                for _ in range(random.integers(1, 20)):
                    places[random.integers(len(data))] = random.integers(256)
                images[name] = bytes(places)
            case 2:
                images[name] = random.choice([b"", b"\xff\xd8\xff", b"<html>"])
            case 3:
                images[name] = encoded("RGB", "PNG")
            case 4:
                images[name] = encoded(random.choice(["L", "CMYK"]), "JPEG")
            case 5:
                images[name] = encoded("RGB", "JPEG", tuple(random.integers(1, 400, 2).tolist()))
    write_official(folder, images, zipped=bool(random.integers(2)))


def encoded(mode, kind, size=(178, 218)):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind)
    return stream.getvalue()


def changed_text(change):
    """A damage to the lines of one annotation file, official or csv, the others left whole."""

    def damage(folder, random):
        write = random.choice([write_official, write_kaggle])
        write(folder, IMAGES, identity=TRUTH["identity"])
        texts = sorted([*folder.glob("*.txt"), *folder.glob("*.csv")])
        path = texts[random.integers(len(texts))]
        path.write_bytes(change(path.read_text(), random).encode("utf-8", "surrogateescape"))

    damage.__name__ = change.__name__
    return damage


def lying_count(text, random):
    lines = text.splitlines()
    start = 1 if len(lines[0].split()) == 1 else 0
    return "\n".join([str(random.integers(0, 10**8)), *lines[start:]])


def other_line_ends(text, random):
    return random.choice(["", "\ufeff"]) + text.replace("\n", random.choice(["\r\n", "\r", "\n\n", " \t\n"]))


def bad_values(text, random):
    lines = text.splitlines()
    for index in random.integers(2, len(lines), 4):
        fields = lines[index].replace(",", " ").split()
        fields[random.integers(1, len(fields))] = random.choice(["2", "-2", "x", "1.5", "nan", "", "٣", "9" * 400])
        lines[index] = (", " if "," in lines[index] else " ").join(fields)
    return "\n".join(lines)


def repeated_and_missing_rows(text, random):
    head, rows = text.splitlines()[:2], text.splitlines()[2:]
    order = random.integers(0, len(rows), random.integers(0, 30))
    return "\n".join([*head, *(rows[index] for index in order)])


def other_images(text, random):
    return text.replace("00000", random.choice(["10000", "0000", "../00000", "\0", "00000 "]))


def cut_text(text, random):
    return text[: random.integers(0, len(text))]


def noise(text, random):
    data = bytearray(text.encode())
    for _ in range(random.integers(1, 200)):
        data[random.integers(len(data))] = random.integers(256)
    return data.decode("utf-8", "surrogateescape")


def other_header(folder, random):
    """Columns in another order, sometimes one too few or renamed: right, or an error that names the column."""
    order = random.permutation(40)
    names = [ATTRIBUTES[index] for index in order]
    if random.random() < 0.4:
        names[random.integers(40)] = random.choice(["Freckles", "Bald", ""])
    rows = [f"{name} " + " ".join(map(str, 2 * row[order] - 1)) for name, row in zip(IMAGES, TRUTH["attributes"] * 1)]
    write_official(folder, IMAGES, attributes="\n".join(["12", " ".join(names), *rows]))


DAMAGES = [
    damaged_images, truncated, flipped_bytes, escaping_entries, links, bombs, pages, encrypted_and_other_flags,
    odd_folder, other_header,
    *map(changed_text, (lying_count, other_line_ends, bad_values, repeated_and_missing_rows, other_images, cut_text)),
    changed_text(noise),
]  # fmt: skip
# After these, what is said to be known is the truth; noise and cuts can make a 1 of a −1, or a 7 of a 17.
HONEST = (
    "lying_count",
    "other_line_ends",
    "repeated_and_missing_rows",
    "other_header",
    "links",
    "pages",
    "odd_folder",
)


def snapshot(folder):
    found = {path: path.lstat() for path in [folder, *folder.rglob("*")]}
    return {path: (status.st_ino, status.st_size, status.st_mtime_ns) for path, status in found.items()}


def read_everything(folder):
    """Problems met in words; all else is asserted."""
    try:
        source = open_source(folder)
    except LabkitError as error:
        return str(error), None, None
    assert list(source.images) == sorted(set(source.images)) and source.images
    assert not any("/" in name or "\\" in name or name in (".", "..") for name in source.images)
    source.describe().encode()
    for name in source.images:
        try:
            data = source.read(name)
        except LabkitError as error:
            assert str(error)
        else:
            assert len(data) <= IMAGE_BYTES and data != b"evil" and b"root:" not in data
    try:
        found = read_labels(source, source.images)
    except LabkitError as error:
        return str(error), source, None
    return "", source, found


def prepare_anyway(source, target):
    """What is prepared is whole, and kept and left out add up."""
    try:
        report = prepare(source, 64, 64, target, progress=False)
    except LabkitError as error:
        return str(error)
    faces = np.load(target / "64x64" / "faces.npy")
    assert len(faces) == len(read_table(target / "64x64")) == report["images"]
    assert report["images"] + len(report["dropped files"]) == len(source.images) + len(source.dropped)
    assert {path.name for path in target.iterdir()} == {".lock", "64x64"}
    return ""


def assert_labels_fit(found, source):
    count = len(source.images)
    assert found.attributes.shape == (count, 40) and found.attributes_known.shape == (count,)
    assert not found.attributes[~found.attributes_known].any()
    assert np.isin(found.split, (0, 1, 2)).all() and (found.identity >= -1).all()
    assert all(isinstance(number, int) and number > 0 for number in found.problems.values())


def assert_labels_true(found, source):
    """Known labels of the twelve images are those that were drawn."""
    names = list(IMAGES)
    for index, name in enumerate(source.images):
        if name in names:
            truth = names.index(name)
            if found.attributes_known[index]:
                np.testing.assert_array_equal(found.attributes[index], TRUTH["attributes"][truth])
            assert found.identity[index] in (-1, TRUTH["identity"][truth])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_met_with_words_or_counts(tmp_path, tmp_path_factory, damage):
    assert len(DAMAGES) * CASES >= 200
    for seed in range(CASES):
        folder = tmp_path / f"case{seed}"
        damage(folder, np.random.default_rng([seed, len(damage.__name__)]))
        before, start = snapshot(tmp_path), time.monotonic()
        message, source, found = read_everything(folder)
        assert time.monotonic() - start < SECONDS, f"seed {seed} hangs"
        assert snapshot(tmp_path) == before, f"seed {seed} writes"
        assert message == "" or (message.endswith(".") and "\n" not in message), f"seed {seed}: {message}"
        if found is not None:
            assert_labels_fit(found, source)
            if damage.__name__ in HONEST:
                assert_labels_true(found, source)
            message = prepare_anyway(source, tmp_path_factory.mktemp("target"))
            assert snapshot(tmp_path) == before, f"seed {seed} writes outside its target"
            assert message == "" or "none of its images" in message, f"seed {seed}: {message}"
