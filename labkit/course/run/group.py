"""Executes a lab in processes that train its models together: `labkit run --processes N`, or started by `torchrun`.

The runner starts this program where it would otherwise execute the notebook itself. Each process executes every
cell in a kernel of its own, and each `fit` in them deals the rows of a batch out (`labkit.fit.group`). Process 0
works in the lab's folder; the others work in throw-away copies of it, so that all find the same checkpoints and
finished models of a sweep, and one alone leaves a record.
"""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from labkit.course.run import processes
from labkit.course.run.execute import Outcome, Task, emit
from labkit.errors import LabkitError
from labkit.names import LOST
from labkit.record import LOG

# After which process 0 must have noticed that another one failed, if it waits for that one.
NOTICE_SECONDS = 15.0
POLL_SECONDS = 0.1


def torchrun_place() -> tuple[int, int]:
    """This process's rank and the number of processes that `torchrun` has started; (0, 1) without it.

    Raises:
        LabkitError: it has started them on several machines.
    """
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    if rank == 0 and int(os.environ.get("LOCAL_WORLD_SIZE", size)) != size:
        raise LabkitError(
            "torchrun: labs are trained by the processes of one machine; leave --nnodes out, and use --scheduler for "
            "labs and sweeps on several."
        )
    return rank, size


def shown_gpus() -> list[str]:
    """Names of the NVIDIA GPUs that a process started here would see, as `CUDA_VISIBLE_DEVICES` has them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(k) for k, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


def devices(profile: str, size: int) -> list[str]:
    """`CUDA_VISIBLE_DEVICES` of each of `size` processes: a GPU each in the profile gpu, else none.

    Raises:
        LabkitError: there are fewer GPUs.
    """
    if profile != "gpu":
        return [""] * size
    gpus = shown_gpus()
    if len(gpus) < size:
        raise LabkitError(
            f"--processes {size}: the profile gpu wants an NVIDIA GPU for each, and {len(gpus)} are here; ask for "
            "fewer, or choose another profile."
        )
    return gpus[:size]


class Member:
    """One process of the group: an executor of the notebook, and what it has said.

    Attributes:
        process: the executor.
        outcome: what became of the notebook there; None while it runs.
    """

    def __init__(self, task: Task, variables: Mapping[str, str], relay: bool) -> None:
        arguments = replace(task, processes=1).command
        self.process = processes.start(arguments, log=Path(task.folder) / LOG, threads=None, variables=variables)
        self.outcome: Outcome | None = None
        self._relay = relay
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            message = json.loads(line) if line.startswith("{") else {}
            if "outcome" in message:
                self.outcome = Outcome(**message["outcome"])
            elif self._relay:
                print(line, end="", flush=True)

    @property
    def ended(self) -> bool:
        """Whether its executor is gone; then `outcome` is known."""
        if self.process.poll() is None:
            return False
        self._listener.join(5)
        if self.outcome is None:
            self.outcome = Outcome("killed", f"its executor ended with status {self.process.returncode}")
        return True

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than well."""
        return self.ended and self.outcome.state != "ok"


def execute_together(task: Task, spare: Path) -> Outcome:
    """Execute the notebook in `task.processes` processes; the outcome is that of process 0, and why it failed.

    Args:
        task: what to execute.
        spare: an empty folder for what the other processes write.
    """
    shared = {
        "WORLD_SIZE": str(task.processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        # torchrun's own store is not the one of this group.
        "TORCHELASTIC_USE_AGENT_STORE": "False",
    }
    gpus = devices(task.parameters["PROFILE"], task.processes)
    tasks = [task, *(_elsewhere(task, spare / str(rank)) for rank in range(1, task.processes))]
    members: list[Member] = []
    try:
        for rank, (own, gpu) in enumerate(zip(tasks, gpus)):
            variables = shared | {"RANK": str(rank), "CUDA_VISIBLE_DEVICES": gpu}
            members.append(Member(own, variables, relay=rank == 0))
        return _outcome_of(members)
    finally:
        for member in members:
            processes.kill_tree(member.process)


def _outcome_of(members: list[Member]) -> Outcome:
    """Wait for process 0; stop it where it waits in vain for another one that failed."""
    leader, followers = members[0], members[1:]
    _until(lambda: leader.ended or any(member.failed for member in followers))
    in_vain = not _until(lambda: leader.ended, NOTICE_SECONDS)
    if in_vain:
        processes.interrupt_kernels(leader.process)
        if not _until(lambda: leader.ended, NOTICE_SECONDS):
            processes.kill_tree(leader.process)
            _until(lambda: leader.ended)
    outcome = leader.outcome
    if not in_vain and LOST not in outcome.message:
        return outcome
    _until(lambda: any(member.failed for member in followers), NOTICE_SECONDS)
    causes = [f"process {rank}: {m.outcome.message}" for rank, m in enumerate(members) if rank and m.failed]
    return Outcome("failed", "; ".join([outcome.message, *causes[:1]]), outcome.seconds)


def _until(happened: Callable[[], bool], seconds: float = math.inf) -> bool:
    """Wait until something has happened, and no longer than that; whether it has."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _elsewhere(task: Task, folder: Path) -> Task:
    """The same task in a copy of its folder, with time enough that process 0 alone watches the clock."""
    shutil.copytree(task.folder, folder)
    parameters = task.parameters | {"OUT": str(folder)}
    return replace(task, folder=str(folder), parameters=parameters, budget_seconds=task.budget_seconds + 3600.0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    """Execute the task given as the first argument, report the outcome."""
    processes.end_with_parent()
    task = Task(**json.loads(sys.argv[1]))
    with tempfile.TemporaryDirectory(prefix="labkit-") as spare:
        try:
            outcome = execute_together(task, Path(spare))
        except LabkitError as error:
            outcome = Outcome("failed", str(error))
    emit(outcome=asdict(outcome))


if __name__ == "__main__":
    main()
