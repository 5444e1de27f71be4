"""A record is believed only whole, and checkpoints only of the same code: what is missing or changed is noticed."""

import json
from types import SimpleNamespace

import pytest

from labkit.course.pages.run_page import write_index
from labkit.course.run import freshness, run
from labkit.course.run.freshness import data_folders, data_identity, record_hashes, why_stale
from labkit.course.run.labs import read_lab
from labkit.course.run.results import Console, Result
from labkit.course.run.run import RunConfig
from labkit.drawn.portraits import synthetic_celeba
from labkit.errors import LabkitError
from labkit.files import write_json
from labkit.record import PREDICTIONS, SHAPES, read_record

NOW = {"labkit": "a", "data": "b"}
CLAIM = {"id": "A1", "text": "it holds", "verdict": "reproduced", "measured": {"x": 1.0}, "data": "drawn"}
SOURCE = {"label": "drawn faces", "real": False, "source": "drawn"}
FILES = {
    "config.json": {"lab": "00", "device": "cpu", "seed": 0, "data": [SOURCE], "versions": {"torch": "2"}},
    "metrics.json": {"values": {"nll": 1.0}},
    "checks.json": {"coupling": [{"name": "round trip", "passed": True, "hint": ""}]},
    "claims.json": [CLAIM],
    "figures.json": [{"name": "line", "file": "figures/line.png", "alt": "A line."}],
    "timings.json": {"total": 60.0},
}

LEFT = ("notebook.ipynb", "notebook.html", "figures/line.png", "explorer/01a.js", "classifier.safetensors")


@pytest.fixture
def record(tmp_path):
    """A whole record, done and fresh."""
    folder = tmp_path / "smoke" / "00_lab"
    for name, value in FILES.items():
        write_json(folder / name, value)
    for name in LEFT:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"content of " + name.encode())
    settle(folder)
    return folder


def settle(folder):
    about = {"state": "ok", "message": "", "seconds": 60.0, "title": "A lab", "fingerprint": NOW}
    write_json(folder / "state.json", about | {"record": record_hashes(folder)})


PARTS = [*FILES, *LEFT]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_record_with_a_damaged_file_is_not_fresh(record, name, damage):
    assert not why_stale(record, NOW)
    content = (record / name).read_bytes()
    half = len(content) // 2
    (record / name).unlink()
    if damage != "missing":
        rest = b"" if damage == "cut" else bytes([content[half] ^ 1]) + content[half + 1 :]
        (record / name).write_bytes(content[:half] + rest)
    assert why_stale(record, NOW) == f"{name} of its record changed or went missing"


def test_a_record_without_a_notebook_never_was_whole(record):
    (record / "notebook.ipynb").unlink()
    settle(record)
    assert "notebook.ipynb" in why_stale(record, NOW)


def test_it_is_said_what_changed(record):
    assert why_stale(record, NOW | {"data": "other"}) == "its data changed"
    write_json(record / "state.json", read_record(record, "state.json", {}) | {"state": "failed"})
    assert "not ended well" in why_stale(record, NOW)


@pytest.mark.parametrize(
    ("profile", "given", "depends"),
    [
        ("cpu", {}, True),
        ("cpu", {"REFERENCE": False}, False),
        ("smoke", {}, False),
        ("study", {}, False),  # it makes the reference, and would never be done
    ],
)
def test_another_reference_is_noticed_where_models_are_taken_from_it(
    make_lab, tmp_path, monkeypatch, profile, given, depends
):
    monkeypatch.setattr(freshness, "PACKAGE", tmp_path)
    lab = read_lab(make_lab(tmp_path / "notebooks", "01_lab", ["1"], extra="REFERENCE = True"))
    parameters, seen = {"PROFILE": profile, **given}, []
    for about in ("{}", '{"live": ""}'):
        (tmp_path / "reference" / "01_lab").mkdir(parents=True, exist_ok=True)
        (tmp_path / "reference" / "01_lab" / "about.json").write_text(about)
        seen.append(freshness.fingerprint(lab, parameters, []))
    assert {name for name in seen[0] if seen[0][name] != seen[1][name]} == ({"reference"} if depends else set())


