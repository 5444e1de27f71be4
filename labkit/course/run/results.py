"""What became of each lab, and how the terminal is told."""

import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from labkit.record import read_record


@dataclass(frozen=True)
class Result:
    """How a lab's run ended."""

    lab: str  # stem of the notebook
    state: str  # "ok", "unchanged", "failed", "timed out", "killed", "interrupted" or "not run"
    message: str = ""  # why, where it is not fine
    seconds: float = 0.0  # how long it ran
    checks: tuple[int, int] = (0, 0)  # properties passed, properties checked
    claims: tuple[tuple[str, int], ...] = ()  # verdict → number of claims

    @property
    def fine(self) -> bool:
        """Nothing is missing from its record."""
        return self.state in ("ok", "unchanged")

    @classmethod
    def of(cls, folder: Path, state: str, message: str = "", seconds: float = 0.0) -> "Result":
        """A result with the checks and claims of the record in `folder`."""
        checks = read_record(folder, "checks.json", {})
        properties = [each["passed"] for check in checks.values() for each in check]
        claims = Counter(claim["verdict"] for claim in read_record(folder, "claims.json", []))
        passed = (sum(properties), len(properties))
        return cls(folder.name, state, message, seconds, passed, tuple(sorted(claims.items())))


class Console:
    """Lines of news on standard output; on a terminal also one line of status that follows what runs."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.status("")
        print(line, flush=True)

    def status(self, line: str) -> None:
        """Replace the line of status; does nothing where output is not a terminal."""
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:width]}\x1b[K", end="", file=sys.stderr, flush=True)


def results_table(results: list[Result]) -> str:
    """A table for the terminal: lab, minutes, checks passed, claims by verdict, state."""
    rows = [("lab", "minutes", "checks", "claims", "state")]
    for result in results:
        passed, checked = result.checks
        claims = ", ".join(f"{count} {verdict}" for verdict, count in result.claims)
        minutes = f"{result.seconds / 60:.1f}" if result.seconds else "–"
        rows.append((result.lab, minutes, f"{passed}/{checked}", claims or "–", result.state))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])
