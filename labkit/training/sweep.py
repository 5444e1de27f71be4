"""Sweeps: one model per setting and seed, each finished one kept in a file of its own."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from labkit.errors import LabkitError
from labkit.files import write_json
from labkit.training.progress import say

FORMAT = "labkit sweep 1"
HASH_LETTERS = 12

Config = Mapping[str, Any] | Any
TrainOne = Callable[[Any, int, Path], Mapping[str, float]]


def grid_sweep(
    configs: Sequence[Config],
    train_one: TrainOne,
    folder: str | Path,
    seeds: Sequence[int],
    progress: bool = True,
) -> pd.DataFrame:
    """Train one model for every config and seed, all seeds of a config in turn.

    A finished cell is one JSON file under `folder`, written whole or not at all; called again, the sweep trains
    only what has none. A kill loses at most the model in training, and not even that if `train_one` passes the
    folder it is given to `fit` as run_dir. A file cut short is trained anew. Cells of other configs or seeds may
    lie there too, and are left alone. The code of `train_one` is not compared: name in the config what makes it.

    Args:
        configs: dicts or dataclasses of plain values, all with the same names.
        train_one: (config, seed, run_dir) → {name: number}.
        folder: of this sweep.
        seeds: trained for each config.
        progress: say which cells are trained and which were there.

    Returns:
        A row per cell: the config's columns, `seed`, what `train_one` returned; for `summary`.

    Raises:
        LabkitError: no or repeated configs or seeds, names that clash, a file of something else in a cell's place.
    """
    folder = Path(folder)
    plain = [_plain(config) for config in configs]
    cells = [(config, values, int(seed)) for config, values in zip(configs, plain) for seed in seeds]
    paths = [folder / f"{cell_name({**values, 'seed': seed})}.json" for _, values, seed in cells]
    names = {tuple(sorted(values)) for values in plain}
    if not cells or len(set(paths)) < len(paths) or len(names) > 1 or "seed" in plain[0]:
        raise LabkitError(
            f"grid_sweep: {len(plain)} configs and seeds {list(seeds)}; give at least one of each, no config or seed "
            'twice, and the same names in every config, none of them "seed".'
        )
    rows = []
    for place, ((config, values, seed), path) in enumerate(zip(cells, paths), 1):
        what = f"model {place} of {len(cells)}: {_words(values)}, seed {seed}"
        result = _read(path, values, seed)
        if result is None:
            say(what, progress)
            result = _numbers(train_one(config, seed, path.with_suffix("")), values)
            write_json(path, {"format": FORMAT, "config": values, "seed": seed, "result": _writable(result)})
        else:
            say(f"{what}: trained before", progress)
        rows.append({**_hashable(values), "seed": seed, **result})
    table = pd.DataFrame(rows)
    table.attrs["config_columns"] = list(plain[0])
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n − 1) over seeds and count of every number of a `grid_sweep`.

    A row per config in the order trained, indexed by the config's columns; columns are pairs (number, "mean" | "sd" |
    "count"). NaN is left out of all three; the sd of one seed is NaN.

    Raises:
        LabkitError: the table is not one that `grid_sweep` returned.
    """
    by = table.attrs.get("config_columns")
    if not by:
        raise LabkitError(
            "summary: the table does not say which columns are the config; pass grid_sweep's own."
        )
    numbers = [name for name in table.columns if name not in {*by, "seed"}]
    found = table.groupby(by, sort=False, dropna=False)[numbers].agg(["mean", "std", "count"])
    return found.rename(columns={"std": "sd"}, level=1)


def cell_name(values: Mapping[str, Any]) -> str:
    """Name of the files of one cell: the first 12 hexadecimal digits of the SHA-256 of its values as JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:HASH_LETTERS]


def _read(path: Path, values: Mapping[str, Any], seed: int) -> dict[str, float] | None:
    """The numbers of a finished cell; None where there is no file, or one cut short.

    Raises:
        LabkitError: the file is whole and another's.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:  # not JSON, or not even text
        return None
    expected = {"format": FORMAT, "config": dict(values), "seed": seed}
    ours = isinstance(content, dict) and {name: content.get(name) for name in expected} == expected
    if not ours or not isinstance(content.get("result"), dict):
        raise LabkitError(
            f"{path}: is no cell of this sweep (made by something else, or another config of the same name); "
            "choose another folder, or delete the file to train that model anew."
        )
    return {name: float(value) for name, value in content["result"].items()}


def _plain(config: Config) -> dict[str, Any]:
    values = dataclasses.asdict(config) if dataclasses.is_dataclass(config) else config
    try:
        return json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LabkitError(f"sweep: the config {config!r} holds more than plain values; {error}.") from error


def _hashable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a table can group by them: lists, such as an image's size, as text."""
    return {name: str(value) if isinstance(value, list | dict) else value for name, value in values.items()}


def _numbers(result: Mapping[str, float], values: Mapping[str, Any]) -> dict[str, float]:
    try:
        numbers = {str(name): float(value) for name, value in dict(result).items()}
    except (TypeError, ValueError) as error:
        raise LabkitError(f"grid_sweep: train_one must return {{name: number}}; {error}.") from error
    if clash := sorted(numbers.keys() & {*values, "seed"}):
        raise LabkitError(f"grid_sweep: train_one returns {clash[0]!r}, a column of the config; rename it.")
    return numbers


def _writable(result: Mapping[str, float]) -> dict[str, float | str]:
    return {name: value if math.isfinite(value) else str(value) for name, value in result.items()}


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
