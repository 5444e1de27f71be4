"""What a run says while it goes on and at its end."""

import shutil
import sys

from labkit.course.run.results import Result


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
