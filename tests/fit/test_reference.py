"""What comes with the kit is taken in place of training it, but for one model, and only where it fits."""

import io
import json
import os
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from labkit.claims import claims_markdown
from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.files import write_json
from labkit.fit import Update, cell_name, fit, grid_sweep, reference
from labkit.gan import DCGAN, DCGANConfig, updates

STEM, EPOCHS = "99_lab", 2
CONFIGS = [{"width": 3, "epochs": EPOCHS}, {"width": 5, "epochs": EPOCHS}]
LIVE = cell_name(CONFIGS[0] | {"seed": 0})
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 1, 4, 4), np.uint8)


class Lab:
    """A sweep over two widths and two seeds, then a model by itself; a later cell shows one of the sweep's again."""

    def __init__(self, folder, activation=nn.Tanh, epochs=EPOCHS):
        self.folder, self.activation, self.epochs, self.trained = folder, activation, epochs, []

    def model(self, width, seed, folder):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, width), self.activation(), nn.Linear(width, 16))
        loss = lambda model, batch: (model(batch) - batch.flatten(1)).square().mean()  # noqa: E731
        update = Update("loss", loss, torch.optim.Adam(net.parameters(), 1e-2))
        batches = ResidentBatches(IMAGES, batch_size=8, seed=seed, device="cpu", normalise="symmetric")
        return fit(net, update, batches, epochs=self.epochs, seed=seed, run_dir=folder, progress=False)

    def train_one(self, config, seed, folder):
        self.trained.append((config["width"], seed))
        loss = self.model(config["width"], seed, folder).history.loss.iloc[-1]
        np.savez(folder / "left.npz", width=config["width"])
        return {"loss": loss}

    def measure(self, word):
        """What a sweep says of a model of another one, which is not shown for that."""
        self.trained.append(word)
        return {
            "loss": self.model(5, 1, self.folder / "sweep" / cell_name(CONFIGS[1] | {"seed": 1})).history.loss.iloc[
                -1
            ]
        }

    def run(self):
        table = grid_sweep(CONFIGS, self.train_one, self.folder / "sweep", [0, 1], progress=False)
        for folder, word in (("sweep", "measured"), (reference.OWN, "by hand")):
            cell = lambda config, seed, path, word=word: self.measure(word)  # noqa: E731
            grid_sweep([{"width": 1}], cell, self.folder / folder, [0], progress=False)
        again = self.model(5, 0, self.folder / "sweep" / cell_name(CONFIGS[1] | {"seed": 0}))
        return table, again, self.model(4, 0, self.folder / "longer")


