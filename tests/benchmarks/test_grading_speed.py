"""Grading a class in which five attack the grader, beside the same class without them, and killed half way."""

import csv
import os
import subprocess
import sys
import time

import psutil
import pytest
from bench_device import ON_GPU
from class_of_strangers import hand_in
from ledger import enter, paired

from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.layout import Place
from labkit.course.grade.run import OUTCOME
from labkit.course.grade.sandbox.sandbox import require_sandbox
from labkit.errors import LabkitError

STUDENTS = int(os.environ.get("LABKIT_BENCH_CLASS", "20"))
KIND = {"honest": False, "five hostile": True}
KILLED = "killed once"  # the class with five hostile ones once more
STEPS = {
    "prepare": ("--from", "handed-in", "--deadline", "2100-01-01"),
    "run": ("--jobs", "2"),
    "ingest": (),
    "feedback": (),
    "export": (),
    "overview": (),
}

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]


def trusted_bytes(process):
    """PSS of a command and all below it, but what runs in a sandbox."""
    todo, total = [process], 0
    while todo:
        each = todo.pop()
        try:
            if each.name() != "bwrap":
                total += each.memory_full_info().pss
                todo += each.children()
        except psutil.Error:  # it has ended since
            pass
    return total


def begin(place, step):
    """The command of one step, begun."""
    words = ["grade", step, "demo", "--course", str(place.course), *STEPS[step]]
    with open(place.course / f"{step}.log", "w") as log:
        return psutil.Popen(
            [sys.executable, "-m", "labkit", *words], cwd=place.course, stdout=log, stderr=subprocess.STDOUT
        )


def kill_half_way(place):
    """Begin `run` and kill it when half of the class has an outcome; the outcomes that are there then."""
    process = begin(place, "run")
    while len(done := outcomes(place)) < STUDENTS // 2:
        assert process.poll() is None, (place.course / "run.log").read_text()[-2000:]
        time.sleep(0.2)
    process.kill()
    process.wait()
    return done


def outcomes(place):
    """outcome.json of each student who has one → when it was written."""
    files = [each.folder("executed") / OUTCOME for each in place.students()]
    return {file: file.stat().st_mtime_ns for file in files if file.is_file()}


def grade(place, *, killed=False):
    """Seconds that a whole class takes, and the most memory that the trusted side held."""
    seconds, peak = 0.0, 0
    for step in STEPS:
        if killed and step == "run":
            before = kill_half_way(place)
        start, process = time.monotonic(), begin(place, step)
        while process.poll() is None:
            peak = max(peak, trusted_bytes(process))
            time.sleep(0.5)
        seconds += time.monotonic() - start
        assert process.returncode == 0, (place.course / f"{step}.log").read_text()[-2000:]
    if killed:
        after = outcomes(place)
        assert {file: after[file] for file in before} == before  # what was done was not done again
    return seconds, peak


@pytest.mark.skipif(ON_GPU, reason="a measure of the CPU")
def test_five_hostile_submissions_do_not_hold_up_a_class(tmp_path):
    try:
        require_sandbox()
    except LabkitError as error:
        pytest.skip(str(error))
    seconds, peaks = {}, {}
    for kind, hostile in (KIND | {KILLED: True}).items():
        (course := tmp_path / kind).mkdir()
        place = Place(course, demo_lab(course))
        subprocess.run([sys.executable, "-m", "labkit", "release", "demo", "--course", str(course)], check=True)
        expected = hand_in(place, STUDENTS, hostile)
        seconds[kind], peaks[kind] = grade(place, killed=kind == KILLED)
        points = dict.fromkeys(expected, 0.0)
        with open(course / "labdemo.csv", encoding="utf-8-sig") as rows:
            for row in csv.DictReader(rows):
                points[row["student"]] += float(row["points"])
        assert {s: points[s] for s, e in expected.items() if e is not None} == pytest.approx(
            {s: e for s, e in expected.items() if e is not None}
        )
    row = paired(*([seconds[kind]] for kind in KIND)) | {"peak_megabytes": max(peaks.values()) / 2**20}
    enter(f"{STUDENTS} submissions graded by two jobs: without (“plain”) and with five hostile ones", row)