def other_shapes(value):
    """Valid JSON that is like `value` but of another shape somewhere."""
    yield from ([], {}, None, 3, "text", [None], {"a": None}, [[]], {"a": [None]}, {"a": [1]})
    if isinstance(value, list):
        yield from ([{}], [value[0], None])
        value, wrap = value[0], lambda each: [each]
    else:
        wrap = dict
    for name in value:
        yield wrap({key: item for key, item in value.items() if key != name})
        yield from (wrap(value | {name: other}) for other in (None, [None], {"a": None}))


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {PREDICTIONS}))  # guesses make no record stale
def test_json_of_another_shape_stops_nothing(record, name):
    good = json.loads((record / name).read_text())
    for value in other_shapes(good):
        write_json(record / name, value)
        if value != good:
            assert why_stale(record, NOW)
        Result.of(record, "ok")
        write_index(record.parent)
    (record / name).write_text("[" * 100_000)
    write_index(record.parent)


@pytest.mark.parametrize("number", [None, "many", [1], {}, 10**400, float("nan")])
def test_numbers_that_are_none_stop_no_page(record, number):
    whole = {"value": 1.0, "error": 0.1, "n": 5, "unit": "seeds"}
    for name in whole:
        (record / "claims.json").write_text(json.dumps([CLAIM | {"measured": {"x": whole | {name: number}}}]))
        write_index(record.parent)
    for name, key in (("state.json", "seconds"), ("timings.json", "total")):
        text = (record / name).read_text()
        (record / name).write_text(json.dumps(json.loads(text) | {key: number}))
        assert read_record(record, name, "none") == "none"
        write_index(record.parent)
        (record / name).write_text(text)


def test_the_page_says_what_is_known_of_each_lab(record):
    def page(*running):
        return write_index(record.parent, running).read_text(encoding="utf-8")

    assert "✓ complete" in page() and "1.0 min" in page() and "✓ 1 reproduced" in page()
    assert "▸ running" in page("00_lab") and "✓ complete" not in page("00_lab")
    assert "▸ running" in page("01_first_time")
    (record / "state.json").unlink()
    assert "run by hand" in page()
    (record / "timings.json").unlink()
    assert "begun by hand, not finished" in page() and "0.0 min" not in page()


def test_the_page_says_what_the_kits_study_decided(record):
    left_open, study = CLAIM | {"verdict": "undecided"}, {"verdict": "corrected", "on": "drawn faces"}
    short = {"verdict": 1, "on": "drawn faces"}, {"verdict": "corrected"}, study, study | {"measured": None}
    for damage in (None, [], "yes", {}, *short, study | {"measured": [0.5]}):
        write_json(record / "claims.json", [left_open | {"study": damage}])
        assert "study that comes" not in write_index(record.parent).read_text(encoding="utf-8")
    write_json(record / "claims.json", [left_open | {"study": study | {"measured": {"x": 0.5}}}, left_open])
    text = write_index(record.parent).read_text(encoding="utf-8")
    assert "the study that comes with the kit decided 1." in text
    assert "the study that comes with the kit: corrected on drawn faces, x = 0.5" in text
    assert "2 undecided" in text  # what this run found stays what it is


def test_a_page_is_folded_and_escapes_what_it_shows(record):
    write_json(record / "claims.json", [CLAIM | {"text": "<script>alert(1)</script>"}])
    text = write_index(record.parent).read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text
    fold = text.index('<details class="lab"')
    assert fold < text.index("<figure") < text.index("</main>") and text.count("<details class=") == 1


