"""Runs a lab on a worker of dask.distributed, and relays what became of it (`labkit run --scheduler ADDRESS`).

The runner starts this program where it would otherwise execute the notebook itself. A lab is an idempotent task: it
begins from the checkpoints in its folder, which all machines see. So a worker that is lost costs its lab a restart on
another one, and nothing else.
"""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labkit.course.run import processes
from labkit.course.run.execute import Outcome, Task, emit
from labkit.record import LOG
from labkit.scheduler import AWAY_VARIABLE, SCHEDULER_VARIABLE, connect

GRACE_SECONDS = 60.0
POLL_SECONDS = 0.2


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Execute a `Task` in a process of its own on this worker; returns its `Outcome`, both as plain values.

    Once the lab waits for the models of a sweep, which are tasks of their own, this worker may take one of them.
    """
    from distributed import get_worker

    log = Path(task["folder"]) / LOG
    until = time.monotonic() + task["budget_seconds"] + GRACE_SECONDS
    with tempfile.TemporaryDirectory(prefix="labkit-") as spare:
        away = Path(spare) / "away"
        variables = {SCHEDULER_VARIABLE: get_worker().scheduler.address, AWAY_VARIABLE: str(away)}
        process = processes.start(Task(**task).command, log=log, threads=None, variables=variables)
        try:
            said = _wait(process, away, until)
        finally:
            processes.kill_tree(process)
    if said is None:
        late = f"killed: its {task['budget_seconds']:.0f} s were spent and it took no interrupt"
        return asdict(Outcome("timed out", late, task["budget_seconds"]))
    return _outcome(said) or asdict(
        Outcome("failed", f"its process ended with status {process.returncode}; see {log}")
    )


def _outcome(said: str) -> dict[str, Any] | None:
    """The last outcome among the lines of what a process has printed; a library's may begin like a message."""
    for line in reversed(said.splitlines()):
        with suppress(ValueError, RecursionError):
            if line.startswith("{") and (outcome := json.loads(line).get("outcome")):
                return outcome
    return None


def _wait(process: subprocess.Popen, away: Path, until: float) -> str | None:
    """What the process has printed when it has ended; None if it has not by then."""
    from distributed import secede

    seceded = False
    while time.monotonic() < until:
        try:
            return process.communicate(timeout=POLL_SECONDS)[0]
        except subprocess.TimeoutExpired:
            if not seceded and away.exists():
                secede()
                seceded = True
    return None


def main() -> None:
    """Submit the task given as the second argument to the scheduler at the first, wait, report the outcome."""
    address, task = sys.argv[1], json.loads(sys.argv[2])
    with connect(address) as client:
        emit(outcome=client.submit(work, task, pure=False).result())


if __name__ == "__main__":
    main()