def finished(folder):
    """A run's folder with what `build` asks of one that ended well."""
    write_json(folder / "state.json", {"state": "ok"})
    data = [{"label": "drawn", "checksum": "drawn by x", "stand_in_for": "CelebA"}]
    config = {
        "lab": "99",
        "profile": "study",
        "seed": 0,
        "device": "cpu",
        "sizes": {"width": 3},
        "data": data,
        "versions": {},
    }
    write_json(folder / "config.json", config)
    write_json(folder / "metrics.json", {"values": {"error": 1.0}})
    write_json(folder / "claims.json", [])
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(root, table, model read again, model by itself) of a whole run and its reference."""
    base = tmp_path_factory.mktemp("built")
    lab = Lab(base / "runs" / STEM)
    results = lab.run()
    for path in lab.folder.rglob("checkpoint.pt"):
        content, times = torch.load(path, weights_only=True), path.stat()
        # On any machine; the cheapest of all, which is of no sweep, is not the one that is trained live.
        content["state"]["seconds"] = {LIVE: 0.5, "longer": 0.0}.get(path.parent.name, 1.0)
        torch.save(content, path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    reference.build(finished(lab.folder), base / "reference")
    return base / "reference", *results


@pytest.fixture
def root(built, tmp_path):
    """A copy of the reference that a test may spoil."""
    return shutil.copytree(built[0], tmp_path / "reference")


@pytest.fixture(autouse=True)
def none_active():
    yield
    reference.activate(None)


def live(root, folder, **options):
    reference.activate(reference.Reference(root / STEM, folder))
    return Lab(folder, **options)


def test_one_model_is_trained_and_the_others_are_taken(built, root, tmp_path):
    lab = live(root, tmp_path / "run")
    table, again, longer = lab.run()
    _, known, shown, by_itself = built
    assert lab.trained == [(3, 0), "by hand"]  # a loop of the student's own is never taken from others
    pd.testing.assert_frame_equal(table, known)
    for taken, whole in ((again, shown), (longer, by_itself)):
        pd.testing.assert_frame_equal(taken.history, whole.history)
        for name, value in taken.model.state_dict().items():
            torch.testing.assert_close(value, whole.model.state_dict()[name].half().float(), rtol=0, atol=0)
    assert len(reference.active().taken) == 5  # three models of the sweep, what was measured, and the model by itself
    assert not list((tmp_path / "run" / "longer").glob("*")), "what was taken must not look like what was trained"


@pytest.mark.parametrize("costly", ["seconds", "lr_generator"])
def test_no_model_that_is_dear_or_a_gan_is_trained_live(built, tmp_path, costly):
    lab = Lab(finished(tmp_path / STEM))
    lab.model(4, 0, lab.folder / "alone")
    path = lab.folder / "alone" / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    if costly == "seconds":
        content["state"]["seconds"] = 2 * reference.LIVE_SECONDS
    else:
        content["state"]["rows"][-1][costly] = content["state"]["rows"][-1].pop("lr")
    torch.save(content, path)
    reference.build(lab.folder, tmp_path / "reference")
    assert json.loads((tmp_path / "reference" / STEM / "about.json").read_text())["live"] == ""
    assert live(tmp_path / "reference", tmp_path / "run").model(4, 0, tmp_path / "run" / "alone").history.loss.size
    assert reference.active().taken == ["alone"]


def test_without_a_reference_all_are_trained(built, tmp_path):
    lab = Lab(tmp_path / "run")
    table, *_ = lab.run()
    assert len(lab.trained) == 6
    pd.testing.assert_frame_equal(table, built[1])


def test_only_weights_that_a_lab_shows_and_those_of_the_live_model_are_kept(built):
    kept = {path.parent.name for path in built[0].rglob("checkpoint.pt")}
    assert kept == {"longer", *(cell_name(config | {"seed": 0}) for config in CONFIGS)}
    assert {path.parent.name for path in built[0].rglob("*/*.json")} == {"sweep", STEM}
    assert len(list(built[0].rglob("sweep/*.json"))) == 5


def test_what_is_kept_takes_little_room(built):
    paths = list(built[0].rglob("checkpoint.pt"))
    assert paths
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            assert {part.compress_type for part in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        torch.save(torch.load(path, weights_only=True), whole := io.BytesIO())
        assert path.stat().st_size < len(whole.getvalue())


def test_of_the_live_model_only_what_it_is_compared_by_is_kept(built):
    paths = built[0].rglob("checkpoint.pt")
    kept = {path.parent.name: torch.load(path, weights_only=True)["state"] for path in paths}
    assert [name for name, state in kept.items() if not state["model"]] == [LIVE]
    assert len(kept[LIVE]["rows"]) == EPOCHS


@pytest.mark.parametrize(("seconds", "kept"), [(0.99, {"longer"}), (1.01, {"longer", "sweep"})])
def test_weights_of_a_sweep_are_kept_if_they_took_long_for_their_room(tmp_path, monkeypatch, seconds, kept):
    lab = Lab(finished(tmp_path / STEM))
    lab.run()
    weights = {}
    for path in lab.folder.rglob("checkpoint.pt"):
        content, times = torch.load(path, weights_only=True), path.stat()
        weights[path] = 2 * sum(each.numel() for each in content["state"]["model"].values())  # in half precision
        live = path.parent.name == LIVE
        content["state"]["seconds"] = 0.0 if live or path.parent.name == "longer" else seconds * weights[path]
        torch.save(content, path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    monkeypatch.setattr(reference, "SECONDS_A_MB", float(2**20))
    reference.build(lab.folder, tmp_path / "reference")
    found = {path.parent.name for path in (tmp_path / "reference").rglob("checkpoint.pt")} - {LIVE}
    assert {name if name == "longer" else "sweep" for name in found} == kept


def test_a_students_own_model_is_not_kept_nor_one_that_each_run_trains(tmp_path):
    lab = Lab(finished(tmp_path / STEM))
    for name in ("longer", f"{reference.OWN}-16", f"{reference.EACH}-search"):
        lab.model(4, 0, lab.folder / name)
    reference.build(lab.folder, tmp_path / "reference")
    assert [path.parent.name for path in (tmp_path / "reference").rglob("checkpoint.pt")] == ["longer"]


@pytest.mark.parametrize("changed", [{"profile": "smoke"}, {"seed": 3}], ids=str)
def test_only_a_study_of_seed_0_becomes_the_reference(tmp_path, changed):
    lab = Lab(finished(tmp_path / STEM))
    lab.run()
    reference.build(lab.folder, tmp_path / "reference")
    before = {path: path.read_bytes() for path in (tmp_path / "reference").rglob("*") if path.is_file()}
    config = json.loads((lab.folder / "config.json").read_text())
    write_json(lab.folder / "config.json", config | changed)
    with pytest.raises(LabkitError, match="made of the profile study, seed 0"):
        reference.build(lab.folder, tmp_path / "reference")
    assert {path: path.read_bytes() for path in before} == before


def test_a_script_too_large_is_left_to_a_run(tmp_path, monkeypatch):
    lab = Lab(finished(tmp_path / STEM))
    lab.run()
    monkeypatch.setattr(reference, "LARGEST_SCRIPT", 9)
    (lab.folder / "explorer").mkdir()
    for name in ("nine", "eleven"):
        (lab.folder / "explorer" / f"{name}.js").write_text(f"{name:>5}.js;")
    reference.build(lab.folder, tmp_path / "reference")
    assert [path.stem for path in (tmp_path / "reference").rglob("*.js")] == ["nine"]


def test_what_a_cell_left_is_found_where_it_was_taken(root, tmp_path):
    lab = live(root, tmp_path / "run")
    lab.run()
    for width in (3, 5):
        path = lab.folder / "sweep" / cell_name({"width": width, "epochs": EPOCHS, "seed": 1}) / "left.npz"
        assert not path.exists() and np.load(reference.offer(path))["width"] == width
    assert reference.offer(lab.folder / "sweep" / LIVE / "left.npz") is None, "its own is there"


def test_another_model_is_trained_and_says_why(root, tmp_path, capsys):
    lab = live(root, tmp_path / "run", activation=lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
    lab.model(4, 0, tmp_path / "run" / "first")
    lab.model(4, 0, tmp_path / "run" / "sweep" / cell_name(CONFIGS[1] | {"seed": 0}))  # the live one
    trained = lab.model(4, 0, tmp_path / "run" / "longer")
    assert "The reference is stale" in capsys.readouterr().out
    assert (tmp_path / "run" / "longer" / "checkpoint.pt").exists() and len(trained.history) == EPOCHS
    assert reference.active().taken == []


@pytest.mark.parametrize("name", ["longer/checkpoint.pt", f"sweep/{LIVE}/checkpoint.pt", "sweep/*.json"])
def test_a_damaged_file_of_the_reference_is_named_and_stops_no_lab(built, root, tmp_path, capsys, name):
    for path in (root / STEM).glob(name):
        path.write_text("[]")
    lab = live(root, tmp_path / "run")
    table, _, longer = lab.run()
    captured = capsys.readouterr()
    assert name.split("/")[0] in captured.out + captured.err and "is damaged" in captured.out + captured.err
    pd.testing.assert_frame_equal(table, built[1])
    pd.testing.assert_series_equal(longer.history.loss, built[3].history.loss)


def test_a_shorter_training_is_no_end_of_it(root, tmp_path):
    lab = live(root, tmp_path / "run", epochs=1)
    lab.model(5, 0, tmp_path / "run" / "sweep" / cell_name(CONFIGS[1] | {"seed": 0}))
    assert len(lab.model(4, 0, tmp_path / "run" / "longer").history) == 1
    assert reference.active().taken == []


def test_a_loss_that_is_far_from_the_references_is_named(root, tmp_path, capsys):
    path = root / STEM / "sweep" / LIVE / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    content["state"]["rows"][0]["loss"] *= 2
    torch.save(content, path)
    live(root, tmp_path / "run").model(3, 0, tmp_path / "run" / "sweep" / LIVE)
    first, last = [line for line in capsys.readouterr().err.splitlines() if "the reference's was" in line]
    assert "after epoch 1" in first and "stale" in first and "after epoch 2" in last and "stale" not in last


def test_the_renderer_and_the_verdicts_are_written_down(built):
    about = json.loads((built[0] / STEM / "about.json").read_text())
    assert about["metrics"] == {"error": 1.0} and about["sizes"] == {"width": 3} and about["renderer"]


def test_of_photographs_numbers_and_verdicts_are_kept_beside_it_and_decide_what_only_they_can(tmp_path):
    claims = [{"id": id, "on": "drawn faces", "verdict": verdict} for id, verdict in
              (("A1", "needs photographs"), ("A2", "reproduced"), ("A3", "needs photographs"))]  # fmt: skip
    root, folder = tmp_path / "reference", finished(tmp_path / STEM)
    Lab(folder).run()
    (folder / "explorer").mkdir()
    (folder / "explorer" / "it.js").write_text("a picture")

    def build(found):
        write_json(folder / "claims.json", found)
        reference.build(folder, root)
        return {path.relative_to(root / STEM) for path in (root / STEM).rglob("*") if path.is_file()}

    drawn = build(claims)
    there = [each | {"on": "photographs", "verdict": "corrected"} for each in claims[:2]]
    config = json.loads((folder / "config.json").read_text())
    config["data"][0]["source"] = f"photographs.zip in {tmp_path}"
    write_json(folder / "config.json", config)
    both = build(there)
    assert str(tmp_path) not in (root / STEM / "photographs.json").read_text()
    assert {path.name for path in both - drawn} == {"photographs.json"} and drawn < both == build(claims)
    judged = {each["id"]: (each["verdict"], each["on"], each["lab"]) for each in reference.verdicts(root)}
    assert judged == {
        "A1": ("corrected", "photographs", "99"),
        "A2": ("reproduced", "drawn faces", "99"),
        "A3": ("needs photographs", "drawn faces", "99"),
    }
    assert [each["id"] for each in reference.on_photographs(root)] == ["A1", "A2"]


def test_further_seeds_on_photographs_add_their_verdicts_to_those_of_seed_0(tmp_path):
    root, folder = tmp_path / "reference", finished(tmp_path / STEM)
    Lab(folder).run()
    config = json.loads((folder / "config.json").read_text())
    about = {"text": "it holds", "measured": {}, "on": "photographs"}

    def build(seed, verdict, **changed):
        name = changed.pop("id", "A1")
        write_json(folder / "config.json", config | {"seed": seed} | changed)
        write_json(folder / "claims.json", [about | {"id": name, "verdict": verdict}])
        reference.build(folder, root)
        return reference.on_photographs(root)

    with pytest.raises(LabkitError, match="build that run first"):
        build(1, "reproduced")
    build(0, "reproduced")
    for seed, verdict in ((1, "undecided"), (2, "reproduced"), (2, "reproduced")):
        claims = build(seed, verdict)
    assert claims[0]["verdict"] == "reproduced"
    assert claims[0]["by_seed"] == {"0": "reproduced", "1": "undecided", "2": "reproduced"}
    assert "reproduced (2 of 3 seeds) |" in claims_markdown(claims)
    with pytest.raises(LabkitError, match="at these sizes"):
        build(3, "reproduced", sizes={"width": 4})
    with pytest.raises(LabkitError, match="with these claims"):
        build(3, "reproduced", id="A2")
    assert "seeds)" not in claims_markdown(build(0, "reproduced"))


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("state", "[]"),
        ("config", "[1]"),
        ("config", '{"lab": "99"}'),
        ("metrics", "{"),
        ("metrics", "[]"),
        ("claims", "{}"),
        ("claims", '[{"id": "A1", "verdict": "reproduced"}]'),
        ("claims", "[null]"),
    ],
)
def test_a_damaged_record_is_refused_and_what_there_is_stays(tmp_path, name, held):
    folder, kept = finished(tmp_path / STEM), tmp_path / "reference" / STEM / "about.json"
    write_json(kept, {})
    (folder / f"{name}.json").write_text(held)
    with pytest.raises(LabkitError, match=r"its record is damaged; run|ended well"):
        reference.build(folder, tmp_path / "reference")
    assert kept.is_file()


def test_a_run_that_did_not_end_well_is_refused(built, tmp_path):
    folder = finished(tmp_path / STEM)
    write_json(folder / "state.json", {"state": "failed"})
    with pytest.raises(LabkitError, match="ended well"):
        reference.build(folder, tmp_path / "reference")


@pytest.mark.parametrize("limit", ["LARGEST", "LARGEST_FILE"])
def test_what_is_too_large_to_commit_is_refused(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(reference, limit, 10)
    with pytest.raises(LabkitError, match=r"smaller model|more than"):
        reference.build(finished(tmp_path / STEM), tmp_path / "reference")


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("wrong", ["LARGEST", "LARGEST_FILE", "checkpoint"])
def test_a_build_that_is_refused_leaves_the_reference_as_it_was(root, tmp_path, monkeypatch, wrong):
    before, lab = files(root), Lab(finished(tmp_path / STEM))
    lab.model(4, 0, lab.folder / "longer")
    path = lab.folder / "longer" / "checkpoint.pt"
    if wrong == "checkpoint":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        monkeypatch.setattr(reference, wrong, 10)
    with pytest.raises(LabkitError, match=r"smaller model|more than|checkpoint\.pt: is damaged .* --force"):
        reference.build(lab.folder, root)
    assert files(root) == before


def test_a_flipped_byte_of_a_run_is_not_made_the_reference(tmp_path):
    lab = Lab(finished(tmp_path / STEM))
    lab.model(4, 0, lab.folder / "longer")
    path = lab.folder / "longer" / "checkpoint.pt"
    weights = torch.load(path, weights_only=True)["state"]["model"]["1.weight"].numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(weights)] ^= 1
    path.write_bytes(content)
    with pytest.raises(LabkitError, match="is damaged"):
        reference.build(lab.folder, tmp_path / "reference")


def test_the_reference_before_is_gone_once_there_is_another(root, tmp_path):
    (root / STEM / "photographs.json").write_text("{}")
    (root / "98_other").mkdir()
    lab = Lab(finished(tmp_path / STEM))
    lab.model(4, 0, lab.folder / "other")
    assert reference.build(lab.folder, root) == sum(map(len, files(root).values()))
    assert {path.name for path in root.iterdir()} == {STEM, "98_other"}
    found = {path.relative_to(root / STEM).as_posix() for path in files(root)}
    assert found == {"about.json", "photographs.json", "other/checkpoint.pt"}


def test_of_a_gan_the_generator_is_taken_alone(tmp_path):
    def trained(folder):
        torch.manual_seed(0)
        gan = DCGAN(DCGANConfig(4))
        pictures = np.random.default_rng(0).integers(0, 256, (16, 3, 64, 64), np.uint8)
        batches = ResidentBatches(pictures, batch_size=8, seed=0, device="cpu", normalise="symmetric")
        return fit(gan, updates(gan, rate=1e-3), batches, epochs=1, seed=0, run_dir=folder, progress=False).model

    lab = Lab(finished(tmp_path / STEM))
    whole = trained(lab.folder / "gan").state_dict()
    reference.build(lab.folder, tmp_path / "reference")
    kept = torch.load(tmp_path / "reference" / STEM / "gan" / "checkpoint.pt", weights_only=True)["state"]["model"]
    assert not any(name.startswith("discriminator.") for name in kept)
    reference.activate(reference.Reference(tmp_path / "reference" / STEM, tmp_path / "run"))
    taken = trained(tmp_path / "run" / "gan").state_dict()
    assert reference.active().taken == ["gan"]
    for name in kept:
        torch.testing.assert_close(taken[name], whole[name].half().to(taken[name].dtype), rtol=0, atol=0)
