"""Many submissions: in parallel, resumed after a kill of the run and of a worker, each done once."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from textwrap import indent

import nbformat
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from small_lab import FIRST, PLAIN, SECOND, START, lab_in, notebook, share, submit

from labkit.course.grade import run as room
from labkit.course.grade.execute import probe
from labkit.course.grade.layout import Place
from labkit.course.grade.limited import Overrun
from labkit.course.grade.run import Task, _salt, choose_kernel, finished, run_submissions
from labkit.course.grade.sandbox.limits import Limits
from labkit.errors import LabkitError
from labkit.files import sha256, write_json, write_text

STUDENTS = ("ada", "bob")
WAITING = """
import time
from pathlib import Path
while not Path({!r}).exists():
    time.sleep(0.1)
"""  # so that bob is still at it when ada is done, however busy the machine is
SCRIPT = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
sys.path.insert(0, {here!r})
from small_lab import lab_in
from labkit.course.grade.layout import Place
from labkit.course.grade.run import run_submissions
from labkit.course.grade.sandbox import limits
limits.LEAST_SECONDS = 600  # who waits for another is no sleeper, however busy the machine is
if __name__ == "__main__":
    course = Path({course!r})
    run_submissions(Place(course, lab_in(course)), jobs=2, unsafe=True)
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with two submissions; each writes a line to a log when its notebook begins."""
    folder = tmp_path_factory.mktemp("course")
    lab = lab_in(folder)
    for student in STUDENTS:
        log = f"open({str(folder / 'log')!r}, 'a').write('{student}\\n')"
        submit(folder, lab, student, between=log + (student == "bob") * WAITING.format(str(folder / "go")))
    return folder, lab


def outcomes(course):
    return {path.parent.parent.name: path for path in course.glob("executed/*/lab77/outcome.json")}


