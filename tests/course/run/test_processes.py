"""Child processes: what they are started with, where they complain, and that nothing of them outlives its purpose."""

import contextlib
import json
import os
import signal
import sys
import time

import psutil
import pytest

from labkit.course.run import processes
from labkit.course.run.execute import Task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sessions and signals of POSIX")

# A process that prints the number of its child and waits.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
print(child.pid, flush=True)
time.sleep(100)
"""

TALK = """
import os, sys, time
for i in range(20):
    os.write(2, f"{sys.argv[1]} {i}\\n".encode())
    time.sleep(0.005)
"""


def start(tmp_path, program, **options):
    return processes.start(["-c", program], log=tmp_path / "log", **{"threads": None, **options})


def gone(number, seconds=120.0):
    """Whether a process is gone by then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(number).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def end(*numbers):
    """End what a failed test has left."""
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def test_what_several_say_into_one_log_is_all_kept(tmp_path):
    (tmp_path / "log").write_text("earlier\n")
    arguments = [["-c", TALK, who] for who in "ab"]
    for child in [processes.start(each, log=tmp_path / "log", threads=None) for each in arguments]:
        child.wait()
    said = (tmp_path / "log").read_text().splitlines()
    assert said[0] == "earlier" and len(said) == 41
    for who in "ab":
        assert [line for line in said if line.startswith(who)] == [f"{who} {i}" for i in range(20)]


@pytest.mark.parametrize(("threads", "seen"), [(3, "3 3 yes"), (None, "7 8 yes")])
def test_it_has_its_share_of_threads_and_the_variables(tmp_path, monkeypatch, threads, seen):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MKL_NUM_THREADS", "8")
    names = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "ASKED"
    tell = f"import os; print(*(os.environ[name] for name in {names}))"
    child = start(tmp_path, tell, threads=threads, variables={"ASKED": "yes"})
    assert child.communicate()[0].strip() == seen


def test_the_terminals_ctrl_c_does_not_reach_it_and_ours_reaches_what_it_started(tmp_path):
    process = start(tmp_path, PARENT)
    child = int(process.stdout.readline())
    assert os.getsid(process.pid) != os.getsid(0)
    processes.interrupt_kernels(process)
    assert gone(child) and process.poll() is None
    processes.kill_tree(process)


def test_killing_one_ends_all_that_it_started(tmp_path):
    process = start(tmp_path, PARENT)
    child = int(process.stdout.readline())
    processes.kill_tree(process)
    assert gone(process.pid) and gone(child)


def test_who_ends_with_its_parent_takes_its_children_along(tmp_path):
    follower = "from labkit.course.run import processes; processes.end_with_parent()\n" + PARENT
    leader = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {follower!r}])\ntime.sleep(100)"
    process = start(tmp_path, leader)
    child = int(process.stdout.readline())
    parent = psutil.Process(child).parent().pid
    process.kill()
    process.wait()
    try:
        assert gone(parent) and gone(child)
    finally:
        end(parent, child)


def test_a_notebook_whose_runner_was_killed_is_executed_no_further(tmp_path, make_lab):
    notebook = make_lab(tmp_path, "00_long", ["import time; time.sleep(300)"])
    (tmp_path / "run").mkdir()
    task = Task(str(notebook), str(tmp_path / "run"), {"PROFILE": "smoke"}, 100.0)
    runner = "import json, subprocess, sys, time\n"
    runner += "subprocess.Popen([sys.executable, *json.loads(sys.argv[1])])\ntime.sleep(300)"
    command = ["-c", runner, json.dumps(task.command)]
    process = processes.start(command, log=tmp_path / "log", threads=1)
    said = next(line for line in process.stdout if '"cell": 2' in line)
    family = processes.descendants(process)
    process.kill()
    try:
        assert said and len(family) >= 2 and all(gone(each.pid) for each in family)
    finally:
        end(*(each.pid for each in family))


@pytest.mark.parametrize("name", processes.NOT_TAKEN_OVER)
def test_a_users_settings_that_would_change_a_lab_stay_behind(name, tmp_path, monkeypatch):
    monkeypatch.setenv(name, "error")
    monkeypatch.setenv("LABKIT_DATA", "there")
    child = start(tmp_path, f"import os; print(os.environ.get({name!r}), os.environ['LABKIT_DATA'])")
    assert child.communicate(timeout=120)[0].split() == ["None", "there"]
