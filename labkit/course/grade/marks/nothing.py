"""What answers that answer nothing pass of a check: constants, empties, the arguments themselves.

Such properties are needed (a shape, a type) and prove nothing alone, so they earn points only beside one that proves
something: see `labkit.course.grade.marks.score`.
"""

import hashlib
import importlib
import json
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labkit.checking import Property
from labkit.course.grade.exercises import Exercise, exercises
from labkit.course.grade.layout import Place
from labkit.course.grade.limited import Overrun, run_limited
from labkit.errors import LabkitError
from labkit.files import write_json

CPU_SECONDS = 300

Answer = Callable[..., Any]
KEPT = "proves-nothing.json"


def cheap_by_cell(place: Place) -> dict[str, frozenset[str]]:
    """Test cell → names of its cheap properties; found once for each state of a lab's notebook and checks.

    Raises:
        LabkitError: a check cannot be imported, or such answers take it too long.
    """
    source = place.source if place.source.is_file() else place.lab.path
    asked, file = exercises(source), place.source.parent / KEPT
    state = state_of_checks(source)
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["state"] == state:
            return {name: frozenset(names) for name, names in kept["cheap"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    try:
        found = run_limited(_all_cheap, asked, cpu_seconds=CPU_SECONDS)
    except Overrun as error:
        raise LabkitError(f"{source}: its checks cannot be tried with empty answers: {error}; mend them.") from error
    write_json(file, {"state": state, "cheap": {name: sorted(names) for name, names in found.items()}})
    return found


def state_of_checks(source: Path) -> str:
    """A hash of what decides points: the instructor's notebook, its checks and what they are made with."""
    digest = hashlib.sha256(source.read_bytes())
    modules = {each.module for several in exercises(source).values() for each in several} | {"labkit.checking"}
    folders = set()
    for name in modules:
        path = Path(importlib.import_module(name).__file__ or "")
        folders |= {path} if path.name != "__init__.py" else set(path.parent.rglob("*.py"))
        if path.parent.name.startswith("lab") and path.parent.name != "labkit":
            folders |= set(path.parent.rglob("*.py"))
    for path in sorted(folders):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _all_cheap(asked: dict[str, list[Exercise]]) -> dict[str, frozenset[str]]:
    torch.set_num_threads(1)
    return {name: cheap_properties(several) for name, several in asked.items()}


def cheap_properties(exercises: Iterable[Exercise]) -> frozenset[str]:
    """Names of the properties of a test cell's checks that some answer without any thought passes."""
    return frozenset().union(*(_cheap(each.load(), len(each.functions)) for each in exercises))


@cache
def _cheap(check: Callable[..., Iterable[Property]], count: int) -> frozenset[str]:
    found: set[str] = set()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for answer in trivial_answers().values():
            try:
                found |= {each.name for each in check(*[answer] * count) if each.passed}
            except Exception:
                continue
    return frozenset(found)


def trivial_answers() -> dict[str, Answer]:
    """Name → a function of any arguments that knows nothing of the exercise."""
    constants = {"None": None, "0": 0, "1": 1, "0.0": 0.0, "0.5": 0.5, "-1": -1, "True": True, "False": False}
    constants |= {"''": "", "nan": float("nan"), "inf": float("inf"), "torch 0": torch.tensor(0.0)}
    constants |= {"torch 1": torch.tensor(1.0), "torch []": torch.zeros(0), "numpy []": np.zeros(0)}
    answers = {name: lambda *a, _value=value, **k: _value for name, value in constants.items()}
    answers |= {kind.__name__: lambda *a, _kind=kind, **k: _kind() for kind in (list, tuple, dict, set)}
    for place in (0, 1, 2, -1):
        answers[f"argument {place}"] = lambda *a, _place=place, **k: _take(a, k, _place)
        for name, make in LIKE.items() if place in (0, -1) else ():
            answers[f"{name} of argument {place}"] = lambda *a, _p=place, _m=make, **k: _m(_take(a, k, _p))
    answers["all arguments"] = lambda *a, **k: a
    answers["arguments but the first"] = lambda *a, **k: a[1:]
    answers["arguments reversed"] = lambda *a, **k: a[::-1]
    answers["argument and zeros"] = lambda *a, **k: (_take(a, k, 0), torch.zeros(len(_take(a, k, 0))))
    answers["argument and 0"] = lambda *a, **k: (_take(a, k, 0), 0.0)
    answers["argument twice"] = lambda *a, **k: (_take(a, k, 0),) * 2
    return answers


LIKE: dict[str, Answer] = {
    "zeros": lambda value: value * 0,
    "ones": lambda value: value * 0 + 1,
    "minus": lambda value: -value,
    "length": len,
    "one zero a row": lambda value: _rows(value) * 0.0,
    "one one a row": lambda value: _rows(value) * 0.0 + 1,
    "the rows' numbers": lambda value: _rows(value),
    "first row": lambda value: value[0],
    "first column": lambda value: value[:, 0],
    "sum": lambda value: value.sum(),
    "mean": lambda value: value.mean(),
    "reversed": lambda value: value.flip(0) if isinstance(value, torch.Tensor) else value[::-1],
    "twice": lambda value: value * 2,
    "absolute": abs,
    "halves": lambda value: value * 0 + 0.5,
    "one half a row": lambda value: _rows(value) * 0.0 + 0.5,
    "half": lambda value: value[: len(value) // 2],
    "list of zeros": lambda value: [0.0] * len(value),
}


def _take(args: tuple[Any, ...], named: dict[str, Any], place: int) -> Any:
    return (*args, *named.values())[place]


def _rows(value: Any) -> Any:
    return torch.arange(len(value)) if isinstance(value, torch.Tensor) else np.arange(len(value))