def wait_for(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(pid):
    """Processes in which submissions are executed, below a run's own."""
    found = []
    with suppress(psutil.Error):
        for each in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                found += [each.pid] if "forkserver" in " ".join(each.cmdline()) and each.ppid() != pid else []
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the workers in /proc")
def test_a_killed_run_and_a_killed_worker_lose_nothing_and_grade_nothing_twice(course):
    folder, lab = course
    script = folder / "job.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).resolve().parent), course=str(folder)))
    run = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: len(outcomes(folder)) >= 1)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = {student: path.stat().st_mtime_ns for student, path in outcomes(folder).items()}
    assert set(done) < set(STUDENTS)
    log = folder / "log"
    assert all(log.read_text().split().count(student) == 1 for student in done)

    (folder / "go").touch()
    run = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: run.poll() is not None or children(run.pid))
    for worker in children(run.pid)[:1]:
        os.kill(worker, signal.SIGKILL)
    assert run.wait(timeout=400) == 0
    found = outcomes(folder)
    assert set(found) == set(STUDENTS)
    assert all(found[student].stat().st_mtime_ns == then for student, then in done.items())
    for path in found.values():
        outcome = json.loads(path.read_text())
        assert outcome["status"] == "ok" and share(outcome, FIRST) == share(outcome, SECOND) == 1

    # A changed submission is run again, and no other.
    done = {student: path.stat().st_mtime_ns for student, path in found.items()}
    before, old = log.read_text(), json.loads(found["ada"].read_text())
    submit(folder, lab, "ada", phi="pass")
    again = run_submissions(Place(folder, lab), jobs=2, unsafe=True)
    assert [each["student"] for each in again] == list(STUDENTS) and log.read_text() == before
    assert all(found[student].stat().st_mtime_ns == done[student] for student in STUDENTS[1:])
    assert again[0]["notebook_sha256"] != old["notebook_sha256"]
    assert (share(old, SECOND), share(again[0], FIRST), share(again[0], SECOND)) == (1, 1, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a group of processes")
@pytest.mark.parametrize("where", ["between", "density"])
def test_ctrl_c_costs_nobody_points(tmp_path, where):
    """It reaches every process of a terminal: a submission that was at it, in a cell or asked, has no outcome."""
    lab = lab_in(tmp_path)
    wait = WAITING.format(str(tmp_path / "go"))
    waits = {"between": wait, "density": f"def log_density(x):{indent(wait, '    ')}\n    return x"}
    submit(tmp_path, lab, "ada", **{where: waits[where]})
    script = tmp_path / "job.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).resolve().parent), course=str(tmp_path)))
    run = subprocess.Popen([sys.executable, str(script)], start_new_session=True, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(tmp_path.glob("executed/*/*/progress.json")))
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(timeout=240) and not outcomes(tmp_path)


def test_nothing_prepared_is_said(tmp_path):
    with pytest.raises(LabkitError, match="prepare"):
        run_submissions(Place(tmp_path, lab_in(tmp_path)), unsafe=True)


def test_a_submission_that_no_worker_gets_done_stops_nobody_and_says_so(tmp_path, monkeypatch, capsys):
    lab = lab_in(tmp_path)
    for student in STUDENTS:
        submit(tmp_path, lab, student)

    def work_on(task):
        if task.submission.parent.name == "bob":
            raise ValueError("of a\x1b kind")
        about = {"student": "ada", "status": "ok", "reason": ""}
        write_json(task.out / room.OUTCOME, about | {"notebook_sha256": sha256(task.submission / lab.path.name)})

    monkeypatch.setattr(room, "run_limited", lambda *args, **settings: (1.0, 0.0))
    monkeypatch.setattr(room, "_limited", work_on)
    _, bob = run_submissions(Place(tmp_path, lab), unsafe=True)
    assert (bob["student"], bob["status"]) == ("bob", "refused") and "by hand" in bob["reason"]
    assert set(bob["exercises"]) == {FIRST, SECOND}
    said = sorted(capsys.readouterr().out.splitlines())
    assert said == ["ada"] + ["bob: stopped with ValueError('of a\\x1b kind')"] * 3


def test_an_instructors_error_stops_all(tmp_path, monkeypatch):
    lab = lab_in(tmp_path)
    submit(tmp_path, lab, "ada")

    def fail(task):
        raise LabkitError("no sandbox.")

    monkeypatch.setattr(room, "run_limited", lambda *args, **settings: (1.0, 0.0))
    monkeypatch.setattr(room, "_limited", fail)
    with pytest.raises(LabkitError, match="no sandbox"):
        run_submissions(Place(tmp_path, lab), unsafe=True)


def test_dask_does_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    lab = lab_in(tmp_path)
    submit(tmp_path, lab, "ada")
    settings = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**settings, protocol="tcp://") as cluster:
        found = run_submissions(Place(tmp_path, lab), scheduler=cluster.scheduler_address, unsafe=True)
    assert [each["student"] for each in found] == ["ada"]
    assert share(found[0], FIRST) == share(found[0], SECOND) == 1


def test_hidden_inputs_are_the_same_for_one_notebook_and_others_for_any_other(tmp_path):
    lab = lab_in(tmp_path)
    path = submit(tmp_path, lab, "ada") / lab.path.name
    submit(tmp_path, lab, "bob")
    ada, bob = (Place(tmp_path, lab, name) for name in ("ada", "bob"))
    salts = [_salt(ada), _salt(ada), _salt(bob)]
    path.write_text(path.read_text() + " ")
    salts.append(_salt(ada))
    assert salts[0] == salts[1] and len(set(salts)) == 3 and all(0 < each < 2**63 for each in salts)


