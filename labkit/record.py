"""A lab's run record on disk: its files, their shapes, and values as JSON can hold them.

Needs neither torch nor matplotlib, so that the command line reads records without waiting for them.
"""

import json
import os
import platform
import sys
from dataclasses import is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from labkit import translations
from labkit.errors import LabkitError, nearest

PROFILES = ("smoke", "cpu", "study", "gpu")
PROFILE_VARIABLE = "LABKIT_PROFILE"
OUT_VARIABLE = "LABKIT_OUT"
STUDY_SECONDS = 7200.0  # that a lab may take in the profile that makes the reference
BUDGET_VARIABLE = "LABKIT_BUDGET_SECONDS"  # tells a kernel how long its whole lab may take
JOBS_VARIABLE = "LABKIT_JOBS"  # tells it how many labs run beside it
LARGEST_SEED = 2**32 - 1  # that numpy and scikit-learn take
NOTEBOOK = "notebook.ipynb"
PAGE = "notebook.html"
STATE = "state.json"
LOG = "run.log"
PREDICTIONS = "predictions.json"
RECORD_FILES = ("config.json", "metrics.json", "checks.json", "claims.json", "figures.json", "timings.json")
VERSIONED = ("labkit", "torch", "torchvision", "normflows", "scikit-learn", "numpy", "matplotlib")

NUMBER = (int, float)
# What a reader may rely on: these keys, perhaps among others. {str: x} is a dict whose values are all x, [x] a list.
SHAPES = {
    STATE: {"state": str, "message": str, "seconds": NUMBER, "title": str, "fingerprint": dict, "record": {str: str}},
    "config.json": {
        "lab": str,
        "device": str,
        "data": [{"label": str, "real": bool, "source": str}],
        "versions": {str: str},
    },
    "checks.json": {str: [{"passed": bool}]},
    "claims.json": [{"id": str, "text": str, "verdict": str}],
    "figures.json": [{"file": str, "alt": str}],
    "timings.json": {str: NUMBER},
    PREDICTIONS: {str: {"question": str, "guess": str}},
}


def check_language() -> None:
    """Refuse a language that the kit has no texts in, which would silently be English.

    Raises LabkitError: `LABKIT_LANG` names one.
    """
    language, known = os.environ.get(translations.VARIABLE), ["en", *translations.languages()]
    if language and language not in known:
        raise LabkitError(f"{translations.VARIABLE}: there is no language {language!r}{nearest(language, known)}")


def read_record(folder: Path, name: str, default: Any) -> Any:
    """A file of a run record, or `default` where it is absent, cannot be read or has another shape than `SHAPES`."""
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return default
    return value if _fits(value, SHAPES.get(name, object)) else default


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(each, shape[0]) for each in value)
    if shape is NUMBER:  # JSON knows NaN, and whole numbers that no float can hold
        return type(value) in NUMBER and abs(value) <= sys.float_info.max
    if not isinstance(shape, dict):
        return isinstance(value, shape)
    if not isinstance(value, dict):
        return False
    if str in shape:
        return all(_fits(each, shape[str]) for each in value.values())
    return all(name in value and _fits(value[name], each) for name, each in shape.items())


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numpy and torch as Python's, dataclasses as dicts, NaN and infinity as text.

    Raises LabkitError: it is something else, e.g. a model.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(vars(value))
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
            found[package] = version("labkit-faces" if package == "labkit" else package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def clear_record(folder: Path) -> None:
    """Make the folder ready for a new run: a record half old, half new would be believed.

    Checkpoints, figures and guesses stay: a lab resumes from the first and draws over the second.

    Raises LabkitError: the folder cannot be made or written.
    """
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name in (*RECORD_FILES, STATE):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise LabkitError(f"{folder}: cannot hold results ({error.strerror}); choose another folder.") from error
