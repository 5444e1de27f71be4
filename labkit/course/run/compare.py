"""Two runs side by side: what made them differ, which verdicts changed, which numbers moved."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labkit.claims import as_estimate, measured_text
from labkit.errors import LabkitError
from labkit.files import write_text
from labkit.record import STATE, read_record

MADE_OF = "config.json"
MEASURED = "measured"
SHOWN = 12  # numbers of a lab in the terminal; the others are counted


class Change(NamedTuple):
    """One line of the comparison, and one row of its page."""

    kind: str  # "made with", "verdict of" or "measured"
    name: str
    was: str
    now: str


class Differences(NamedTuple):
    """How one lab differs between two runs."""

    changes: list[Change]
    still: int  # estimates that changed within their intervals

    def __str__(self) -> str:
        measured = [each for each in self.changes if each.kind == MEASURED]
        shown = [each for each in self.changes if each.kind != MEASURED] + measured[:SHOWN]
        lines = [f"  {kind} {name}: {was} → {now}" for kind, name, was, now in shown]
        if len(measured) > SHOWN:
            lines.append(f"  and {len(measured) - SHOWN} more numbers moved")
        if self.still:
            lines.append(f"  {self.still} estimates changed within their intervals")
        return "\n".join(lines or ["  the same"]) + "\n"


def compare_runs(first: Path, second: Path, page: Path | None = None) -> str:
    """A text, lab by lab, of how the second run differs from the first.

    Args:
        first, second: folders of a run, runs/<profile>, or of one lab in it.
        page: where to write the whole of it as HTML, too.

    Raises LabkitError: a folder holds no record, or the two have no lab in common; the page cannot be written.
    """
    labs = [_labs(run) for run in (first, second)]
    both = [name for name in labs[0] if name in labs[1]]
    if not both:
        raise LabkitError(f"{first} and {second}: have no lab in common; name two runs of the same labs.")
    found = {name: _compare(labs[0][name], labs[1][name]) for name in both}
    alone = {}
    for run, own, other in ((first, *labs), (second, *labs[::-1])):
        if names := [name for name in own if name not in other]:
            alone[run] = names
    if page:
        from jinja2 import Environment, PackageLoader

        pages = Environment(loader=PackageLoader("labkit.course.pages", ""), autoescape=True, trim_blocks=True)
        shown = {"first": first, "second": second, "labs": found, "alone": alone}
        write_text(page, pages.get_template("compare_page.html.j2").render(shown))
    parts = [f"{name}\n{changes}" for name, changes in found.items()]
    return "\n".join(parts + [f"only in {run}: {', '.join(names)}\n" for run, names in alone.items()])


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


def _compare(first: Path, second: Path) -> Differences:
    changes, still = list(_made_differently(first, second)), 0
    verdicts = [_claims(folder) for folder in (first, second)]
    for claim in sorted(verdicts[0].keys() | verdicts[1].keys()):
        was, now = (each.get(claim, {}).get("verdict", "not judged") for each in verdicts)
        if was != now:
            changes.append(Change("verdict of", claim, was, now))
    for name, (was, now) in _pairs(_measured(first), _measured(second)):
        if _moved(was, now):
            changes.append(Change(MEASURED, name, measured_text(was), measured_text(now)))
        else:
            still += was != now
    return Differences(changes, still)


def _made_differently(first: Path, second: Path) -> Iterator[Change]:
    configs = [_flat(read_record(folder, MADE_OF, {})) for folder in (first, second)]
    prints = [read_record(folder, STATE, {}).get("fingerprint", {}) for folder in (first, second)]
    for config, made in zip(configs, prints):
        for part in ("notebook", "labkit"):
            config[f"version of {part}"] = str(made.get(part, "none"))[:8]
    for name, (was, now) in _pairs(*configs):
        if was != now:
            yield Change("made with", name, str(was), str(now))


def _claims(folder: Path) -> dict[str, Any]:
    return {claim["id"]: claim for claim in read_record(folder, "claims.json", [])}


def _measured(folder: Path) -> dict[str, Any]:
    """What claims measured, with intervals, and the lab's other numbers, which have none."""
    claims = {name: claim["measured"] for name, claim in _claims(folder).items()}
    metrics = read_record(folder, "metrics.json", {}).get("values", {})
    return _flat(claims) | _flat(metrics)


def _flat(record: Any, name: str = "") -> dict[str, Any]:
    """Name with dots → number, text or estimate."""
    if isinstance(record, dict) and record.keys() - {"is_share"} != {"value", "error", "n", "unit"}:
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
        (low, high), (other_low, other_high) = (as_estimate(each).interval() for each in (was, now))
        if not math.isnan(low + high + other_low + other_high):
            return high < other_low or other_high < low
        was, now = float(was["value"]), float(now["value"])
    if isinstance(was, int | float) and isinstance(now, int | float):
        return not math.isclose(was, now, rel_tol=1e-9, abs_tol=1e-12)
    return was != now