def test_a_cache_that_is_not_there_yet_is_not_shown_to_submissions(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.course.grade.sandbox.sandbox.require_sandbox", lambda: None)
    for place, shown in ((tmp_path, (tmp_path,)), (tmp_path / "none", ())):
        monkeypatch.setenv("LABKIT_CACHE", str(place))
        kernel = choose_kernel()
        assert kernel.readable == shown and ("LABKIT_CACHE" in kernel.environment) == bool(shown)


@pytest.mark.parametrize("held", [[], {}, {"student": "ada"}, {"student": "ada", "status": "ok"}])
def test_an_outcome_of_another_shape_is_none(tmp_path, held):
    lab = lab_in(tmp_path)
    task = Task(submit(tmp_path, lab, "ada"), tmp_path, lab, PLAIN, Limits(), 1)
    whole = {"student": "ada", "status": "ok", "reason": ""}
    for outcome, done in ((whole, True), (held, False)):
        sha = {"notebook_sha256": sha256(task.submission / lab.path.name)}
        write_json(tmp_path / "outcome.json", outcome | sha if isinstance(outcome, dict) else outcome)
        assert (finished(task) is not None) == done


def test_what_the_clock_stopped_is_run_again_alone_before_it_counts(tmp_path, monkeypatch):
    lab = lab_in(tmp_path)
    for student in STUDENTS:
        submit(tmp_path, lab, student)
    done = []

    def work_on(task):
        student = task.submission.parent.name
        done.append((student, task.alone))
        late = student == "bob" and not task.alone
        outcome = {"notebook_sha256": sha256(task.submission / lab.path.name), "again": late, "student": student}
        write_json(task.out / room.OUTCOME, outcome | {"status": "time-out" if late else "ok", "reason": ""})

    monkeypatch.setattr(room, "run_limited", lambda *args, **settings: (1.0, 0.0))
    monkeypatch.setattr(room, "_limited", work_on)
    found = run_submissions(Place(tmp_path, lab), unsafe=True)
    assert [each["status"] for each in found] == ["ok", "ok"]
    assert sorted(done) == [("ada", False), ("bob", False), ("bob", True)]
    run_submissions(Place(tmp_path, lab), unsafe=True)
    assert len(done) == 3


def test_a_worker_that_is_ended_for_its_computing_time_keeps_what_was_asked_before(tmp_path, monkeypatch):
    lab = lab_in(tmp_path)
    submit(tmp_path, lab, "ada")
    done = []

    def work_on(task):
        done.append(task)
        asked = {FIRST: {"properties": [{"name": "x", "passed": True, "hint": ""}], "reason": ""}}
        write_json(task.out / "progress.json", {"asking": SECOND, "exercises": asked})
        raise Overrun("it took more computing time than it may", certain=True)

    monkeypatch.setattr(room, "run_limited", lambda *args, **settings: (1.0, 0.0))
    monkeypatch.setattr(room, "_limited", work_on)
    (found,) = run_submissions(Place(tmp_path, lab), unsafe=True)
    assert share(found, FIRST) == 1 and share(found, SECOND) == 0 and len(done) == 1
    assert "computing time" in found["reason"] and "by hand" in found["exercises"][SECOND]["reason"]


def test_a_submission_whose_kernel_does_not_start_stops_nobody_else(tmp_path):
    lab = lab_in(tmp_path)
    eve = submit(tmp_path, lab, "eve")
    (eve / "ipykernel_launcher.py").write_text("raise SystemExit('none of your kernels')")
    submit(tmp_path, lab, "zoe")
    bad, good = run_submissions(Place(tmp_path, lab), unsafe=True)
    assert bad["status"] == "refused" and "by hand" in bad["reason"] and share(bad, FIRST) == 0
    assert good["status"] == "ok" and share(good, FIRST) == share(good, SECOND) == 1


WRONG = {
    "No module named 'of_another_checkout'": ("import sys", "import sys, of_another_checkout"),
    "one number for the whole batch": ("x.square().sum(dim=1))", "x.square().sum())"),
}


@pytest.mark.parametrize("words", WRONG)
def test_where_the_courses_own_notebook_fails_nobody_is_graded(tmp_path, words):
    lab = lab_in(tmp_path)
    lab.path.write_text(lab.path.read_text().replace(*WRONG[words]))
    submit(tmp_path, lab, "ada")
    with pytest.raises(LabkitError, match=rf"{words}.*nobody was graded"):
        run_submissions(Place(tmp_path, lab), unsafe=True)
    assert not outcomes(tmp_path)


def test_a_cell_may_take_a_few_times_what_the_dearest_of_the_course_does(tmp_path, monkeypatch):
    """So a loop or a sleep without end costs seconds; one student alone, whom nobody waits for, has all the time."""
    lab = lab_in(tmp_path)
    done = []

    def work_on(task):
        done.append(task.limits)
        about = {"notebook_sha256": sha256(task.submission / lab.path.name), "status": "ok", "reason": ""}
        write_json(task.out / room.OUTCOME, about | {"student": "ada"})

    monkeypatch.setattr(room, "_limited", work_on)
    for dearest in (0.1, 4.0, 1000.0, math.inf):
        submit(tmp_path, lab, "ada", between=f"{dearest}")
        monkeypatch.setattr(room, "run_limited", lambda *args, own=(dearest, dearest / 2), **settings: own)
        run_submissions(Place(tmp_path, lab), unsafe=True)
    run_submissions(Place(tmp_path, lab), unsafe=True, student="ada")
    most, asleep = Limits().cell_seconds, Limits().asleep_seconds
    assert [each.cell_seconds for each in done] == [10, 20, most, most, most]
    assert [each.asleep_seconds for each in done] == [10, 10, asleep, asleep, asleep]
    assert {each.wall_seconds for each in done} == {Limits().wall_seconds}


def test_a_corrected_check_or_a_name_runs_what_it_touches_again(tmp_path, monkeypatch):
    lab = lab_in(tmp_path)
    for student in STUDENTS:
        submit(tmp_path, lab, student)
    done = []

    def work_on(task):
        done.append(task.submission.parent.name)
        about = {"notebook_sha256": sha256(task.submission / lab.path.name), "checks": task.state, "status": "ok"}
        write_json(task.out / room.OUTCOME, about | {"student": done[-1], "reason": ""})

    monkeypatch.setattr(room, "run_limited", lambda *args, **settings: (1.0, 0.0))
    monkeypatch.setattr(room, "_limited", work_on)
    place = Place(tmp_path, lab)
    run_submissions(place, unsafe=True)
    run_submissions(place, unsafe=True)
    assert sorted(done) == sorted(STUDENTS)
    assert len(run_submissions(place, unsafe=True, student="bob")) == 1 and done[2:] == ["bob"]
    with pytest.raises(LabkitError, match="nobody: has nothing prepared"):
        run_submissions(place, unsafe=True, student="nobody")
    monkeypatch.setattr(room, "state_of_checks", lambda path: "corrected")
    run_submissions(place, unsafe=True)
    assert sorted(done[3:]) == sorted(STUDENTS)


def test_the_probe_tells_what_the_courses_own_notebook_computes_and_sleeps(tmp_path):
    lab = lab_in(tmp_path)
    computes = "import time\nend = time.process_time() + 2\nwhile time.process_time() < end:\n    pass\n"
    cells = notebook(start=computes + START, between="time.sleep(8)")  # under load it is not looked at every second
    write_text(lab.path, nbformat.writes(cells))
    dearest, asleep = probe(lab, PLAIN, Limits())
    assert 2 <= dearest < 60 and 2 <= asleep < 9


READS = """
import sys
from pathlib import Path
import {module}
from labkit.course.grade.exercises import state_of_checks
state_of_checks(Path({path!r}))
sys.exit("torch" in sys.modules or "pandas" in sys.modules)
"""
COMMANDS = ("intake.prepare", "run", "marks.gradebook", "marks.feedback", "marks.export", "marks.similar")


@pytest.mark.parametrize("module", COMMANDS)
def test_what_runs_no_check_loads_no_torch(tmp_path, module):
    """It is most of a command's memory, which is held beside the processes that grade, and of its start."""
    code = READS.format(module=f"labkit.course.grade.{module}", path=str(lab_in(tmp_path).path))
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
