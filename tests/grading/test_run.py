"""Many submissions: in parallel, resumed after a kill of the run and of a worker, each done once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from small_lab import FIRST, SECOND, lab_in, share, submit

from labkit.errors import LabkitError
from labkit.grading.run import run_submissions

STUDENTS = ("ada", "bob", "cy")
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from small_lab import lab_in
from labkit.grading.run import run_submissions
if __name__ == "__main__":
    course = Path({course!r})
    run_submissions(course, lab_in(course), jobs=2, unsafe=True)
"""


@pytest.fixture
def course(tmp_path):
    """A course with three submissions; each writes a line to a log when its notebook begins."""
    lab = lab_in(tmp_path)
    for student in STUDENTS:
        log = f"open({str(tmp_path / 'log')!r}, 'a').write('{student}\\n')"
        submit(tmp_path, lab, student, between=f"{log}\nimport time; time.sleep(1.5)")
    return tmp_path, lab


def outcomes(course):
    return {path.parent.parent.name: path for path in course.glob("executed/*/lab77/outcome.json")}


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the workers in /proc")
def test_a_killed_run_and_a_killed_worker_lose_nothing_and_grade_nothing_twice(course):
    folder, lab = course
    script = folder / "job.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).resolve().parent), course=str(folder)))
    run = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: len(outcomes(folder)) >= 1)
    run.send_signal(signal.SIGKILL)
    run.wait()
    time.sleep(1)
    done = {student: path.stat().st_mtime_ns for student, path in outcomes(folder).items()}
    log = folder / "log"
    assert all(log.read_text().split().count(student) == 1 for student in done)

    run = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: run.poll() is not None or children(run.pid))
    for worker in children(run.pid)[:1]:
        os.kill(worker, signal.SIGKILL)
    assert run.wait(timeout=180) == 0
    found = outcomes(folder)
    assert set(found) == set(STUDENTS)
    assert all(found[student].stat().st_mtime_ns == then for student, then in done.items())
    for path in found.values():
        outcome = json.loads(path.read_text())
        assert outcome["status"] == "ok" and share(outcome, FIRST) == share(outcome, SECOND) == 1

    before = log.read_text()
    again = run_submissions(folder, lab, jobs=2, unsafe=True)
    assert [each["student"] for each in again] == list(STUDENTS) and log.read_text() == before


def test_a_changed_submission_is_run_again_and_no_other(course):
    folder, lab = course
    for student in STUDENTS[1:]:
        (folder / "submitted" / student / "lab77" / "prepared.json").unlink()
    first = run_submissions(folder, lab, jobs=1, unsafe=True)
    submit(folder, lab, "ada", phi="pass")
    second = run_submissions(folder, lab, jobs=1, unsafe=True)
    assert len(first) == len(second) == 1 and first[0]["notebook_sha256"] != second[0]["notebook_sha256"]
    assert share(first[0], SECOND) == 1 and share(second[0], SECOND) == 0


def test_nothing_prepared_is_said(tmp_path):
    with pytest.raises(LabkitError, match="prepare"):
        run_submissions(tmp_path, lab_in(tmp_path), unsafe=True)


def test_dask_does_the_same(course):
    distributed = pytest.importorskip("distributed")
    folder, lab = course
    (folder / "submitted" / "cy" / "lab77" / "prepared.json").unlink()
    settings = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster:
        found = run_submissions(folder, lab, scheduler=cluster.scheduler_address, unsafe=True)
    assert [each["student"] for each in found] == ["ada", "bob"]
    assert all(share(each, FIRST) == share(each, SECOND) == 1 for each in found)
