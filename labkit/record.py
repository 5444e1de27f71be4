"""A lab's run record on disk: its files, and values as JSON can hold them.

Needs neither torch nor matplotlib, so that the command line reads records without waiting for them.
"""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError

NOTEBOOK = "notebook.ipynb"
PAGE = "notebook.html"
STATE = "state.json"
LOG = "run.log"
RECORD_FILES = ("config.json", "metrics.json", "checks.json", "claims.json", "figures.json", "timings.json")
VERSIONED = ("labkit", "torch", "torchvision", "normflows", "scikit-learn", "numpy", "matplotlib")


def read_record(folder: Path, name: str, default: Any) -> Any:
    """A file of a run record, or `default` where it is absent or cannot be read."""
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numpy and torch numbers and arrays as Python's, NaN and infinity as text.

    Raises:
        LabkitError: it is something else, e.g. a model.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise LabkitError(f"a record holds numbers, texts, lists and dicts of them, not {type(value).__name__}.")


def versions() -> dict[str, str]:
    """Versions of what decides a result: Python, the platform and the packages that compute or draw."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def clear_record(folder: Path) -> None:
    """Make the folder ready for a new run: a record half old, half new would be believed.

    Checkpoints and figures stay: a lab resumes from the first and draws over the second.

    Raises:
        LabkitError: the folder cannot be made or written.
    """
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name in (*RECORD_FILES, STATE):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise LabkitError(f"{folder}: cannot hold results ({error.strerror}); choose another folder.") from error
