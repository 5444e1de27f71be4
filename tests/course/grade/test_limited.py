"""Work on strangers' input in a process that can be killed: whatever it meets there, the caller goes on."""

import os
import time
from multiprocessing import get_context

import pytest

from labkit.course.grade.limited import MEBIBYTE, Overrun, _work, run_limited
from labkit.errors import LabkitError

COLLIDING = [k * (2**61 - 1) for k in range(60_000)]  # their hashes are all 0


def add(one, other):
    return one + other, os.getpid()


def fail(kind):
    raise {"labkit": LabkitError("in one sentence."), "other": ValueError("of another kind")}[kind]


def grow(size):
    return len(bytearray(size))


def end():
    os._exit(3)


def look():
    return os.environ.get("LABKIT_TRIAL"), os.listdir(os.environ.get("TMPDIR", "/tmp")) is not None


def make_set(items):
    return len(set(items))


def _computing(items):
    begun = time.process_time()
    make_set(items)
    return time.process_time() - begun


def test_it_gives_what_the_work_gives_in_another_process_with_this_ones_environment(monkeypatch):
    monkeypatch.setenv("LABKIT_TRIAL", "of this moment")
    value, process = run_limited(add, 1, 2)
    assert value == 3 and process != os.getpid()
    assert run_limited(look)[0] == "of this moment"


@pytest.mark.parametrize(("kind", "error"), [("labkit", LabkitError), ("other", ValueError)])
def test_its_errors_are_raised_here(kind, error):
    with pytest.raises(error, match=r"kind|sentence"):
        run_limited(fail, kind)


def test_one_whom_nobody_waits_for_any_more_ends_without_a_word(tmp_path, capfd):
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    about = ({}, str(tmp_path), None, 100 * MEBIBYTE)
    process = context.Process(target=_work, args=(theirs, about, add, (1, 2)))
    ours.close()
    process.start()
    process.join(60)
    assert process.exitcode == 0 and "Traceback" not in capfd.readouterr().err


def test_one_long_operation_is_ended_by_its_computing_time_and_that_is_certain():
    begun = time.process_time()
    with pytest.raises(Overrun, match="computing time") as raised:
        run_limited(make_set, COLLIDING, cpu_seconds=1, wall_seconds=300)
    assert raised.value.certain and time.process_time() - begun < 1
    # Fewer of them end without a limit, but long after as many that do not collide.
    assert _computing(COLLIDING[:4000]) > 20 * _computing(range(4000))


def test_memory_the_clock_and_an_end_without_a_word_are_told():
    with pytest.raises(Overrun, match="memory"):
        run_limited(grow, 200 * MEBIBYTE, memory_bytes=100 * MEBIBYTE)
    assert run_limited(grow, 50 * MEBIBYTE, memory_bytes=100 * MEBIBYTE) == 50 * MEBIBYTE
    with pytest.raises(Overrun, match="longer than 2 s") as raised:
        run_limited(time.sleep, 60, wall_seconds=2)
    assert not raised.value.certain
    with pytest.raises(Overrun):
        run_limited(end)
