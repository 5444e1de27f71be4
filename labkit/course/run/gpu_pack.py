"""The GPU pack: every lab's gpu profile in ten minutes on one large GPU, and one JSON of it (`labkit gpu`).

What is done and unchanged is not run again, and what ran out of its share of the time goes on from its checkpoints: a
second call does the rest.
"""

import os
import platform
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from labkit.course.run.console import Console
from labkit.course.run.labs import Lab
from labkit.course.run.results import Result
from labkit.course.run.run import RunConfig, run_labs, validate
from labkit.errors import LabkitError
from labkit.files import write_json
from labkit.record import read_record, versions

FORMAT = "labkit gpu pack 1"
FILE = "pack.json"
SECONDS = 430.0  # for all labs together; starting and ending them, and timing the training after them, takes the rest
LEAST_SECONDS = 60.0  # a kernel, its imports and the data
GIB = 2**30


def run_pack(labs: list[Lab], config: RunConfig, console: Console) -> tuple[list[Result], Path]:
    """Run labs, a core each, each within its share of `SECONDS`, and write <out>/<profile>/pack.json.

    Args:
        labs: all of the course.
        config: its profile "gpu" needs a GPU; another one tries the pack without.
        console: is told of progress.

    Returns:
        One result per lab, and the JSON: device, versions, protocol; per lab state, seconds, trainings, claims.

    Raises:
        LabkitError: no GPU, or as `validate`.
    """
    device = device_facts(config.profile)
    config = validate(replace(config, jobs=os.cpu_count() or 1), labs)
    longest_first = sorted(labs, key=lambda lab: -lab.minutes[config.profile])
    results = run_labs(with_shares(longest_first, config), config, console)
    path = config.out / config.profile / FILE
    content = {
        "format": FORMAT,
        "device": device,
        "versions": versions(),
        "protocol": {
            "profile": config.profile,
            "seed": config.seed,
            "labs_at_a_time": config.jobs,
            "seconds_for_all": SECONDS,
            "data": "as each claim says; items per second: a training's median epoch, beside other labs",
        },
        "labs": {result.lab: _lab_facts(result, config) for result in results},
    }
    write_json(path, content)
    return sorted(results, key=lambda result: result.lab), path


def device_facts(profile: str) -> dict[str, Any]:
    """What the pack runs on.

    Raises:
        LabkitError: the profile is gpu and there is none.
    """
    import torch

    facts = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
    if profile != "gpu":
        return {"name": "cpu"} | facts
    if not torch.cuda.is_available():
        raise LabkitError(
            "labkit gpu: torch sees no NVIDIA GPU here; run it on a machine with one, or try it with --profile smoke."
        )
    card = torch.cuda.get_device_properties(0)
    return {
        "name": card.name,
        "memory_gib": round(card.total_memory / GIB),
        "cuda": torch.version.cuda,
    } | facts


def with_shares(labs: list[Lab], config: RunConfig) -> list[Lab]:
    """The labs with budgets that fill the pack's time together, in proportion to their minutes."""
    profile, of_all = config.profile, sum(lab.minutes[config.profile] for lab in labs)

    def share(lab: Lab) -> float:
        part = SECONDS * config.jobs * lab.minutes[profile] / of_all
        return min(SECONDS, max(LEAST_SECONDS, part)) / config.sharing

    return [replace(lab, budget_seconds={**lab.budget_seconds, profile: share(lab)}) for lab in labs]


def trainings(folder: Path) -> dict[str, dict[str, float]]:
    """What each training that left a checkpoint in a lab's folder says of its speed: run_dir → epochs, items/s, s."""
    import torch

    found = {}
    for path in sorted(folder.rglob("checkpoint.pt")):
        rows = torch.load(path, map_location="cpu", weights_only=True)["state"]["rows"]
        if rows:
            found[path.parent.relative_to(folder).as_posix()] = {
                "epochs": len(rows),
                "items_per_second": median(row["items_per_second"] for row in rows),
                "seconds": sum(row["seconds"] for row in rows),
            }
    return found


def _lab_facts(result: Result, config: RunConfig) -> dict[str, Any]:
    folder = config.out / config.profile / result.lab
    claims = read_record(folder, "claims.json", [])
    passed, checked = result.checks
    return {
        "state": result.state,
        "message": result.message,
        "seconds": result.seconds,
        "checks": f"{passed}/{checked}",
        "sizes": read_record(folder, "config.json", {}).get("sizes", {}),
        "timings": read_record(folder, "timings.json", {}),
        "trainings": trainings(folder),
        "claims": {
            claim["id"]: {name: claim[name] for name in ("verdict", "measured", "data", "protocol")}
            for claim in claims
        },
    }
