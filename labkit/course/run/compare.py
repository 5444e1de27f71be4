"""Two runs side by side: what made them differ, which verdicts changed, which numbers moved."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.claims import measured_text
from labkit.errors import LabkitError
from labkit.record import STATE, read_record
from labkit.statistics import Estimate

MADE_OF = "config.json"
SHOWN = 12  # numbers of a lab; the others are counted


def compare_runs(first: Path, second: Path) -> str:
    """A text, lab by lab, of how the second run differs from the first.

    Args:
        first, second: folders of a run, runs/<profile>, or of one lab in it.

    Raises:
        LabkitError: a folder holds no record, or the two have no lab in common.
    """
    labs = [_labs(run) for run in (first, second)]
    both = [name for name in labs[0] if name in labs[1]]
    if not both:
        raise LabkitError(f"{first} and {second}: have no lab in common; name two runs of the same labs.")
    parts = [f"{name}\n{_compare(labs[0][name], labs[1][name])}" for name in both]
    for run, own, other in ((first, *labs), (second, *labs[::-1])):
        if alone := [name for name in own if name not in other]:
            parts.append(f"only in {run}: {', '.join(alone)}\n")
    return "\n".join(parts)


def _labs(run: Path) -> dict[str, Path]:
    found = {file.parent.name: file.parent for file in sorted(run.glob(f"*/{MADE_OF}"))}
    if (run / MADE_OF).is_file():
        found = {run.resolve().name: run}
    if not found:
        raise LabkitError(f"{run}: holds no record of a lab; name a folder such as runs/cpu, after `make run`.")
    for folder in found.values():
        for name in (MADE_OF, "claims.json", "metrics.json"):
            if (folder / name).exists() and read_record(folder, name, None) is None:
                raise LabkitError(f"{folder / name}: is damaged; run the lab again with `labkit run --force`.")
        try:
            for number in _measured(folder).values():
                _moved(number, number)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            remedy = "run the lab again with `labkit run --force`"
            raise LabkitError(
                f"{folder}: its claims.json or metrics.json is damaged ({error!r}); {remedy}."
            ) from error
    return found


def _compare(first: Path, second: Path) -> str:
    lines = [f"  made with {each}" for each in _made_differently(first, second)]
    verdicts = [_claims(folder) for folder in (first, second)]
    moved, still = [], 0
    for claim in sorted(verdicts[0].keys() | verdicts[1].keys()):
        before, after = (each.get(claim, {}) for each in verdicts)
        was, now = (each.get("verdict", "not judged") for each in (before, after))
        if was != now:
            lines.append(f"  {claim}: {was} → {now}")
    for name, (was, now) in _pairs(_measured(first), _measured(second)):
        if _moved(was, now):
            moved.append(f"  {name}: {measured_text(was)} → {measured_text(now)}")
        else:
            still += was != now
    lines += moved[:SHOWN]
    if len(moved) > SHOWN:
        lines.append(f"  and {len(moved) - SHOWN} more numbers moved")
    if still:
        lines.append(f"  {still} estimates changed within their intervals")
    return "\n".join(lines or ["  the same"]) + "\n"


def _made_differently(first: Path, second: Path) -> Iterator[str]:
    configs = [_flat(read_record(folder, MADE_OF, {})) for folder in (first, second)]
    for name, (was, now) in _pairs(*configs):
        if was != now:
            yield f"{name} {was} → {now}"
    prints = [read_record(folder, STATE, {}).get("fingerprint", {}) for folder in (first, second)]
    for part in ("notebook", "labkit"):
        if prints[0].get(part) != prints[1].get(part):
            yield f"another {'text of the notebook' if part == 'notebook' else 'code of labkit'}"


def _claims(folder: Path) -> dict[str, Any]:
    return {claim["id"]: claim for claim in read_record(folder, "claims.json", [])}


def _measured(folder: Path) -> dict[str, Any]:
    """What claims measured, with intervals, and the lab's other numbers, which have none."""
    claims = {name: claim["measured"] for name, claim in _claims(folder).items()}
    metrics = read_record(folder, "metrics.json", {}).get("values", {})
    return _flat(claims) | _flat(metrics)


def _flat(record: Any, name: str = "") -> dict[str, Any]:
    """Name with dots → number, text or estimate."""
    if isinstance(record, dict) and record.keys() != {"value", "error", "n", "unit"}:
        items = record.items()
    elif isinstance(record, list):
        items = enumerate(record)
    else:
        return {name: record}
    return {path: leaf for key, each in items for path, leaf in _flat(each, f"{name}.{key}".lstrip(".")).items()}


def _pairs(first: dict[str, Any], second: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in [*first, *(name for name in second if name not in first)]:
        yield name, (first.get(name, "none"), second.get(name, "none"))


def _moved(was: Any, now: Any) -> bool:
    """Whether intervals part; where one side has none, whether the number is another beyond rounding."""
    if isinstance(was, dict) and isinstance(now, dict):
        (low, high), (other_low, other_high) = (_interval(each) for each in (was, now))
        if not math.isnan(low + high + other_low + other_high):
            return high < other_low or other_high < low
        was, now = float(was["value"]), float(now["value"])
    if isinstance(was, int | float) and isinstance(now, int | float):
        return not math.isclose(was, now, rel_tol=1e-9, abs_tol=1e-12)
    return was != now


def _interval(estimate: dict[str, Any]) -> tuple[float, float]:
    value, error = float(estimate["value"]), float(estimate["error"])
    return Estimate(value, error, n=estimate["n"], unit=estimate["unit"]).interval()
