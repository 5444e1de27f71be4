"""The speed ledger: timings in turn and losses reached, one JSON per machine under results/."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import torch
from bench_device import DEVICE, ON_GPU, machine, wait
from ceiling import ceiling, peak_gflops

from labkit.files import write_json

RESULTS = Path(__file__).parent / "results"


def in_turn(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each function in each round, A B C A B C …, after one round that is not counted.

    Each begins when a GPU has nothing to do, and ends when that is so again.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            wait()
            start = time.perf_counter()
            function()
            wait()
            seconds[name].append(time.perf_counter() - start)
    return {name: column[1:] for name, column in seconds.items()}


def paired(plain: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """A row from the seconds of two functions in the same rounds.

    Returns:
        Median seconds of each, and the median over rounds of the ratio plain/fast: machines drift, pairs do not.
    """
    return {
        "plain_seconds": median(plain),
        "fast_seconds": median(fast),
        "ratio": median(a / b for a, b in zip(plain, fast, strict=True)),
        "rounds": len(plain),
    }


def contest(
    what: str,
    plain: Mapping[str, Callable[[], object]],
    engine: str,
    fast: Callable[[], object],
    *,
    items: int,
    rounds: int,
    more: Mapping[str, float],
    precision: str = "float32",
) -> None:
    """Enter a row for each plain loop beside `fast`, all timed in turn; with the share of the ceiling `fast` reaches.

    On a GPU also with `of_peak`: the arithmetic of `fast`'s products and convolutions a second, as a share of that of
    one large matrix product.

    Args:
        what: the model, with what matters of its size.
        engine: the name of `fast`.
        items: on which each function trains, counted once an epoch.
        more: to be entered with each row.
        precision: of `fast`, "float32" or "bf16"; the plain loops' is float32.
    """
    if precision != "float32":
        engine = f"{engine} in {precision}"
    seconds = in_turn({**plain, engine: fast}, rounds)
    limit = ceiling(fast)
    peak = peak_gflops(DEVICE, torch.bfloat16 if precision == "bf16" else torch.float32) if ON_GPU else None
    for name in plain:
        row = paired(seconds[name], seconds[engine])
        row["items_per_second"] = items / row["fast_seconds"]
        # A ceiling above the whole was measured while the machine was busy with something else.
        if limit["ceiling_seconds"] < row["fast_seconds"]:
            row |= limit | {"ceiling": limit["ceiling_seconds"] / row["fast_seconds"]}
        if peak is not None:
            gflops = limit["ceiling_gflops"] * limit["ceiling_seconds"]
            row["of_peak"] = gflops / row["fast_seconds"] / peak
        enter(f"{what}: {name} against {engine}", row | dict(more))


def enter(name: str, row: dict[str, object]) -> None:
    """Put a row into this machine's file, and print it."""
    row = row | {"torch": torch.__version__, "threads": torch.get_num_threads()}
    path = RESULTS / f"{machine()}.json"
    write_json(path, (_read(path) if path.exists() else {}) | {name: row})
    print(
        f"\n{name}: "
        + ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
        )
    )


def _read(path: Path) -> dict[str, dict[str, object]]:
    return json.loads(path.read_text(encoding="utf-8"))


def markdown(path: Path) -> str:
    """A machine's file as tables for CONTRIBUTING.md: timings, and the losses that both ways of training reach."""
    rows = sorted(_read(path).items())
    timings = [_timing(name, row) for name, row in rows if "labkit_mean" not in row]
    losses = [_losses(name, row) for name, row in rows if "labkit_mean" in row]
    tables = [_table(("what", "plain", "labkit", "ratio", "of the ceiling"), timings)]
    if losses:
        tables.append(_table(("what is reached, mean ± sd over seeds", "plain", "labkit"), losses))
    return "\n\n".join(tables)


def _timing(name: str, row: Mapping[str, float]) -> tuple[str, ...]:
    if "ratio" not in row:
        (speed,) = (f"{value:,.0f} {key.split('_')[0]}/s" for key, value in row.items() if key.endswith("_second"))
        return name, "–", speed, "–", "–"
    share = f"{row['ceiling']:.0%}" if "ceiling" in row else "–"
    if "of_peak" in row:
        share += f", {row['of_peak']:.1%} of peak"
    return (name, _seconds(row["plain_seconds"]), _seconds(row["fast_seconds"]), f"{row['ratio']:.3g}×", share)


def _losses(name: str, row: Mapping[str, float]) -> tuple[str, ...]:
    return name, *(f"{row[f'{who}_mean']:.4g} ± {row[f'{who}_sd']:.3g}" for who in ("plain", "labkit"))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.0f} ms"


def document() -> str:
    """Every machine's table, for CONTRIBUTING.md."""
    return "\n\n".join(f"**{file.stem}**\n\n{markdown(file)}" for file in sorted(RESULTS.glob("*.json")))


if __name__ == "__main__":
    print(document())
