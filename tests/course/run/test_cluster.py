"""Labs on a cluster: a real scheduler with three worker processes here, one of which is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from consoles import Recorder

from labkit.course.run import cluster as cluster_module
from labkit.course.run.labs import list_labs
from labkit.course.run.run import RunConfig, run_labs, validate
from labkit.errors import LabkitError
from labkit.record import STATE, read_record
from labkit.scheduler import connect

distributed = pytest.importorskip("distributed", reason="needs the extra grade")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the planted accident is a POSIX signal")

TRIED = """
import os, time
from pathlib import Path
import psutil
with open(Path(OUT) / "tried", "a") as tried:
    executor = psutil.Process().parent()
    tried.write(f"{executor.pid} {executor.parent().pid}\\n")
"""
WAITS_THE_FIRST_TIME = """
if len((Path(OUT) / "tried").read_text().splitlines()) == 1:
    time.sleep(120)
"""
LABS = {
    "00_plain": [TRIED],
    "01_loses_its_worker": [TRIED, WAITS_THE_FIRST_TIME],
    "02_fails": [TRIED, "raise ValueError('boom')"],
    "03_slow": [TRIED, "time.sleep(100)"],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory, make_lab):
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").touch()
    for stem, sources in LABS.items():
        make_lab(root / "notebooks", stem, sources, budget=8 if stem == "03_slow" else 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


def kill_the_worker(tried: Path) -> None:
    """Kill -9 the worker of a lab as soon as the lab has said which it is."""
    until = time.monotonic() + 240
    while not (tried.exists() and tried.read_text().endswith("\n")):
        if time.monotonic() > until:
            return
        time.sleep(0.1)
    os.kill(int(tried.read_text().split()[1]), signal.SIGKILL)


def test_a_lost_worker_costs_its_lab_a_restart_and_nothing_else(project):
    options = {"n_workers": 3, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        config = RunConfig("smoke", project / "runs", scheduler=cluster.scheduler_address)
        labs = list_labs()
        folders = {lab.stem: config.folder(lab) for lab in labs}
        killer = threading.Thread(target=kill_the_worker, args=(folders["01_loses_its_worker"] / "tried",))
        killer.start()
        results = {result.lab: result for result in run_labs(labs, validate(config, labs), Recorder())}
        killer.join()
    tries = {stem: (folder / "tried").read_text().splitlines() for stem, folder in folders.items()}
    assert {stem: result.state for stem, result in results.items()} == {
        "00_plain": "ok",
        "01_loses_its_worker": "ok",
        "02_fails": "failed",
        "03_slow": "timed out",
    }
    assert {stem: len(lines) for stem, lines in tries.items()} == {
        **dict.fromkeys(LABS, 1),
        "01_loses_its_worker": 2,
    }
    first, second = tries["01_loses_its_worker"]
    assert first.split()[1] != second.split()[1]
    assert "boom" in results["02_fails"].message
    assert read_record(folders["00_plain"], STATE, {})["state"] == "ok"


def test_an_executor_ends_with_whoever_started_it(project, tmp_path):
    """Else a lab begun anew elsewhere would find its folder still written to."""
    task = '{"notebook": "%s", "folder": "%s", "parameters": {"OUT": "%s"}, "budget_seconds": 60}'
    task %= (project / "notebooks" / "01_loses_its_worker.ipynb", tmp_path, tmp_path)
    program = "labkit.course.run.execute"
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-m', '{program}', sys.argv[1]])"
    parent = subprocess.Popen([sys.executable, "-c", starter, task], stdout=subprocess.DEVNULL)
    tried = tmp_path / "tried"
    while not (tried.exists() and tried.read_text().endswith("\n")):
        time.sleep(0.1)
    executor = int(tried.read_text().split()[0])
    parent.kill()
    parent.wait()
    until = time.monotonic() + 120
    while _runs(executor) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _runs(executor)


def _runs(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it may end between any two looks
        return False


def test_a_wrong_address_is_one_sentence(monkeypatch):
    monkeypatch.setattr("labkit.scheduler.CONNECT_SECONDS", 1)
    with pytest.raises(LabkitError, match="no scheduler answers there; start one"):
        connect("tcp://127.0.0.1:9")


def test_what_a_library_prints_beside_the_outcome_does_not_hide_it():
    assert cluster_module._outcome('{"cell": 1}\n{warm up}\n{"outcome": {"state": "ok"}}\n{done}\n') == {
        "state": "ok"
    }
    assert cluster_module._outcome("{warm up}\n") is None


def test_labs_that_share_a_machine_get_as_many_times_their_budget(project):
    options = {"n_workers": 1, "threads_per_worker": 3, "processes": False, "dashboard_address": None}
    labs = list_labs()
    with distributed.LocalCluster(**options) as cluster:
        config = validate(
            RunConfig("smoke", project / "runs", scheduler=cluster.scheduler_address, budget_factor=3.0), labs
        )
    assert [config.jobs, config.sharing, config.budget(labs[0])] == [4, 2, 600.0]
    for asked, got in ((1, 1), (3, 3), (9, 4)):  # and here, of those that run at a time
        config = validate(RunConfig("smoke", project / "runs", jobs=asked), labs)
        assert [config.jobs, config.sharing, config.budget(labs[0])] == [got, got, 100.0 * got]
