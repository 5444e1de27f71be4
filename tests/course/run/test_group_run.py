"""Labs whose models several processes train together: one record, the numbers of one process, a lost one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch.distributed as dist
from consoles import Recorder

from labkit.course.run import group
from labkit.course.run.execute import Task
from labkit.course.run.labs import list_labs
from labkit.course.run.run import RunConfig, run_labs, validate
from labkit.errors import LabkitError

pytest.importorskip("optuna", reason="needs the extra sweep")
pytestmark = [
    pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed"),
    pytest.mark.skipif(sys.platform == "win32", reason="the planted accident is a POSIX signal"),
]

PLACE = """
import os
from pathlib import Path
Path(OUT, "place").write_text(" ".join(os.environ[name] for name in ("RANK", "WORLD_SIZE", "OMP_NUM_THREADS")))
"""
# No noise is drawn, so that the numbers must be those of one process; of six searched models some are stopped early.
SWEEP = """
import os, signal
from pathlib import Path
import torch
from torch import nn
from labkit.data.resident import ResidentBatches
from labkit.fit import Update, every, fit
from labkit.fit.search import search_sweep
from labkit.fit.sweep import grid_sweep

ACCIDENT = os.environ.get("LABKIT_TEST_ACCIDENT")

def train_one(config, seed, run_dir, looks=()):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    rows, steps = torch.randn(60, 3), []
    def loss(model, x):
        steps.append(1)
        if ACCIDENT and os.environ["RANK"] == ACCIDENT and config["rate"] == 0.01 and len(steps) == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return (model(x) - x.sum(1, keepdim=True)).square().mean()
    adam = torch.optim.Adam(model.parameters(), config["rate"])
    batches = ResidentBatches(rows, batch_size=10, seed=seed)
    result = fit(model, Update("loss", loss, adam), batches, epochs=4, run_dir=run_dir,
                 checkpoint_seconds=0.0, progress=False, callbacks=looks)
    return {"loss": result.history.loss.iloc[-1], "rank": int(os.environ.get("RANK", "0"))}

def try_one(config, run_dir, report):
    tell = every(1, lambda model, epoch: report(epoch, config["rate"]))  # which may end the training
    train_one(config, 0, run_dir, [tell])
    return config["rate"]

rates = [0.02, 0.03, 0.04, 0.05, 0.06, 0.07]
search = search_sweep({"rate": rates}, try_one, Path(OUT) / "search", trials=6, progress=False)
assert search["pruned"].any() and sorted(search["rate"]) == rates
table = grid_sweep([{"rate": 0.1}, {"rate": 0.01}], train_one, Path(OUT) / "sweep", [0], progress=False)
assert table["rank"].tolist() == [0, 0]
Path(OUT, "losses.json").write_text(str(table["loss"].tolist() + search["epochs"].tolist()))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, make_lab):
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").touch()
    make_lab(root / "notebooks", "00_plain", [PLACE])
    make_lab(root / "notebooks", "01_sweep", [SWEEP])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The losses of one process."""
    folder = tmp_path_factory.mktemp("alone")
    exec(SWEEP, {"OUT": str(folder), "__name__": "alone"})
    return losses(folder)


def losses(folder: Path) -> list[float]:
    """Of the models of the sweep, and the epochs that each of the search was trained for."""
    return json.loads((folder / "losses.json").read_text())


def running(folder: Path) -> list[psutil.Process]:
    """Executors of notebooks that work for a folder."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in str(p.info["cmdline"])]


