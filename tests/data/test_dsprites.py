"""dsprites(): the geometry of the drawn sprites, and what each kind of file gets.

`official` makes a small set of its own in the place of the authors' file, so that reading runs without it.
"""

import hashlib
import importlib
import math
import pickle
import zipfile

import numpy as np
import pytest
import torch

from labkit.data import dsprites
from labkit.drawn.sprites import draw_sprites
from labkit.errors import LabkitError

MODULE = importlib.import_module("labkit.data.dsprites")
SMALL = (
    np.arange(3.0),
    np.linspace(0.5, 1, 2),
    np.linspace(0, 6, 4),
    np.linspace(0, 1, 3),
    np.linspace(0, 1, 5),
)
COUNT = 3 * 2 * 4 * 3 * 5


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache and no LABKIT_DATA; the folder of the cache."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    return tmp_path / "cache" / "dsprites"


@pytest.fixture(scope="module")
def drawn():
    return dsprites(device="cpu")


def pixels():
    return np.random.default_rng(0).integers(0, 2, (COUNT, 64, 64), dtype=np.uint8)


def classes():
    order = np.indices([len(level) for level in SMALL]).reshape(5, -1).T
    return np.ascontiguousarray(np.insert(order, 0, 0, axis=1))


def write(path, monkeypatch, **members):
    """A file of the official form with these members in place of good ones; the loader takes it for the official."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"imgs": pixels(), "latents_classes": classes()} | members
    np.savez_compressed(path, metadata=np.array({"a": Trap(path)}, dtype=object), **content)
    monkeypatch.setattr(MODULE, "LEVELS", SMALL)
    monkeypatch.setattr(MODULE, "COUNT", COUNT)
    monkeypatch.setattr(MODULE, "GIT_BLOB", MODULE.git_blob(path))
    monkeypatch.setattr(MODULE, "ROWS_AT_ONCE", 64)
    return path


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path) + ".sprung", "w")


@pytest.fixture
def official(tmp_path, monkeypatch):
    return write(tmp_path / "given" / MODULE.FILE, monkeypatch)


def picture(shape=0, scale=1.0, angle=0.0, x=0.5, y=0.5):
    arguments = (torch.tensor([float(value)]) for value in (scale, angle, x, y))
    return (draw_sprites(torch.tensor([shape]), *arguments)[0, 0] > 0).numpy()


def extent(mask):
    """Left, right, top, bottom of the white pixels, both ends included."""
    rows, columns = np.nonzero(mask)
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_the_grid_is_the_published_one(drawn):
    assert drawn.sizes == (3, 6, 40, 32, 32) and len(drawn) == 737_280
    assert drawn.factor_names == ("shape", "scale", "orientation", "posX", "posY")
    assert drawn.categorical == ("shape",)
    np.testing.assert_allclose(drawn.levels[1], [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert drawn.levels[2][1] == pytest.approx(0.16110732) and drawn.levels[2][-1] == pytest.approx(2 * math.pi)
    assert drawn.indices_of(np.array([32])).tolist() == [[0, 0, 0, 1, 0]]


def test_every_picture_is_white_on_black_and_stays_inside(drawn):
    images = drawn.images(drawn.sample(3000, seed=1))
    assert images.shape == (3000, 1, 64, 64) and images.dtype == torch.uint8
    assert set(images.unique().tolist()) == {0, 255}
    border = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], -1)
    assert not border.any()


def test_squares_grow_by_two_pixels_a_step_from_ten_to_twenty(drawn):
    """As in the authors' animation: at orientation 0 the sides are 10, 12, … 20 pixels, from (11, 11)."""
    levels = np.array([[0, scale, 0, 0, 0] for scale in range(6)])
    sides = drawn.images(levels).bool()[:, 0]
    assert [int(side.sum()) for side in sides] == [side * side for side in (10, 12, 14, 16, 18, 20)]
    assert extent(sides[0].numpy()) == (11, 20, 11, 20)
    assert extent(sides[5].numpy()) == (6, 25, 6, 25)


@pytest.mark.parametrize(
    ("shape", "scale", "box", "area"),
    [
        (1, 0.5, (10, 21, 12, 19), 76),
        (1, 1.0, (3, 28, 9, 22), 288),
        (2, 0.5, (11, 20, 11, 19), 58),
        (2, 1.0, (6, 25, 7, 23), 222),
    ],
)
def test_sizes_are_those_of_the_animation(shape, scale, box, area):
    """Extents and areas counted in the authors' animation, at orientation 0 and position (0, 0)."""
    drawn = picture(shape, scale, 0, 0, 0)
    assert extent(drawn) == box
    assert drawn.sum() == pytest.approx(area, abs=4)


