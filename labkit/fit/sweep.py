"""Sweeps: one model per setting and seed, each finished one kept in a file of its own."""

import dataclasses
import hashlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labkit.errors import LabkitError
from labkit.files import write_json
from labkit.fit import reference
from labkit.fit.progress import say
from labkit.scheduler import SCHEDULER_VARIABLE

HASH_LETTERS = 12
FORMAT = "labkit sweep 1"
DIGEST = "result sha256"  # tells a digit that a bad disk or a hand has changed; cells of the reference have none

Config = Mapping[str, Any] | Any
TrainOne = Callable[[Any, int, Path], Mapping[str, float]]


@dataclass(frozen=True)
class Cell:
    """A model of a sweep."""

    config: Config  # as `train_one` gets it
    values: dict[str, Any]  # the config as plain values
    seed: int  # as `train_one` gets it
    path: Path  # the file of its numbers; without the ending it is the model's run_dir

    @property
    def words(self) -> str:
        """Config and seed in a line."""
        return ", ".join(f"{name} = {value}" for name, value in self.values.items()) + f", seed {self.seed}"

    def read(self) -> dict[str, float] | None:
        """The numbers of a finished cell; None where there is no file, one cut short, or numbers not as written.

        Raises LabkitError: the file is whole and another's.
        """
        offered = reference.offer(self.path)
        path = self.path if offered is None or self.path.exists() else offered
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:  # not JSON, or not even text
            return None
        expected = {"format": FORMAT, "config": self.values, "seed": self.seed}
        ours = isinstance(content, dict) and {name: content.get(name) for name in expected} == expected
        try:
            if not ours:
                raise ValueError
            # Infinities and NaN stand there as text; null, lists and other words are nobody's numbers.
            result = {name: float(value) for name, value in content["result"].items()}
        except (AttributeError, KeyError, TypeError, ValueError):
            if path is offered:
                print(f"{path}: is damaged: this model is trained instead.")
                return None
            raise LabkitError(
                f"{self.path}: is no cell of this sweep (made by something else, or another config of the same "
                "name); choose another folder, or delete the file to train that model anew."
            ) from None
        if content.get(DIGEST, _digest(content["result"])) != _digest(content["result"]):
            return None
        if path is offered:
            reference.take(self.path)
        return result

    def train(self, train_one: TrainOne) -> dict[str, float]:
        """Its numbers, from training it; they are in its file then.

        Raises LabkitError: `train_one` returns something else than numbers, or a name of the config; or its folder
            cannot be made.
        """
        folder = self.path.with_suffix("")
        try:  # `fit` makes none where it takes the model from the reference
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LabkitError(f"{folder}: cannot be made ({error.strerror}); choose another folder.") from error
        with reference.measuring():
            result = _numbers(train_one(self.config, self.seed, folder), self.values)
        about = {"format": FORMAT, "config": self.values, "seed": self.seed}
        written = {name: value if math.isfinite(value) else str(value) for name, value in result.items()}
        write_json(self.path, about | {"result": written, DIGEST: _digest(written)})
        return result


def _numbers(result: Mapping[str, float], values: Mapping[str, Any]) -> dict[str, float]:
    try:
        numbers = {str(name): float(value) for name, value in dict(result).items()}
    except (TypeError, ValueError) as error:
        raise LabkitError(f"grid_sweep: train_one must return {{name: number}}; {error}.") from error
    if clash := sorted(numbers.keys() & {*values, "seed"}):
        raise LabkitError(f"grid_sweep: train_one returns {clash[0]!r}, a column of the config; rename it.")
    return numbers