PLACES = {
    "the official folders in a root": ("root", "root/celeba/Anno/list_attr_celeba.txt"),
    "the doubled folder of Kaggle": ("archive", "archive/img_align_celeba/img_align_celeba/000001.jpg"),
    "a table beside the images": ("faces/img_align_celeba", "faces/list_attr_celeba.txt"),
    "the official folder of images": ("faces/Img/img_align_celeba", "faces/Anno/identity_CelebA.txt"),
    "a table beside a zip": ("faces/img_align_celeba.zip", "faces/list_attr_celeba (1).txt"),
    "what is prepared": (None, "cache/celeba/64x64/report.json"),
}


@pytest.mark.parametrize("place", PLACES)
def test_data_are_noticed_wherever_the_loaders_look(tmp_path, monkeypatch, place):
    given, changed = PLACES[place]
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    data, file = given and tmp_path / given, tmp_path / changed
    file.parent.mkdir(parents=True)
    seen = []
    for content in (None, "a table", "another table"):
        if content:
            file.write_text(content)
        seen.append(data_identity(data_folders(data, tmp_path)))
    assert len(set(seen)) == 3
    (file.parent / "loop").symlink_to(tmp_path)
    assert data_identity(data_folders(data, tmp_path))


def test_faces_drawn_for_another_lab_or_profile_are_no_other_data(tmp_path, monkeypatch):
    """A night's study would begin anew."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    before = data_identity(data_folders(None, tmp_path))
    synthetic_celeba(2)
    assert list(tmp_path.glob("*/celeba-2-*.npy"))
    assert data_identity(data_folders(None, tmp_path)) == before


def test_what_other_code_has_trained_goes_wherever_it_lies(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "checkpoint.pt").touch()
    (tmp_path / "lab" / "sweep").mkdir(parents=True)
    (tmp_path / "lab" / "checkpoints").symlink_to(tmp_path / "disk")
    freshness.drop_stale_checkpoints(tmp_path / "lab", {"labkit": "b"}, False)
    assert not (tmp_path / "lab" / "checkpoints" / "checkpoint.pt").exists()

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(freshness.shutil, "rmtree", refuse)
    with pytest.raises(LabkitError, match="cannot be removed"):
        freshness.drop_stale_checkpoints(tmp_path / "lab", {"labkit": "c"}, False)


def test_checkpoints_outlive_a_kill_but_not_a_change(tmp_path):
    weights = tmp_path / "checkpoints" / "K14" / "checkpoint.pt"
    row = tmp_path / "sweep" / "cell.json"  # a cell of a sweep, in a folder that the notebook has named

    def survives(now, force=False):
        for path in (weights, row):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        freshness.drop_stale_checkpoints(tmp_path, now, force)
        assert weights.exists() == row.exists()
        return weights.exists()

    assert not survives({"labkit": "a"}), "nobody knows what made these"
    assert survives({"labkit": "a"})
    assert not survives({"labkit": "b"})
    assert not survives({"labkit": "b"}, force=True)
    assert survives({"labkit": "b"})


def test_what_a_lab_fetches_before_it_is_stopped_leaves_its_checkpoints(tmp_path):
    """Data are drawn, fetched or prepared by the first lab that needs them."""
    (tmp_path / "data").mkdir()
    lab = SimpleNamespace(stem="00_lab")
    runner = run._Runner([lab], RunConfig("smoke", tmp_path), Console())
    runner.data_folders = [tmp_path / "data"]
    begun = {"labkit": "a", "data": freshness.data_identity(runner.data_folders)}
    place = tmp_path / "smoke" / "00_lab"
    freshness.drop_stale_checkpoints(place, begun, False)
    (place / "checkpoints" / "checkpoint.pt").touch()
    (tmp_path / "data" / "faces.npy").write_bytes(b"drawn")
    runner.results[lab.stem] = Result(lab.stem, "interrupted")
    runner.settle_data()
    now = begun | {"data": freshness.data_identity(runner.data_folders)}
    freshness.drop_stale_checkpoints(place, now, False)
    assert (place / "checkpoints" / "checkpoint.pt").exists() and now != begun
