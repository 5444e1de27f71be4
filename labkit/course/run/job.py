"""A lab that a child process runs, and what the child says of it."""

import json
import math
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.course.run.execute import Outcome
from labkit.course.run.labs import Lab
from labkit.record import LOG


@dataclass
class Job:
    """A lab that is being run by a child process.

    Attributes:
        budget: seconds after which the runner ends it; infinite on a cluster, where a worker does that.
        outcome: what the child has said became of it.
        progress: the cell it is in.
    """

    lab: Lab
    folder: Path
    process: subprocess.Popen
    budget: float
    fingerprint: dict[str, Any]
    started: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None
    progress: str = ""

    def __post_init__(self) -> None:
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.started

    @property
    def status(self) -> str:
        """For the line that says what runs."""
        allowed = f"of {self.budget:.0f} s" if math.isfinite(self.budget) else "s on the cluster"
        return f"{self.lab.stem}: {self.seconds:.0f} {allowed}, {self.progress or 'starting'}"

    def _listen(self) -> None:
        for line in self.process.stdout:
            message = json.loads(line) if line.startswith("{") else {}
            if "outcome" in message:
                self.outcome = Outcome(**message["outcome"])
            elif "cell" in message:
                self.progress = f"cell {message['cell']} of {message['of']} {message['heading']}".strip()

    def result(self) -> Outcome:
        """What the child said became of it, or what its silence means."""
        self._listener.join(5)
        if self.outcome:
            return self.outcome
        status = self.process.returncode
        log = (self.folder / LOG).read_text(encoding="utf-8", errors="replace")
        why = (log.strip().splitlines() or ["no message"])[-1]
        state = "killed" if status < 0 else "failed"
        return Outcome(state, f"its process ended with status {status}: {why}", self.seconds)