def test_the_area_does_not_depend_on_the_orientation():
    for shape, area in ((0, 369), (1, 289), (2, 225)):
        turned = [picture(shape, 1.0, angle).sum() for angle in np.linspace(0.2, 6, 15)]
        np.testing.assert_allclose(turned, area, rtol=0.03)


def test_positions_move_to_the_right_and_down():
    for shape in range(3):
        corner = np.array(extent(picture(shape, x=0, y=0)))
        assert (np.array(extent(picture(shape, x=1, y=0))) - corner).tolist() == [32, 32, 0, 0]
        assert (np.array(extent(picture(shape, x=0, y=0.5))) - corner).tolist() == [0, 0, 16, 16]


def test_orientation_is_counter_clockwise():
    """The tip of a heart points down at 0, to the right at a quarter turn, up at a half."""
    heart = picture(2)
    assert np.array_equal(heart, heart[:, ::-1])
    assert heart[40].sum() == 0 and heart[25].sum() > 0  # the notch side is wide, the tip reaches to row 39
    widths = heart.sum(1)[heart.any(1)]
    assert widths[-1] <= 2 < 8 < widths[0]
    for quarter in (1, 2, 3):
        turned = picture(2, angle=quarter * math.pi / 2)
        assert np.mean(turned != np.rot90(heart, quarter)) < 0.001
    ellipse = picture(1, angle=0.8)  # its right end is raised: more white above right than below right
    assert ellipse[:32, 32:].sum() > 1.5 * ellipse[32:, 32:].sum()


def test_symmetries():
    assert np.array_equal(picture(0, angle=0.3), picture(0, angle=0.3 + math.pi / 2))
    assert np.array_equal(picture(1, angle=0.3), picture(1, angle=0.3 + math.pi))
    assert not np.array_equal(picture(2, angle=0.3), picture(2, angle=0.3 + math.pi))
    assert len({picture(shape).tobytes() for shape in range(3)}) == 3


def test_a_face_set_of_it_says_what_it_is(drawn, capsys):
    faces = drawn.face_set(1500, seed=3)
    assert faces.images.shape == (1500, 1, 64, 64) and faces.factor_names == drawn.factor_names
    indices = drawn.sample(1500, seed=3)
    assert np.array_equal(faces.factors, drawn.values(indices))
    assert np.array_equal(faces.images[1200:], drawn.images(indices[1200:]).numpy())
    assert len(np.unique(indices, axis=0)) == 1500
    assert not np.array_equal(indices, drawn.sample(1500, seed=4))
    assert faces.provenance.label == "synthetic stand-in for dSprites"
    dsprites()
    assert "DRAWN by labkit" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [[[0, 0, 0, 0]], [[0, 0, 0, 0, 32]], [[0, -1, 0, 0, 0]], [[0.0] * 5]])
def test_bad_indices_are_refused(drawn, wrong):
    with pytest.raises(LabkitError, match="indices"):
        drawn.images(np.array(wrong))


def test_too_large_a_sample_is_refused(drawn):
    with pytest.raises(LabkitError, match="737,280"):
        drawn.sample(737_281)


@pytest.mark.parametrize("form", ["file", "folder", "subfolder", "environment"])
def test_the_real_file_is_read_by_factor(official, monkeypatch, form):
    path = official
    if form == "subfolder":
        path = official.parent / "dsprites" / official.name
        path.parent.mkdir()
        official.rename(path)
    given = path if form == "file" else official.parent
    if form == "environment":
        monkeypatch.setenv("LABKIT_DATA", str(given))
        given = None
    grid = dsprites(given)
    indices = grid.indices_of(np.arange(COUNT)[::-7])
    expected = pixels()[::-7][:, None] * 255
    assert np.array_equal(grid.images(indices).numpy(), expected)
    assert grid.provenance.real and grid.provenance.label == "dSprites"
    faces = grid.face_set(10)
    assert faces.describe().value["kind"] == "real pictures as published"


def test_the_pickle_inside_is_never_loaded(official):
    dsprites(official).images(np.zeros((1, 5), int))
    sprung = official.with_name(official.name + ".sprung")
    assert not sprung.exists()
    with zipfile.ZipFile(official) as archive:
        stream = archive.open("metadata.npy")
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        pickle.load(stream)
    assert sprung.exists()  # the trap was armed


