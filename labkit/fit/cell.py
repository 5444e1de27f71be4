"""One model of a sweep: what makes it, and the file that holds its numbers."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError
from labkit.files import write_json

FORMAT = "labkit sweep 1"

Config = Mapping[str, Any] | Any
TrainOne = Callable[[Any, int, Path], Mapping[str, float]]


@dataclass(frozen=True)
class Cell:
    """A model of a sweep.

    Attributes:
        config: as `train_one` gets it.
        values: the config as plain values.
        seed: as `train_one` gets it.
        path: the file of its numbers; without the ending it is the model's run_dir.
    """

    config: Config
    values: dict[str, Any]
    seed: int
    path: Path

    @property
    def words(self) -> str:
        """Config and seed in a line."""
        return ", ".join(f"{name} = {value}" for name, value in self.values.items()) + f", seed {self.seed}"

    def read(self) -> dict[str, float] | None:
        """The numbers of a finished cell; None where there is no file, or one cut short.

        Raises:
            LabkitError: the file is whole and another's.
        """
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:  # not JSON, or not even text
            return None
        expected = {"format": FORMAT, "config": self.values, "seed": self.seed}
        ours = isinstance(content, dict) and {name: content.get(name) for name in expected} == expected
        if not ours or not isinstance(content.get("result"), dict):
            raise LabkitError(
                f"{self.path}: is no cell of this sweep (made by something else, or another config of the same "
                "name); choose another folder, or delete the file to train that model anew."
            )
        return {name: float(value) for name, value in content["result"].items()}

    def train(self, train_one: TrainOne, write: bool = True) -> dict[str, float]:
        """Its numbers, from training it; they are in its file then, unless `write` is False.

        Raises:
            LabkitError: `train_one` returns something else than numbers, or a name of the config.
        """
        result = _numbers(train_one(self.config, self.seed, self.path.with_suffix("")), self.values)
        if write:
            about = {"format": FORMAT, "config": self.values, "seed": self.seed}
            write_json(self.path, about | {"result": _writable(result)})
        return result


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