def grid_sweep(
    configs: Sequence[Config], train_one: TrainOne, folder: str | Path, seeds: Sequence[int], progress: bool = True
) -> pd.DataFrame:
    """Train one model for every config and seed, all seeds of a config in turn.

    A finished cell is one JSON file under `folder`, written whole or not at all; called again, the sweep trains
    only what has none. A kill loses at most the model in training, and not even that if `train_one` passes the
    folder it is given to `fit` as run_dir. A file cut short, or whose numbers are not those that were written, is
    trained anew. Cells of other configs or seeds may lie there too, and are left alone. The code of `train_one` is
    not compared: name in the config what makes it.

    With the address of a dask scheduler in `LABKIT_SCHEDULER` (`labkit run --scheduler` sets it), its workers train
    the cells, each in a process of its own; they must see `folder` under the same path. `train_one` and all that it
    uses are sent to them: what it leaves behind for later belongs into files of its run_dir, not into variables.

    Args:
        configs: dicts or dataclasses of plain values, all with the same names.
        train_one: (config, seed, run_dir) → {name: number}.
        folder: of this sweep.
        seeds: trained for each config.
        progress: say which cells are trained and which were there.

    Returns:
        A row per cell: the config's columns, `seed`, what `train_one` returned; for `summary`.

    Raises LabkitError: no or repeated configs or seeds, names that clash, a file of something else in a cell's place.
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
    address = os.environ.get(SCHEDULER_VARIABLE)
    if address and (missing := [cell for cell in cells if cell.read() is None]):
        from labkit.fit import sweep_cluster  # which imports this module

        sweep_cluster.train(address, missing, train_one, partial(say, shown=progress))
    rows = []
    for place, cell in enumerate(cells, 1):
        what = f"model {place} of {len(cells)}: {cell.words}"
        result = cell.read()
        if result is None:
            say(what, progress)
            result = cell.train(train_one)
        else:
            say(f"{what}: {'trained before' if cell.path.exists() else 'from the reference'}", progress)
        rows.append({**_hashable(cell.values), "seed": cell.seed, **result})
    table = pd.DataFrame(rows)
    table.attrs["config_columns"] = list(plain[0])
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n − 1) over seeds and count of every number of a `grid_sweep`.

    A row per config in the order trained, indexed by the config's columns; columns are pairs (number, "mean" | "sd" |
    "count"). NaN is left out of all three; the sd of one seed is NaN.

    Raises LabkitError: the table is not one that `grid_sweep` returned.
    """
    by = table.attrs.get("config_columns")
    if not by:
        raise LabkitError("summary: the table does not say which columns are the config; pass grid_sweep's own.")
    numbers = [name for name in table.columns if name not in {*by, "seed"}]
    found = table.groupby(by, sort=False, dropna=False)[numbers].agg(["mean", "std", "count"])
    return found.rename(columns={"std": "sd"}, level=1)


def cell_name(values: Mapping[str, Any]) -> str:
    """Name of the files of one cell: the first 12 hexadecimal digits of the SHA-256 of its values as JSON."""
    return _digest(values)[:HASH_LETTERS]


def read_arrays(path: Path, found: Path) -> dict[str, np.ndarray]:
    """The arrays of a file *.npz that a cell left in its folder.

    Args:
        path: where the cell leaves it.
        found: the file itself: `path`, or the reference's.

    Raises LabkitError: it is missing or damaged.
    """
    try:
        with np.load(found) as file:
            return dict(file)
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        reason, folder = getattr(error, "strerror", None) or "it is damaged", path.parent
        cell = folder.with_suffix(".json")
        remedy = f"delete {cell.name} and {cell.stem}/ in {folder.parent}, and run the cell with the sweep again"
        if found != path or not cell.exists():
            remedy = "install the kit again, or set REFERENCE = False"
        raise LabkitError(f"{found}: cannot be read ({reason}); {remedy}.") from error


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _plain(config: Config) -> dict[str, Any]:
    values = dataclasses.asdict(config) if dataclasses.is_dataclass(config) else config
    try:
        return json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LabkitError(f"sweep: the config {config!r} holds more than plain values; {error}.") from error


def _hashable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a table can group by them: lists, such as an image's size, as text."""
    return {name: str(value) if isinstance(value, list | dict) else value for name, value in values.items()}
