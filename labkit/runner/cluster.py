"""Runs a lab on a worker of dask.distributed, and relays what became of it (`labkit run --scheduler ADDRESS`).

The runner starts this program where it would otherwise execute the notebook itself. A lab is an idempotent task: it
begins from the checkpoints in its folder, which all machines see. So a worker that is lost costs its lab a restart on
another one, and nothing else.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError
from labkit.record import LOG
from labkit.runner import processes
from labkit.runner.execute import Outcome, emit

CONNECT_SECONDS = 15
GRACE_SECONDS = 60.0


def connect(address: str) -> Any:
    """A client of the scheduler at `address`, e.g. "tcp://10.0.0.1:8786".

    Raises:
        LabkitError: dask.distributed is not installed, or nobody answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise LabkitError("--scheduler needs dask.distributed: pip install 'labkit[grade]'.") from error
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise LabkitError(
            f"--scheduler {address}: no scheduler answers there; start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS --nthreads 1`."
        ) from error


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Execute a `Task` in a process of its own on this worker; returns its `Outcome`, both as plain values."""
    log = Path(task["folder"]) / LOG
    process = processes.start(["-m", "labkit.runner.execute", json.dumps(task)], log=log, threads=None)
    outcome = None
    try:
        said, _ = process.communicate(timeout=task["budget_seconds"] + GRACE_SECONDS)
        for line in said.splitlines():
            message = json.loads(line) if line.startswith("{") else {}
            outcome = message.get("outcome", outcome)
    except subprocess.TimeoutExpired:
        late = f"killed: its {task['budget_seconds']:.0f} s were spent and it took no interrupt"
        outcome = asdict(Outcome("timed out", late, task["budget_seconds"]))
    finally:
        processes.kill_tree(process)
    return outcome or asdict(
        Outcome("failed", f"its process ended with status {process.returncode}; see {log}")
    )


def main() -> None:
    """Submit the task given as the second argument to the scheduler at the first, wait, report the outcome."""
    address, task = sys.argv[1], json.loads(sys.argv[2])
    with connect(address) as client:
        emit(outcome=client.submit(work, task, pure=False).result())


if __name__ == "__main__":
    main()
