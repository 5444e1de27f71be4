"""What became of each lab."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from labkit.record import read_record

FINE = ("ok", "unchanged")


@dataclass(frozen=True)
class Result:
    """How a lab's run ended.

    Attributes:
        lab: stem of the notebook.
        state: "ok", "unchanged", "failed", "timed out", "killed", "interrupted" or "not run".
        message: why, where it is not fine.
        seconds: how long it ran.
        checks: properties passed, properties checked.
        claims: verdict → number of claims.
    """

    lab: str
    state: str
    message: str = ""
    seconds: float = 0.0
    checks: tuple[int, int] = (0, 0)
    claims: tuple[tuple[str, int], ...] = ()

    @property
    def fine(self) -> bool:
        """Nothing is missing from its record."""
        return self.state in FINE

    @classmethod
    def of(cls, folder: Path, state: str, message: str = "", seconds: float = 0.0) -> "Result":
        """A result with the checks and claims of the record in `folder`."""
        checks = read_record(folder, "checks.json", {})
        properties = [each["passed"] for check in checks.values() for each in check]
        claims = Counter(claim["verdict"] for claim in read_record(folder, "claims.json", []))
        passed = (sum(properties), len(properties))
        return cls(folder.name, state, message, seconds, passed, tuple(sorted(claims.items())))
