"""Sweeps on a cluster: a real scheduler here, a worker killed, a lab that waits for its own worker."""

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from consoles import Recorder
from filelock import FileLock

from labkit.course.run.labs import list_labs
from labkit.course.run.run import RunConfig, run_labs, validate
from labkit.errors import LabkitError
from labkit.fit import sweep_cluster
from labkit.fit.sweep import Cell, cell_name, grid_sweep
from labkit.scheduler import SCHEDULER_VARIABLE

distributed = pytest.importorskip("distributed", reason="needs the extra grade")
dask = pytest.importorskip("dask", reason="needs the extra grade")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the planted accident is a POSIX signal")

# Each model leaves a line "size worker"; the one of size 2 kills its worker when it is trained for the first time.
SWEEP = """
import os, signal, time
from pathlib import Path
from labkit.fit.sweep import grid_sweep

HALF = 0.5  # used by train_one, and known to this notebook alone

def train_one(config, seed, run_dir):
    worker = os.getppid()
    run_dir.mkdir(parents=True, exist_ok=True)
    with open(Path(OUT) / "cells", "a") as lines:
        lines.write(f"{config['size']} {worker}\\n")
    if config["size"] == 2 and not (run_dir / "weights").exists():
        (run_dir / "weights").touch()
        os.kill(worker, signal.SIGKILL)
        time.sleep(120)
    (run_dir / "weights").touch()
    return {"loss": HALF * config["size"]}

table = grid_sweep([{"size": size} for size in SIZES], train_one, Path(OUT) / "sweep", [0], progress=False)
assert table["loss"].tolist() == [HALF * size for size in SIZES]
assert all(path.with_suffix("").joinpath("weights").exists() for path in Path(OUT, "sweep").glob("*.json"))
"""


# Three more tasks for whoever has time, each of which leaves a line "lab worker".
LABS_BEHIND = """
import os
from distributed import Client

def begin(out):
    import os
    with open(out + "/cells", "a") as lines:
        lines.write(f"lab {os.getpid()}\\n")

client = Client(os.environ["LABKIT_SCHEDULER"], set_as_default=False)
behind = [client.submit(begin, OUT, pure=False) for _ in range(3)]
"""


def sweep_on(cluster, root: Path, make_lab, sizes: str, *before: str) -> tuple[str, Path]:
    """Run a lab whose sweep has models of these sizes; its state or what went wrong, and its folder."""
    (root / "pyproject.toml").touch()
    after = ["client.gather(behind)"] if before else []
    make_lab(root / "notebooks", "00_sweep", [*before, SWEEP, *after], extra=f"SIZES = {sizes}", budget=240)
    with contextlib.chdir(root):
        labs, config = list_labs(), RunConfig("smoke", root / "runs", scheduler=cluster.scheduler_address)
        (result,) = run_labs(labs, validate(config, labs), Recorder())
    return result.message or result.state, config.folder(labs[0])


def test_a_lost_worker_costs_its_model_a_restart_and_nothing_else(tmp_path, make_lab):
    options = {"n_workers": 3, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        state, folder = sweep_on(cluster, tmp_path, make_lab, "(1, 2, 3)")
    assert state == "ok"
    lines = [line.split() for line in (folder / "cells").read_text().splitlines()]
    assert Counter(size for size, _ in lines) == {"1": 1, "2": 2, "3": 1}
    first, second = (worker for size, worker in lines if size == "2")
    assert first != second
    assert len({worker for _, worker in lines}) > 1
    left = {path.suffix for path in (folder / "sweep").iterdir() if path.is_file()}
    assert left == {".json", ".lock"}  # neither a log nor what was sent to the workers


def test_what_a_killed_sweep_sent_is_removed_and_not_what_another_waits_for(tmp_path):
    dead, alive = (tmp_path / f".parcel-{name}.pkl" for name in ("dead", "alive"))
    dead.touch()
    alive.touch()
    cell = Cell({"size": 1}, {"size": 1}, 0, tmp_path / "cell.json")
    with FileLock(alive.with_suffix(".lock")), sweep_cluster._parcel([cell], max) as sent:
        assert {*tmp_path.glob("*.pkl"), *tmp_path.glob(".*.pkl")} == {alive, Path(sent)}
    assert alive.exists() and not Path(sent).exists()


def test_a_lab_does_not_wait_for_the_worker_that_it_holds_itself_nor_for_labs_behind_it(tmp_path, make_lab):
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options, protocol="tcp://") as cluster:
        state, folder = sweep_on(cluster, tmp_path, make_lab, "(1,)", LABS_BEHIND)
    assert state == "ok"
    order = [line.split()[0] for line in (folder / "cells").read_text().splitlines()]
    assert sorted(order) == ["1", "lab", "lab", "lab"]
    assert order.index("1") < 2  # the first lab behind may stand in the worker's own queue before