def test_torchrun_makes_one_record_and_of_a_lost_process_a_checkpoint_and_a_sentence(project, alone):
    """One process then goes on, and comes to the numbers of a run that it did from the beginning."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "labkit", "run", "--profile", "smoke", "--out", "runs"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "LABKIT_TEST_ACCIDENT": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 1 and done.stdout.count("report: ") == 1, done.stdout + done.stderr
    assert done.stdout.count("✓ 00_plain") == done.stdout.count("✗ 01_sweep: failed") == 1
    assert "process 0 of 2: another one was lost; the checkpoint is" in done.stdout
    assert "process 1: the kernel died in In [3]" in done.stdout
    folder = project / "runs" / "smoke"
    assert not running(folder)
    assert (folder / "00_plain" / "place").read_text() == "0 2 1"
    folder /= "01_sweep"
    assert len(list((folder / "sweep").glob("*.json"))) == 1  # the model before is kept
    begun = next((folder / "sweep").glob("*/checkpoint.pt")).parent

    finished = [*folder.glob("sweep/*.json"), *folder.glob("search/*/checkpoint.pt")]
    before = {path: path.stat().st_mtime_ns for path in finished}
    labs = list_labs()
    plain, sweep = run_labs(labs, validate(RunConfig("smoke", project / "runs"), labs), Recorder())
    assert (plain.state, sweep.state) == ("unchanged", "ok")
    assert losses(folder) == pytest.approx(alone, rel=1e-5)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert begun.with_suffix(".json").exists()


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ("0", ["In [3]", "ValueError: odd"]),
        ("1", ["interrupted in In [4]", "process 1: In [3]", "ValueError: odd"]),
    ],
)
def test_a_process_that_fails_alone_does_not_keep_the_others_waiting(
    project, make_lab, tmp_path, monkeypatch, odd, words
):
    """Before the first training there is no connection whose end another one could notice."""
    monkeypatch.setattr(group, "NOTICE_SECONDS", 5.0)
    sources = [
        f"import os, time\nif os.environ['RANK'] == '{odd}':\n    raise ValueError('odd')",
        "time.sleep(100)",
    ]
    notebook = make_lab(tmp_path, "00_odd", sources)
    for name in ("run", "spare"):
        (tmp_path / name).mkdir()
    task = Task(str(notebook), str(tmp_path / "run"), {"PROFILE": "smoke", "OUT": ""}, 100.0, processes=2)
    started = time.monotonic()
    outcome = group.execute_together(task, tmp_path / "spare")
    assert time.monotonic() - started < 60
    assert outcome.state == "failed" and [word for word in words if word not in outcome.message] == []
    assert not running(tmp_path)


def test_the_others_find_what_process_0_finds_and_write_elsewhere(tmp_path):
    (tmp_path / "run" / "sweep").mkdir(parents=True)
    (tmp_path / "run" / "sweep" / "drawn.npz").write_text("faces")
    task = Task("lab.ipynb", str(tmp_path / "run"), {"OUT": str(tmp_path / "run"), "SEED": 3}, 10.0, 2)
    other = group._elsewhere(task, tmp_path / "1")
    assert (tmp_path / "1" / "sweep" / "drawn.npz").read_text() == "faces"
    assert other.folder == other.parameters["OUT"] == str(tmp_path / "1") and other.parameters["SEED"] == 3
    assert task.parameters["OUT"] == str(tmp_path / "run") and other.budget_seconds > 1000


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, (0, 1)),
        ({"RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}, (0, 4)),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}, (3, 4)),
        ({"RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}, None),
    ],
)
def test_where_torchrun_has_put_this_process(monkeypatch, environment, place):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if place is None:
        with pytest.raises(LabkitError, match="processes of one machine"):
            group.torchrun_place()
    else:
        assert group.torchrun_place() == place


def test_each_process_gets_a_gpu_of_its_own_in_the_gpu_profile_alone(monkeypatch, project):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-ab,6")
    assert group.devices("gpu", 2) == ["4", "GPU-ab"]
    assert group.devices("cpu", 2) == ["", ""]
    labs = list_labs()
    with pytest.raises(LabkitError, match="--processes 4: the profile gpu wants an NVIDIA GPU for each, and 3"):
        validate(RunConfig("gpu", project / "gpus", processes=4), labs)
    with pytest.raises(LabkitError, match="must be positive"):
        validate(RunConfig("cpu", project / "gpus", processes=0), labs)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    listing = project / "bin" / "nvidia-smi"
    listing.parent.mkdir()
    listing.write_text("#!/bin/sh\necho 'GPU 0: a (UUID: x)'\necho '  MIG 1g'\necho 'GPU 1: a (UUID: y)'\n")
    listing.chmod(0o755)
    monkeypatch.setenv("PATH", str(listing.parent), prepend=os.pathsep)
    assert group.shown_gpus() == ["0", "1"]
    listing.unlink()
    monkeypatch.setenv("PATH", str(listing.parent))
    assert group.shown_gpus() == []
