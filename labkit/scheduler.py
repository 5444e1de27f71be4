"""The way to a dask scheduler and what its workers do for a sweep. Imports no torch, which the workers do without."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError

SCHEDULER_VARIABLE = "LABKIT_SCHEDULER"  # address of the scheduler whose workers train the models of a sweep
AWAY_VARIABLE = "LABKIT_AWAY"  # a file that a lab makes while it only waits for its sweep on other workers
ADDRESS = re.compile(r"(\w+://)?[^/\s]+:\d{1,5}/?|inproc://\S+")
CONNECT_SECONDS = 15
CHECKPOINT_SECONDS = 20.0  # for a program that is stopped
POLL_SECONDS = 0.5


def check_address(address: str, given: str = SCHEDULER_VARIABLE) -> None:
    """Refuse what is no address of a scheduler; `given` is the option or variable that a person wrote it in.

    Raises LabkitError: it is none.
    """
    if not ADDRESS.fullmatch(address):
        raise LabkitError(
            f"{given} {address}: is no address; write it as `dask scheduler` prints it, tcp://HOST:PORT."
        )


def connect(address: str, given: str = "--scheduler") -> Any:
    """A client of the scheduler at `address`, e.g. "tcp://10.0.0.1:8786", which a person wrote in `given`.

    Raises LabkitError: dask.distributed is not installed, or nobody answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise LabkitError(f"{given} needs dask.distributed: pip install -e '.[grade]'.") from error
    check_address(address, given)
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise LabkitError(
            f"{given} {address}: no scheduler answers there; start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS --nthreads 1`."
        ) from error


def run_while_wanted(arguments: Sequence[str], wanted: str, log: str) -> None:
    """Run `python ARGUMENTS` on this worker, as long as the file `wanted` is there; it ends with this worker.

    Its standard input is a pipe that closes when this worker is gone. What it prints is in `log` while it runs, and
    afterwards if it failed.

    Raises LabkitError: it failed.
    """
    with open(log, "w", encoding="utf-8") as said:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            env={name: value for name, value in os.environ.items() if name != SCHEDULER_VARIABLE},
        )
    with process:
        while process.poll() is None and os.path.exists(wanted):
            _wait(process, POLL_SECONDS)
        if process.returncode is None:
            process.terminate()
            _wait(process, CHECKPOINT_SECONDS)
            process.kill()
            return
    if process.returncode:
        why = (Path(log).read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"])[-1]
        raise LabkitError(f"its process ended with status {process.returncode}: {why} (see {log}).")
    Path(log).unlink()


def _wait(process: subprocess.Popen, seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
