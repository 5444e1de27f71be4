"""How much of the machine one submission may take."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from labkit.errors import LabkitError

MEBIBYTE = 1024**2
# Time on the clock is no measure of a submission: on a machine under load it is several times its computing time.
WALL_FACTOR = 5
# What a submission's cell may compute, and may sleep: so many times what the course's own notebook does, or so long.
DEAREST_FACTOR, LEAST_SECONDS = 5, 10.0


@dataclass(frozen=True)
class Limits:
    """The limits of one sandbox; sizes in bytes, times in seconds.

    The sandbox holds the first five, whoever drives the kernel the others. `cell_seconds` and `notebook_seconds` are
    computing time of the kernel; a cell, or an exercise, may sleep for `asleep_seconds`. On the clock it may take
    `wall_seconds`, and the notebook `WALL_FACTOR` times as long. `check_seconds` is the computing time of the trusted
    side for one exercise.
    """

    memory_bytes: int = 4096 * MEBIBYTE
    processes: int = 256  # threads count as processes
    file_bytes: int = 256 * MEBIBYTE
    cpu_seconds: int = 1800
    tmp_bytes: int = 512 * MEBIBYTE  # of each place that can be written: /tmp and the copy of the submission
    cell_seconds: float = 120.0
    notebook_seconds: float = 900.0
    asleep_seconds: float = 120.0
    wall_seconds: float = 600.0
    output_bytes: int = 16 * MEBIBYTE
    check_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            if not value > 0:
                raise LabkitError(f"Limits: {name} is {value}; give a number above 0.")

    def as_dict(self) -> dict[str, Any]:
        """The limits as JSON holds them; `Limits.of` reads them back."""
        return asdict(self)

    def beside(self, dearest: float, asleep: float) -> Self:
        """The limits of one of many submissions, where one of the course's own cells takes so much at most.

        An endless loop and a sleeper are ended in seconds then, and the class does not wait for them. The clock is
        not: on a machine under load it would end the others, too.
        """
        cell, sleep = (max(LEAST_SECONDS, DEAREST_FACTOR * each) for each in (dearest, asleep))
        return replace(
            self, cell_seconds=min(self.cell_seconds, cell), asleep_seconds=min(self.asleep_seconds, sleep)
        )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Limits from what `as_dict` gave, or from part of it.

        Raises LabkitError: there is no such limit, or one is not above 0.
        """
        if unknown := sorted(set(values) - set(cls.__dataclass_fields__)):
            raise LabkitError(
                f"Limits: there is no limit {unknown[0]!r}; see labkit/course/grade/sandbox/limits.py for them."
            )
        return cls(**values)

    def as_prlimit(self) -> list[str]:
        """A `prlimit` command that holds what a process can be held to without a control group.

        Memory is held as data (heap and private mappings) of each process: a limit on address space would stop
        `import torch`, which maps far more than it uses.
        """
        return [
            "prlimit",
            f"--data={self.memory_bytes}",
            f"--nproc={self.processes}",
            f"--fsize={self.file_bytes}",
            f"--cpu={self.cpu_seconds}",
            "--nofile=1024",
            "--core=0",
            "--",
        ]
