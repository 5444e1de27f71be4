"""The speed ledger: paired timings, one JSON per machine under results/."""

import json
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from labkit.files import write_json

RESULTS = Path(__file__).parent / "results"


def paired(plain: Callable[[], None], fast: Callable[[], None], rounds: int = 9) -> dict[str, float]:
    """Time two functions in turn, A B A B …, after one round that is not counted.

    Returns:
        Median seconds of each, and the median over rounds of the ratio plain/fast: machines drift, pairs do not.
    """
    times: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        pair = []
        for function in (plain, fast):
            start = time.perf_counter()
            function()
            pair.append(time.perf_counter() - start)
        times.append((pair[0], pair[1]))
    counted = times[1:]
    return {
        "plain_seconds": median(a for a, _ in counted),
        "fast_seconds": median(b for _, b in counted),
        "ratio": median(a / b for a, b in counted),
        "rounds": rounds,
    }


def enter(name: str, row: dict[str, object]) -> None:
    """Put a row into this machine's file, and print it."""
    path = RESULTS / f"{_machine()}.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rows[name] = row | {"torch": torch.__version__, "threads": torch.get_num_threads()}
    write_json(path, rows)
    print(
        f"\n{name}: "
        + ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in row.items()
        )
    )


def _machine() -> str:
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found = re.search(r"model name\s*:\s*(.+)", text)
        processor = found.group(1) if found else processor
    return re.sub(r"[^a-z0-9]+", "-", f"{processor} {os.cpu_count()} cores".lower()).strip("-")


def markdown(path: Path) -> str:
    """A machine's file as a table for the README: the two times of each pair and their ratio, or one speed."""
    lines = ["| what | plain | labkit | ratio |", "| --- | --- | --- | --- |"]
    for name, row in sorted(json.loads(path.read_text(encoding="utf-8")).items()):
        if "ratio" in row:
            times = (
                f"{_seconds(row['plain_seconds'])} | {_seconds(row['fast_seconds'])} | {row['ratio']:.2g}×"
            )
        else:
            (speed,) = (
                f"{value:,.0f} {key.split('_')[0]}/s" for key, value in row.items() if key.endswith("_second")
            )
            times = f"– | {speed} | –"
        lines.append(f"| {name} | {times} |")
    return "\n".join(lines)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.0f} ms"


def document() -> str:
    """Every machine's table, for the README."""
    return "\n\n".join(f"**{file.stem}**\n\n{markdown(file)}" for file in sorted(RESULTS.glob("*.json")))


if __name__ == "__main__":
    print(document())