def test_it_is_packed_once_and_then_needs_the_file_no_more(official, cache):
    first = dsprites(official).face_set(50).images
    (packed,) = cache.glob("*.npy")
    assert packed.stat().st_size == COUNT * 512 + 128
    official.unlink()
    again = dsprites()
    assert again.provenance.real and np.array_equal(again.face_set(50).images, first)
    packed.write_bytes(packed.read_bytes()[:-9])
    assert not dsprites().provenance.real


@pytest.mark.parametrize("lost", [slice(-9), slice(0)])
def test_damaged_pictures_are_packed_anew(official, cache, lost):
    dsprites(official)
    (packed,) = cache.glob("*.npy")
    whole = packed.read_bytes()
    packed.write_bytes(whole[lost])
    official.rename(cache / official.name)
    assert dsprites().provenance.real
    assert packed.read_bytes() == whole


def test_a_file_in_the_cache_is_found(official, cache):
    cache.mkdir(parents=True)
    official.rename(cache / official.name)
    assert dsprites().provenance.real


@pytest.mark.parametrize("packed", [False, True])
def test_another_file_of_that_name_is_refused(official, packed):
    if packed:
        dsprites(official)
    with open(official, "ab") as stream:
        stream.write(b"x")
    with pytest.raises(LabkitError, match="git names it"):
        dsprites(official)


@pytest.mark.parametrize(
    "members",
    [
        {"imgs": pixels()[:-1]},
        {"imgs": pixels() * 255},
        {"imgs": pixels().astype(np.float32)},
        {"latents_classes": classes()[::-1]},
        {"latents_classes": np.roll(classes(), 1, 1)},
    ],
)
def test_a_file_of_another_content_is_refused(tmp_path, monkeypatch, cache, members):
    path = write(tmp_path / MODULE.FILE, monkeypatch, **members)
    with pytest.raises(LabkitError, match="not the official"):
        dsprites(path)
    assert not list(cache.glob("*"))


def test_no_archive_at_all_is_refused(tmp_path, monkeypatch):
    path = tmp_path / MODULE.FILE
    path.write_bytes(b"<html>quota</html>")
    monkeypatch.setattr(MODULE, "GIT_BLOB", MODULE.git_blob(path))
    with pytest.raises(LabkitError, match="not the official"):
        dsprites(path)


def test_a_wrong_path_is_named(tmp_path):
    with pytest.raises(LabkitError, match="nowhere: there is no such file"):
        dsprites(tmp_path / "nowhere")
    with pytest.raises(LabkitError, match=MODULE.FILE):
        dsprites(tmp_path)


def test_a_folder_of_other_data_says_nothing_of_dsprites(tmp_path):
    (tmp_path / "img_align_celeba.zip").touch()
    assert not dsprites(tmp_path).provenance.real


def test_offline_the_network_is_not_asked(monkeypatch):
    monkeypatch.setattr(MODULE, "fetch", lambda *_, **__: pytest.fail("asked the network"))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    assert not dsprites().provenance.real


@pytest.mark.parametrize("whole", [True, False])
def test_a_download_is_held_to_the_name_that_git_gives_it(official, server, monkeypatch, cache, whole):
    content = official.read_bytes()
    monkeypatch.setattr(MODULE, "ADDRESS", server.address(server.reply(content if whole else content[:-1])))
    monkeypatch.setenv("LABKIT_OFFLINE", "0")
    assert dsprites().provenance.real is whole
    assert (cache / MODULE.FILE).exists() is whole


def test_a_slow_failure_is_not_repeated_at_once(monkeypatch, cache):
    asked = []

    def fail(*_, **__):
        asked.append(1)
        raise LabkitError("no answer.")

    monkeypatch.setattr(MODULE, "fetch", fail)
    monkeypatch.setattr(importlib.import_module("labkit.data.fetch"), "CHEAP_SECONDS", -1.0)
    monkeypatch.setenv("LABKIT_OFFLINE", "0")
    assert not dsprites().provenance.real and not dsprites().provenance.real
    assert len(asked) == 1


def test_git_blob_is_what_git_says(tmp_path):
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert MODULE.git_blob(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert MODULE.git_blob(tmp_path / "hello") != hashlib.sha1(b"hello\n").hexdigest()
