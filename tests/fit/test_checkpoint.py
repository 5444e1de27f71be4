"""Checkpoints that are foreign, damaged, or cannot be written."""

import errno
import pickle
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit import Update, fit
from labkit.fit.checkpoint import Checkpoints, plain
from labkit.fit.state import preserved_rng, rng_state, set_rng_state


def train(run_dir, *, width=4, lr=0.1, gamma=0.5, data=1.0, loss_called=None, flip=False, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 1))
    adam = torch.optim.Adam(model.parameters(), lr)

    def loss(model, batch):
        if loss_called is not None:
            loss_called.append(model)
        return model(batch).square().mean()

    made = {name: options.pop(name) for name in ("clip", "settings") if name in options}
    update = Update("mse", loss, adam, torch.optim.lr_scheduler.StepLR(adam, 1, gamma), **made)
    rows = data * torch.linspace(-1, 1, 30).view(10, 1, 1, 3)
    batches = ResidentBatches(rows if flip else rows.flatten(1), batch_size=4, flip=flip)
    fit(model, update, batches, run_dir=run_dir, **{"epochs": 2, "progress": False, **options})


@pytest.fixture
def trained(tmp_path):
    train(tmp_path)
    return tmp_path / "checkpoint.pt"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 5}, r"model: Sequential of 21 numbers in 4 tensors \(.*\) there, Sequential of 26 numbers"),
        ({"lr": 0.2}, r"mse\.lr: 0\.1 there, 0\.2 here"),
        ({"gamma": 0.9}, r"mse\.gamma: 0\.5 there, 0\.9 here"),
        ({"data": 2.0}, r"data: .*mean size 0\.5172 there, .*mean size 1\.034 here"),
        ({"clip": 1.0}, r"mse\.clip: None there, 1\.0 here"),
        ({"settings": {"beta": 2}}, r"mse\.beta: absent there, 2 here"),
        ({"flip": True}, r"batches\.flip: False there, True here"),
        ({"seed": 1}, r"seed: 0 there, 1 here"),
        ({"config": {"beta": 2}}, r"config\.beta: absent there, 2 here"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused_with_the_difference(trained, change, said):
    before, calls = trained.read_bytes(), []
    with pytest.raises(LabkitError, match=said) as error:
        train(trained.parent, loss_called=calls, **change)
    assert str(error.value).startswith(f"{trained}: ") and "delete the file" in str(error.value)
    assert trained.read_bytes() == before and not calls


def test_the_same_config_in_another_order_or_type_is_the_same_run(tmp_path):
    train(tmp_path, config={"a": (1, 2), "b": {"c": None}})
    train(tmp_path, config={"b": {"c": None}, "a": [1, 2]})


class Trap:
    def __reduce__(self):
        return (print, ("executed",))


def foreign(kind, path):
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    elif kind == "torch pickle":
        torch.save({"format": Trap()}, path)
    elif kind == "state dict":
        torch.save(nn.Linear(2, 2).state_dict(), path)
    elif kind == "tensor":
        torch.save(torch.ones(3), path)
    elif kind == "list":
        torch.save([], path)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>quota exceeded</html>")


@pytest.mark.parametrize("kind", ["pickle", "torch pickle", "state dict", "tensor", "list", "empty", "text"])
def test_a_foreign_file_is_refused_and_not_executed(tmp_path, kind, capsys):
    foreign(kind, tmp_path / "checkpoint.pt")
    with pytest.raises(LabkitError, match="not a whole labkit checkpoint") as error:
        train(tmp_path)
    assert str(tmp_path / "checkpoint.pt") in str(error.value) and "\n" not in str(error.value)
    assert "executed" not in capsys.readouterr().out


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").mkdir()
    with pytest.raises(LabkitError, match="not a whole labkit checkpoint"):
        train(tmp_path)


def test_half_a_file_is_refused_wherever_it_was_cut(trained):
    whole = trained.read_bytes()
    for length in [*range(1, len(whole), len(whole) // 40), len(whole) - 1]:
        trained.write_bytes(whole[:length])
        with pytest.raises(LabkitError, match="not a whole labkit checkpoint"):
            train(trained.parent)


def test_a_file_in_place_of_the_folder_is_met_before_training(tmp_path):
    (tmp_path / "run").write_text("mine")
    calls = []
    with pytest.raises(LabkitError, match=r"run.checkpoint\.pt: cannot be"):
        train(tmp_path / "run", loss_called=calls)
    assert not calls and (tmp_path / "run").read_text() == "mine"


def test_a_full_disk_is_met_before_training_and_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="a limit on file sizes stands for the full disk")
    calls = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(LabkitError, match=r"checkpoint\.pt: cannot be written .*free some space"):
            train(tmp_path, loss_called=calls)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not calls and not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("enforce fail")])
def test_a_disk_that_fills_up_later_leaves_the_previous_checkpoint(tmp_path, monkeypatch, error):
    train(tmp_path)
    before, save = (tmp_path / "checkpoint.pt").read_bytes(), torch.save

    def half(content, stream):
        save(torch.ones(3), stream)
        raise error

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(LabkitError, match="cannot be written"):
        train(tmp_path, epochs=3)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_what_a_killed_writer_left_is_swept_away(trained):
    shutil.copy(trained, trained.parent / ".checkpoint-abc.pt")
    train(trained.parent)
    assert [path.name for path in trained.parent.iterdir()] == ["checkpoint.pt"]


def test_it_writes_no_more_often_than_asked(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    checkpoints = Checkpoints(tmp_path, {}, seconds=10.0)
    assert not checkpoints.due()
    checkpoints.save({})
    now = 9.9
    assert not checkpoints.due()
    now = 10.0
    assert checkpoints.due()
    assert not Checkpoints(None, {}, seconds=0.0).due()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(values)
def test_plain_values_survive_a_checkpoint(tmp_path_factory, value):
    checkpoints = Checkpoints(tmp_path_factory.mktemp("plain"), {}, seconds=1.0)
    checkpoints.save({"value": plain(value, "test")})
    assert checkpoints.load() == {"value": value}


def test_arrays_become_tensors_and_scalars_python():
    made = plain({"a": np.arange(3), "b": np.float64(2.5), "c": (torch.ones(2, requires_grad=True), True)}, "test")
    assert torch.equal(made["a"], torch.arange(3)) and made["b"] == 2.5 and type(made["b"]) is float
    assert isinstance(made["c"], list) and not made["c"][0].requires_grad and made["c"][1] is True
    for bad in (nn.Linear(1, 1), np.array([object()]), {1, 2}):
        with pytest.raises(LabkitError, match="test: returned"):
            plain(bad, "test")


def test_every_generator_is_put_back(tmp_path):
    import random

    def draw():
        return random.random(), np.random.normal(), torch.randn(2).tolist(), np.random.normal()

    np.random.normal()  # numpy's legacy generator keeps a second normal in hand
    checkpoints = Checkpoints(tmp_path, {}, seconds=1.0)
    checkpoints.save(rng_state())
    with preserved_rng():
        first = draw()
    assert draw() == first
    set_rng_state(checkpoints.load())
    assert draw() == first
