"""When a lab's run uses the kit's reference, and how its record says so."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from labkit.claims import card_html, card_text, claim, claims_html, decide
from labkit.drawn.recipe import recipe
from labkit.errors import LabkitError
from labkit.faces.faceset import FaceSet, Provenance
from labkit.files import write_json
from labkit.fit import reference
from labkit.run import start_lab
from labkit.statistics import above

DRAWN = Provenance("synthetic CelebA", False, "drawn", f"drawn by {recipe()}", stand_in_for="CelebA")
TABLES = {"smoke": {"epochs": 1}, "cpu": {"epochs": 2}, "gpu": {"epochs": 9}, "study": {"epochs": 5}}


@claim("Z3", "99", "it rises", expected="above 0", rule="change above 0", protocol="{epochs} epochs")
def rises(change):
    return decide(above(change))


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch):
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "data"))
    yield
    reference.activate(None)


@pytest.fixture
def about(tmp_path, monkeypatch):
    """Writes the reference of a lab 99, with changes."""

    def write(**changes):
        monkeypatch.setattr(reference, "ROOT", tmp_path / "reference")
        data = [{"checksum": DRAWN.checksum, "stand_in_for": "CelebA"}]
        usual = {"seed": 0, "renderer": recipe(), "sizes": {"epochs": 5}, "data": data, "live": ""}
        usual |= {"lab": "99", "profile": "study", "claims": []}
        write_json(tmp_path / "reference" / "99_lab" / "about.json", usual | changes)

    write()
    return write


def begin(tmp_path, faces=DRAWN, **options):
    run = start_lab("99", out=tmp_path / "run", **{"profile": "cpu", "reference": True} | options)
    size = run.sizes(**TABLES)
    run.use(FaceSet(np.zeros((2, 3, 4, 4), np.uint8), faces))
    return run, size.epochs


def test_it_has_the_sizes_of_the_study(about, tmp_path):
    run, epochs = begin(tmp_path)
    assert epochs == 5 and reference.active() is not None
    assert json.loads((run.folder / "config.json").read_text())["sizes"] == {"epochs": 5}


@pytest.mark.parametrize(
    "options",
    [{"reference": False}, {"profile": "smoke"}, {"seed": 1}, {"profile": "study"}],
    ids=["not asked for", "another profile", "another seed", "the study itself"],
)
def test_it_is_used_only_where_it_fits(about, tmp_path, options, capsys):
    _, epochs = begin(tmp_path, **options)
    assert reference.active() is None and epochs == TABLES[options.get("profile", "cpu")]["epochs"]
    assert "stale" not in capsys.readouterr().out


@pytest.mark.parametrize("changes", [{"renderer": "another"}, {"sizes": {"epochs": 6}}], ids=["renderer", "sizes"])
def test_a_stale_one_is_named_and_all_is_trained_at_the_small_sizes(about, tmp_path, changes, capsys):
    about(**changes)
    _, epochs = begin(tmp_path)
    assert epochs == 2 and reference.active() is None
    assert "The reference is stale" in capsys.readouterr().out


@pytest.mark.parametrize("held", ["", "[]", "{}", '{"live": ""'])
def test_a_damaged_one_is_named_and_all_is_trained_and_judged(about, tmp_path, held, capsys):
    path = tmp_path / "reference" / "99_lab" / reference.ABOUT
    path.write_text(held)
    run, epochs = begin(tmp_path)
    assert epochs == 2 and reference.active() is None
    assert f"{path}: is damaged; take it" in capsys.readouterr().out
    run.claim(rises, change=[float("nan")] * 5)
    with pytest.raises(LabkitError, match="is damaged"):
        reference.verdicts(tmp_path / "reference")


def test_photographs_are_trained_on_at_the_small_sizes(about, tmp_path, monkeypatch):
    (tmp_path / "photographs" / "celeba").mkdir(parents=True)
    assert begin(tmp_path, data=str(tmp_path / "photographs"))[1] == 2
    about(data=[{"checksum": DRAWN.checksum, "stand_in_for": ""}])  # of a lab that always draws its faces
    assert begin(tmp_path, data=str(tmp_path / "photographs"))[1] == 5


def test_other_faces_end_its_use(about, tmp_path, capsys):
    begin(tmp_path, faces=Provenance("others", False, "drawn", "drawn by another"))
    assert reference.active() is None and "other faces" in capsys.readouterr().out


def test_figures_metrics_and_claims_say_what_was_taken(about, tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr(plt.Figure, "text", lambda figure, x, y, text, **_: texts.append(text))
    run, _ = begin(tmp_path)
    for count, words in ((0, "data: "), (2, "2 models taken from the kit's reference")):
        reference.active().taken[:] = [str(k) for k in range(count)]
        figure, axes = plt.subplots()
        axes.set_title("A line")
        run.figure("plot", figure)
        assert words in texts[-1] and ("models" in texts[-1]) == bool(count)
    run.claim(rises, change=[1.0, 1.1, 1.2, 0.9, 1.0])
    run.finish()
    (judged,) = json.loads((run.folder / "claims.json").read_text())
    assert judged["from_reference"] == 2 and "2 models taken from the kit's reference" in card_text(judged)
    assert json.loads((run.folder / "metrics.json").read_text())["from_reference"] == 2


def test_arrays_of_a_cell_are_its_own_or_the_references(about, tmp_path):
    run, _ = begin(tmp_path)
    for folder, value in ((tmp_path / "reference" / "99_lab", 1), (run.folder, 2)):
        (folder / "sweep" / "cell").mkdir(parents=True)
        np.savez_compressed(folder / "sweep" / "cell" / "left.npz", value=value, name=np.arange(3))
        found = run.arrays(run.folder / "sweep" / "cell" / "left.npz")
        assert found.keys() == {"value", "name"} and found["value"] == value


DAMAGES = {
    "missing": None,
    "empty": lambda whole: b"",
    "cut short": lambda whole: whole[: len(whole) // 2],
    "another's": lambda whole: b"no arrays",
    "changed": lambda whole: whole[:60] + bytes(255 - each for each in whole[60:90]) + whole[90:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("own", [True, False], ids=["own", "reference"])
def test_arrays_that_cannot_be_read_are_one_sentence(about, tmp_path, own, damage):
    run, _ = begin(tmp_path)
    root = run.folder if own else tmp_path / "reference" / "99_lab"
    write_json(root / "sweep" / "cell.json", {})
    left = root / "sweep" / "cell" / "left.npz"
    left.parent.mkdir()
    if damage:
        np.savez_compressed(left, value=np.arange(100))
        left.write_bytes(damage(left.read_bytes()))
    with pytest.raises(LabkitError, match=r"left\.npz: cannot be read \((it is damaged|No such .*)\); ") as error:
        run.arrays(run.folder / "sweep" / "cell" / "left.npz")
    said = str(error.value)
    assert ("delete cell.json and cell/ in" in said) == own and ("REFERENCE = False" in said) != own
    assert "\n" not in said and said.endswith(".")


def test_of_what_a_run_cannot_decide_the_kits_study_is_quoted(about, tmp_path):
    found = {"id": "Z3", "verdict": "reproduced", "on": "drawn faces", "measured": {"change": 1.5}}
    about(claims=[{**found, "id": "Z4"}, found])

    def recorded(change, **options):
        run, _ = begin(tmp_path, **options)
        run.claim(rises, change=change)
        return json.loads((run.folder / "claims.json").read_text())[0]

    left_open = recorded([1.0, -1.0, 0.5, -0.5, 0.1])
    assert left_open["verdict"] == "undecided" and left_open["study"]["measured"] == {"change": 1.5}
    assert "comes with the kit: reproduced on drawn faces, change = 1.5" in card_text(left_open)
    assert all("comes with the kit: reproduced" in page for page in (card_html(left_open), claims_html([left_open])))
    assert "study" not in recorded([5.0, 5.1, 5.2, 5.1, 5.0])
    assert "study" not in recorded([1.0, -1.0, 0.5, -0.5, 0.1], profile="study")
    about(claims=[{**found, "verdict": "undecided"}])
    assert "study" not in recorded([1.0, -1.0, 0.5, -0.5, 0.1])
