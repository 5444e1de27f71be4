"""What a worker does for a sweep: a program in a process of its own, as long as it is wanted."""

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from labkit import scheduler
from labkit.errors import LabkitError
from labkit.scheduler import SCHEDULER_VARIABLE, run_while_wanted

SECONDS = 120.0  # an idle machine needs a second or two; a busy one must not fail for that


@pytest.fixture
def wanted(tmp_path):
    path = tmp_path / "wanted"
    path.touch()
    return path


def until(happened) -> bool:
    """Wait for something; whether it has happened in time."""
    end = time.monotonic() + SECONDS
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it may end between any two looks
        return False


def below(word: str) -> list[psutil.Process]:
    """Processes that this one has started with a word in their command; others may end while one looks."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found += [process] if word in str(process.cmdline()) else []
    return found


def end(pid: int) -> None:
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).kill()


def test_what_it_prints_is_kept_only_if_it_failed(tmp_path, wanted, monkeypatch):
    monkeypatch.setenv(SCHEDULER_VARIABLE, "tcp://here")
    log, made = tmp_path / "log", tmp_path / "made"
    says = f"import os; print('fine'); open({str(made)!r}, 'w').write(str({SCHEDULER_VARIABLE!r} in os.environ))"
    run_while_wanted(["-c", says], str(wanted), str(log))
    assert made.read_text() == "False"  # its own sweeps are trained there and then
    assert not log.exists()
    with pytest.raises(LabkitError, match="ended with status 3: second line") as caught:
        says = "import sys; print('first line', flush=True); print('second line', file=sys.stderr); sys.exit(3)"
        run_while_wanted(["-c", says], str(wanted), str(log))
    assert str(log) in str(caught.value) and log.read_text() == "first line\nsecond line\n"
    with pytest.raises(LabkitError, match="status 4: no message"):
        run_while_wanted(["-c", "import sys; sys.exit(4)"], str(wanted), str(log))


LEAVES_A_CHECKPOINT = """
import signal, sys, time
def leave(*_):
    open({left!r}, 'w').close()
    if {obeys}:
        sys.exit()
signal.signal(signal.SIGTERM, leave)
open({begun!r}, 'w').close()
while True:
    time.sleep(0.05)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
@pytest.mark.parametrize("obeys", [True, False])
def test_what_is_no_longer_wanted_may_leave_a_checkpoint_and_is_ended(tmp_path, wanted, monkeypatch, obeys):
    monkeypatch.setattr(scheduler, "POLL_SECONDS", 0.05)
    if not obeys:
        monkeypatch.setattr(scheduler, "CHECKPOINT_SECONDS", 0.5)
    begun, left = tmp_path / "begun", tmp_path / "left"
    program = LEAVES_A_CHECKPOINT.format(begun=str(begun), left=str(left), obeys=obeys)
    arguments = ["-c", program], str(wanted), str(tmp_path / "log")
    worker = threading.Thread(target=run_while_wanted, args=arguments, daemon=True)
    worker.start()
    assert until(begun.exists)
    (process,) = below(str(begun))
    wanted.unlink()
    try:
        worker.join(SECONDS)
        assert not worker.is_alive() and not runs(process.pid) and left.exists()
    finally:
        end(process.pid)


@pytest.mark.skipif(sys.platform == "win32", reason="the planted accident is a POSIX signal")
def test_a_program_ends_with_its_worker(tmp_path, wanted):
    """Else whoever trains the model anew would wait for it."""
    parcel, begun = tmp_path / "parcel", tmp_path / "begun"
    parcel.write_bytes(_parcel(begun))
    worker = (
        "import sys; from labkit.scheduler import run_while_wanted; "
        "run_while_wanted(['-m', 'labkit.fit.sweep_cluster', sys.argv[1], '0'], sys.argv[2], sys.argv[3])"
    )
    arguments = [str(parcel), str(wanted), str(tmp_path / "log")]
    process = subprocess.Popen([sys.executable, "-c", worker, *arguments])
    assert until(lambda: begun.exists() and begun.read_text().endswith("\n"))
    program = int(begun.read_text())
    try:
        begun.unlink()
        assert until(begun.exists)  # it lives as long as the worker does
        process.kill()
        process.wait()
        assert until(lambda: not runs(program))
    finally:
        process.kill()
        process.wait()
        end(program)


def _parcel(begun: Path) -> bytes:
    """What `sweep_cluster` sends to the workers: a cell that says who trains it, again and again."""
    cloudpickle = pytest.importorskip("cloudpickle", reason="needs the extra grade")
    from labkit.fit.sweep import Cell

    def train_one(config, seed, run_dir):
        import os
        import time

        while True:
            if not begun.exists():
                begun.write_text(f"{os.getpid()}\n")
            time.sleep(0.05)

    return cloudpickle.dumps((train_one, [Cell({}, {}, 0, begun.with_name("cell.json"))], 1))
