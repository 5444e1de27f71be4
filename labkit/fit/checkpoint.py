"""The one file of a run: written whole, read without trust, and never mistaken for another run's."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.files import atomic_path
from labkit.fit.identity import config_hash, differences

FORMAT = "labkit checkpoint 1"
NAME = "checkpoint.pt"
# Writing may take at most this share of the time of a run.
WRITING_SHARE = 0.05


class Checkpoints:
    """Reads and writes `run_dir/checkpoint.pt`; with `run_dir` None it does neither.

    Args:
        run_dir: folder of one run.
        config: what identifies the run, as plain values; a file with another config is refused.
        seconds: time between two checkpoints; longer where writing one takes more than 5 % of it.
    """

    def __init__(self, run_dir: str | Path | None, config: Mapping[str, Any], seconds: float) -> None:
        self.path = None if run_dir is None else Path(run_dir) / NAME
        self._config = json.loads(json.dumps(config, default=str))
        self._seconds = seconds
        self._due = float("inf")

    def load(self) -> dict[str, Any] | None:
        """What `save` was last given, on the CPU; None if there is no file.

        Raises:
            LabkitError: the file is damaged, or no checkpoint of this kit, or of another run.
        """
        if self.path is None:
            return None
        for stale in self.path.parent.glob(f".{self.path.stem}-*{self.path.suffix}"):
            stale.unlink(missing_ok=True)  # left by a run that was killed while it wrote
        if not self.path.exists():
            return None
        content = self._read()
        if content["hash"] != config_hash(self._config):
            differing = differences(content["config"], self._config)
            raise LabkitError(
                f"{self.path}: is the checkpoint of another run ({differing}); "
                "choose another run_dir, or delete the file to train anew."
            )
        return content["state"]

    def save(self, state: dict[str, Any]) -> None:
        """Write `state`: tensors and plain values.

        Raises:
            LabkitError: the folder cannot be written, or the disk is full.
        """
        if self.path is None:
            return
        started = time.monotonic()
        content = {
            "format": FORMAT,
            "config": self._config,
            "hash": config_hash(self._config),
            "state": state,
        }
        with atomic_path(self.path) as temporary, open(temporary, "wb") as stream:
            try:
                torch.save(content, stream)
            except RuntimeError as error:  # torch reports a failed write as one
                raise OSError(None, "torch could not write all of it") from error
        now = time.monotonic()
        self._due = now + max(self._seconds, (now - started) / WRITING_SHARE)

    def due(self) -> bool:
        """True when it is time for the next checkpoint."""
        return time.monotonic() >= self._due

    def _read(self) -> dict[str, Any]:
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            whole = (
                isinstance(content, dict)
                and content["format"] == FORMAT
                and {"config", "hash", "state"} <= content.keys()
            )
        except Exception as error:
            raise self._foreign() from error
        if not whole:
            raise self._foreign()
        return content

    def _foreign(self) -> LabkitError:
        return LabkitError(
            f"{self.path}: is not a whole labkit checkpoint (cut short, or made by something else); "
            "delete it to train anew, or choose another run_dir."
        )


def plain(value: Any, of: str) -> Any:
    """`value` as a checkpoint can hold it: tensors on the CPU, arrays as tensors, scalars as python's.

    Raises:
        LabkitError: it holds something else; `of` names who made it.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {plain(key, of): plain(item, of) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, of) for item in value]
    raise LabkitError(f"{of}: returned {type(value).__name__}; return tensors, arrays, numbers, or lists of them.")
