"""Sweeps: one model per setting and seed, each finished one kept in a file of its own."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from labkit.errors import LabkitError
from labkit.fit import sweep_cluster
from labkit.fit.cell import Cell, Config, TrainOne
from labkit.fit.group import join
from labkit.fit.progress import say
from labkit.scheduler import SCHEDULER_VARIABLE

HASH_LETTERS = 12


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

    With the address of a dask scheduler in `LABKIT_SCHEDULER` (`labkit run --scheduler` sets it), its workers train
    the cells, each in a process of its own; they must see `folder` under the same path. `train_one` and all that it
    uses are sent to them: what it leaves behind for later belongs into files of its run_dir, not into variables. For
    processes that train together (`torchrun`) the files and numbers of process 0 count.

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
    folder = Path(folder).absolute()
    plain = [_plain(config) for config in configs]
    cells = [
        Cell(config, values, seed, folder / f"{cell_name({**values, 'seed': seed})}.json")
        for config, values in zip(configs, plain)
        for seed in map(int, seeds)
    ]
    names = {tuple(sorted(values)) for values in plain}
    if not cells or len({cell.path for cell in cells}) < len(cells) or len(names) > 1 or "seed" in plain[0]:
        raise LabkitError(
            f"grid_sweep: {len(plain)} configs and seeds {list(seeds)}; give at least one of each, no config or seed "
            'twice, and the same names in every config, none of them "seed".'
        )
    group, address = join(), os.environ.get(SCHEDULER_VARIABLE)
    if address and group.size == 1 and (missing := [cell for cell in cells if cell.read() is None]):
        sweep_cluster.train(address, missing, train_one, partial(say, shown=progress))
    rows = []
    for place, cell in enumerate(cells, 1):
        what = f"model {place} of {len(cells)}: {cell.words}"
        result = group.from_leader(cell.read())
        if result is None:
            say(what, progress)
            result = group.from_leader(cell.train(train_one, write=group.leads))
        else:
            say(f"{what}: trained before", progress)
        rows.append({**_hashable(cell.values), "seed": cell.seed, **result})
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
        raise LabkitError("summary: the table does not say which columns are the config; pass grid_sweep's own.")
    numbers = [name for name in table.columns if name not in {*by, "seed"}]
    found = table.groupby(by, sort=False, dropna=False)[numbers].agg(["mean", "std", "count"])
    return found.rename(columns={"std": "sd"}, level=1)


def cell_name(values: Mapping[str, Any]) -> str:
    """Name of the files of one cell: the first 12 hexadecimal digits of the SHA-256 of its values as JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:HASH_LETTERS]


def _plain(config: Config) -> dict[str, Any]:
    values = dataclasses.asdict(config) if dataclasses.is_dataclass(config) else config
    try:
        return json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LabkitError(f"sweep: the config {config!r} holds more than plain values; {error}.") from error


def _hashable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a table can group by them: lists, such as an image's size, as text."""
    return {name: str(value) if isinstance(value, list | dict) else value for name, value in values.items()}