def test_a_model_that_takes_its_workers_with_it_is_a_sentence(tmp_path, monkeypatch):
    train_one = as_in_a_notebook(
        """
def train_one(config, seed, run_dir):
    import os, signal, time
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(100)
"""
    )
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(**options) as cluster,
    ):
        monkeypatch.setenv(SCHEDULER_VARIABLE, cluster.scheduler_address)
        with pytest.raises(LabkitError, match="a = 0, seed 1: several workers died in training it"):
            grid_sweep([{"a": 0}], train_one, tmp_path, [1], progress=False)
    assert not [*tmp_path.glob("*.json"), *tmp_path.glob(".parcel-*")]


@pytest.fixture
def scheduler(monkeypatch):
    """A scheduler with one worker that trains two models at a time, in this process."""
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        monkeypatch.setenv(SCHEDULER_VARIABLE, cluster.scheduler_address)
        yield cluster


def as_in_a_notebook(source: str, **names):
    """The function `train_one` of a notebook: nobody can import what it needs."""
    exec(source, names | {"__name__": "__main__"}, defined := {})
    return defined["train_one"]


def test_a_model_that_fails_ends_the_sweep_with_a_sentence_and_the_others_with_it(scheduler, tmp_path):
    train_one = as_in_a_notebook(
        """
def train_one(config, seed, run_dir):
    import os, pathlib, time
    other = pathlib.Path(run_dir).parent / "pid"
    if config["a"]:
        other.write_text(str(os.getpid()))
        time.sleep(100)
    while not other.exists():
        time.sleep(0.1)
    raise ValueError("boom")
"""
    )
    with pytest.raises(LabkitError, match=r"a = 0, seed 5: its process ended with status 1: ValueError: boom"):
        grid_sweep([{"a": 0}, {"a": 1}], train_one, tmp_path, [5], progress=False)
    pid, until = int((tmp_path / "pid").read_text()), time.monotonic() + 120
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)
    assert not [*tmp_path.glob("*.json"), *tmp_path.glob(".parcel-*")]


def test_what_a_lost_lab_left_in_training_is_waited_for(scheduler, tmp_path):
    """Its process goes on until it has written its numbers; whoever comes later takes those."""
    cell = Cell({"a": 0}, {"a": 0}, 1, tmp_path / f"{cell_name({'a': 0, 'seed': 1})}.json")
    begun = threading.Event()

    def other_process():
        with FileLock(tmp_path / f".{cell.path.stem}.lock"):
            begun.set()
            while not (tmp_path / "arrived").exists():
                time.sleep(0.1)
            time.sleep(2.0)
            cell.train(lambda *_: {"loss": 7.0})

    other = threading.Thread(target=other_process, daemon=True)
    other.start()
    begun.wait()
    train_one = as_in_a_notebook(
        """
class Trainer:
    def __setstate__(self, state):  # where it is unpacked
        state["arrived"].touch()

    def __call__(self, *_):
        return {"loss": 8.0}

train_one = Trainer()
"""
    )
    train_one.arrived = tmp_path / "arrived"
    table = grid_sweep([{"a": 0}], train_one, tmp_path, [1], progress=False)
    other.join()
    assert table["loss"].tolist() == [7.0]


def test_what_is_there_is_not_sent_and_what_cannot_be_sent_is_refused(scheduler, tmp_path):
    def train_one(config, seed, run_dir):
        return {"loss": float(seed), "open": scheduler is None}

    with pytest.raises(LabkitError, match=r"train_one cannot be sent to other workers .* or unset LABKIT_SCHED"):
        grid_sweep([{"a": 0}], train_one, tmp_path, [1], progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SCHEDULER_VARIABLE)
        here = grid_sweep([{"a": 0}], train_one, tmp_path, [1], progress=False)
    assert grid_sweep([{"a": 0}], train_one, tmp_path, [1], progress=False).equals(here)
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["result"] == {"loss": 1.0, "open": 0.0}
