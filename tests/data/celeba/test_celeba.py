"""celeba(): the order of its sources, its labels, and what each wrong path gets."""

import json

import numpy as np
import pandas as pd
import pytest
from celeba_files import jpegs, labels, write_official

from labkit.data import celeba, olivetti
from labkit.data.celeba import celeba as celeba_module
from labkit.data.celeba import prepare as celeba_prepare
from labkit.data.given import path_for
from labkit.errors import LabkitError
from labkit.faces.faceset import FaceSet, Provenance
from labkit.faces.words import ATTRIBUTES

IMAGES = jpegs(70, seed=2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    return tmp_path / "cache" / "celeba"


@pytest.fixture
def source(tmp_path):
    return write_official(tmp_path / "data" / "celeba", IMAGES)


def test_without_photographs_faces_are_drawn_and_say_so():
    faces = celeba(synthetic_n=30)
    assert not faces.real and faces.provenance.label == "synthetic stand-in for CelebA" and len(faces) == 30


@pytest.mark.parametrize("by", ["argument", "variable", "folder above"])
def test_a_path_is_prepared_at_once_and_then_found_without_it(source, by, monkeypatch):
    place = source.parent if by == "folder above" else source
    if by == "variable":
        monkeypatch.setenv("LABKIT_DATA", str(place))
    faces = celeba(None if by == "variable" else place)
    drawn = labels(IMAGES)
    assert faces.real and faces.images.shape == (70, 3, 64, 64)
    assert faces.attribute_names == ATTRIBUTES and faces.attributes_known.all()
    np.testing.assert_array_equal(faces.attributes, drawn["attributes"])
    np.testing.assert_array_equal(faces.identity, drawn["identity"])
    np.testing.assert_array_equal(faces.split, drawn["partition"])
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setattr(celeba_prepare, "decode", None)
    assert celeba().checksum() == faces.checksum()


def test_pixels_stay_on_disk(source):
    images = celeba(source).images
    assert isinstance(images, np.memmap) and not images.flags.writeable


def test_rows_without_attributes_are_kept_and_masked(tmp_path):
    some = dict(list(IMAGES.items())[:20])
    from celeba_files import _official_attributes

    text = _official_attributes(some, labels(some)["attributes"])
    faces = celeba(write_official(tmp_path / "partly", IMAGES, attributes=text))
    assert len(faces) == 70 and faces.attributes_known.sum() == 20
    assert not faces.attributes[~faces.attributes_known].any()


def test_labels_that_are_lost_are_said_once(tmp_path, capsys):
    source = write_official(tmp_path / "source", IMAGES)
    table = source / "list_attr_celeba.txt"
    table.write_text(table.read_text().replace("000003.jpg", "3.jpg"))
    celeba(source)
    said = capsys.readouterr().out
    assert "labels: 1 × attributes: images without a row" in said and "identity from column 2" in said
    celeba(source)
    assert "labels:" not in capsys.readouterr().out


def test_a_prepared_folder_may_be_given(source, cache, tmp_path, monkeypatch):
    expected = celeba(source)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "elsewhere"))
    assert celeba(cache).checksum() == celeba(cache.parent).checksum() == expected.checksum()
    with pytest.raises(LabkitError, match="64x64: is prepared already"):
        celeba_module.prepare_celeba(cache, None, "64")
    assert not (tmp_path / "elsewhere").exists()
    for inside in (cache / "64x64", cache / "64x64" / "faces.npy"):
        assert celeba(inside).checksum() == expected.checksum()
        with pytest.raises(LabkitError, match="64x64: is prepared already"):
            celeba_module.prepare_celeba(inside, None, "64")
        with pytest.raises(LabkitError, match=r"prepared as 64x64, not as 128x128; .*--from PATH --size 128x128"):
            celeba(inside, size="128")


def test_labels_that_were_changed_after_the_set_was_prepared_are_not_taken(source, cache):
    """By a spreadsheet, which wrote them anew."""
    celeba(source)
    table = cache / "64x64" / "labels.csv"
    table.write_text(table.read_text().replace(",1,", ",0,"))
    with pytest.raises(LabkitError, match=r"labels.csv was changed after it had been prepared; delete that folder"):
        celeba()


def test_what_was_trained_with_other_labels_has_another_key(source):
    before = celeba(source)
    (source / "list_attr_celeba.txt").unlink()
    after = celeba(source)
    assert after.checksum() == before.checksum()
    assert after.key() != before.key() and after.provenance.checksum != before.provenance.checksum


@pytest.mark.parametrize("kind", ["missing", "empty folder", "text", "html zip"])
def test_a_wrong_path_is_one_sentence(tmp_path, kind):
    path = tmp_path / "given.zip" if kind == "html zip" else tmp_path / "given"
    if kind == "empty folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("<!DOCTYPE html><title>Quota exceeded</title>")
    with pytest.raises(LabkitError, match="given"):
        celeba(path)


def test_a_folder_of_the_other_data_set_alone_is_no_error(source, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "nothing"))
    (tmp_path / "other" / "olivetti").mkdir(parents=True)
    (tmp_path / "other" / "olivetti" / "olivetti_py3.pkz").write_bytes(b"damaged")
    assert not celeba(tmp_path / "other", synthetic_n=10).real
    assert olivetti(source.parent).provenance.stand_in_for == "Olivetti faces"
    with pytest.raises(LabkitError):
        olivetti(tmp_path / "other")


@pytest.mark.parametrize(
    ("made", "for_olivetti", "for_celeba"),
    [
        ("img_align_celeba.zip", False, True),
        ("celeba/list_attr_celeba.csv", False, True),
        ("olivetti/olivettifaces.mat", True, False),
        ("notes.txt", True, True),
    ],
)
def test_for_which_data_set_a_folder_is_meant(tmp_path, made, for_olivetti, for_celeba):
    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).write_bytes(b"")
    found = [path_for(name, tmp_path) is not None for name in ("olivetti", "celeba")]
    assert found == [for_olivetti, for_celeba]


def _array(pixels):
    def write(place):
        np.save(place / "faces.npy", pixels)

    return write


def _text(name, text):
    return lambda place: (place / name).write_text(text)


def _column(name, value):
    def write(place):
        table = pd.read_csv(place / "labels.csv")
        table.assign(**{name: value}).to_csv(place / "labels.csv", index=False)

    return write


@pytest.mark.parametrize(
    "damage",
    [
        _array(np.zeros((70, 3, 32, 32), np.uint8)),
        _array(np.zeros((70, 64, 64, 3), np.uint8)),
        _array(np.zeros((70, 3, 64, 64), np.float32)),
        _array(np.array([{}], object)),
        _text("faces.npy", ""),
        _text("faces.npy", "x" * 99),
        _text("labels.csv", ""),
        _text("labels.csv", "image,split\n000001.jpg,0\n"),
        _column("Male", "?"),
        _column("identity", "Bob"),
    ],
)
def test_what_is_not_a_prepared_set_is_a_sentence_with_its_folder(source, cache, damage):
    celeba(source)
    damage(cache / "64x64")
    report = json.loads((cache / "64x64" / "report.json").read_text())
    size = (cache / "64x64" / "faces.npy").stat().st_size
    (cache / "64x64" / "report.json").write_text(json.dumps(report | {"bytes": size}))
    with pytest.raises(LabkitError, match=r"64x64: .*delete that folder and prepare anew\.$"):
        celeba()


@pytest.mark.parametrize("change", [{"source": 1}, {"images": "many"}, {"dropped": []}, {"labels sha256": None}])
def test_a_report_of_another_shape_is_none(source, cache, change, capsys):
    celeba(source)
    path = cache / "64x64" / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert celeba_prepare.prepared_report(cache, "64x64") is None
    assert not celeba(synthetic_n=10).real
    assert "64x64: is a prepared set that is not whole" in capsys.readouterr().out
    with pytest.raises(LabkitError, match="64x64: is a prepared set that is not whole"):
        celeba(cache)


@pytest.mark.parametrize("given", [0, 1, 2, "no test"])
def test_a_part_that_is_empty_gets_people_of_training(tmp_path, capsys, given):
    partition = np.arange(70) // 60 if given == "no test" else np.full(70, given)
    person = np.arange(70) % 20
    source = write_official(tmp_path / "data" / "celeba", IMAGES, identity=person, partition=partition)
    faces = celeba(source)
    parts = [set(person[faces.split == part]) for part in range(3)]
    assert all(parts) and not parts[0] & parts[2] and len(parts[2]) == 5
    if given == "no test":
        np.testing.assert_array_equal(faces.split == 1, partition == 1)
    else:
        assert not parts[0] & parts[1] and not parts[1] & parts[2] and len(parts[1]) == 3
    for said in (capsys.readouterr().out, faces.provenance.source):
        assert "no image is marked for testing" in said and ("validation" in said) == (given != "no test")
    np.testing.assert_array_equal(celeba(source).split, faces.split)


def test_images_of_unknown_people_are_parted_one_by_one(tmp_path):
    faces = celeba(write_official(tmp_path / "data" / "celeba", IMAGES, identity=None, partition=None))
    assert np.bincount(faces.split, minlength=3).tolist() == [40, 13, 17]


def test_of_many_people_a_tenth_is_held_out():
    images = np.zeros((3000, 3, 1, 1), np.uint8)
    faces = FaceSet(images, Provenance("CelebA", True, "a folder"), identity=np.arange(3000))
    assert np.bincount(celeba_module.all_parts(faces).split).tolist() == [2430, 270, 300]
