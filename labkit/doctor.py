"""What this machine has, and what follows from it."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import psutil
import torch

from labkit.data.inventory import inventory
from labkit.files import data_root
from labkit.fit.step import resolve_precision

PACKAGES = ("torch", "torchvision", "normflows", "scikit-learn", "matplotlib", "jupyterlab", "papermill")
FIRST_PYTHON, END_OF_PYTHON = (3, 11, 5), (3, 15)  # as in pyproject.toml, which an uninstalled kit cannot read
LOW_DISK_BYTES = 2 * 2**30
LOW_MEMORY_BYTES = 4 * 2**30
GIB = 2**30

Row = tuple[str, str, str]


def examine() -> pd.DataFrame:
    """A table of what decides how well the labs run here: columns value and advice, a row per item.

    Advice is empty where nothing is to be done.
    """
    rows = [*_software(), *_hardware(), *_places(), *_data_sets()]
    table = pd.DataFrame(rows, columns=["item", "value", "advice"])
    return table.set_index("item")


def _software() -> Iterator[Row]:
    fit = FIRST_PYTHON <= sys.version_info[:3] < END_OF_PYTHON
    first, end = (".".join(map(str, version)) for version in (FIRST_PYTHON, END_OF_PYTHON))
    advice = (
        "" if fit else f"the pinned packages need Python {first} or newer, before {end}: install one, and labkit anew"
    )
    yield "python", f"{platform.python_version()} in {sys.prefix}", advice
    system = (platform.system(), platform.machine())
    advice = (
        "PyTorch is no longer made for Intel Macs: use another computer" if system == ("Darwin", "x86_64") else ""
    )
    yield "system", " ".join(system), advice
    for package in PACKAGES:
        try:
            yield package, version(package), ""
        except PackageNotFoundError:
            yield package, "absent", "install labkit anew: pip install -c constraints.txt -e ."


def _hardware() -> Iterator[Row]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cores", f"{cores}, torch uses {torch.get_num_threads()}", ""
    memory = psutil.virtual_memory()
    low = "close other programs before a long lab" if memory.available < LOW_MEMORY_BYTES else ""
    yield "memory", f"{memory.available / GIB:.0f} of {memory.total / GIB:.0f} GiB free", low
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        yield ("device", f"cuda: {properties.name}, {properties.total_memory / GIB:.0f} GiB", "use the gpu profile")
    elif torch.backends.mps.is_available():
        yield "device", "mps (Apple GPU)", "the gpu profile uses it"
    else:
        yield "device", "cpu", "use the profiles smoke and cpu"
    trains_on = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    yield "bf16", "used" if resolve_precision("auto", trains_on) == "bf16" else "not used, as it is slow here", ""


def _places() -> Iterator[Row]:
    for name, folder in (("data folder", data_root()), ("working folder", Path.cwd())):
        existing = next(each for each in (folder, *folder.parents) if each.is_dir())
        free = shutil.disk_usage(existing).free
        advice = "less than 2 GiB are free: make room before a long lab" if free < LOW_DISK_BYTES else ""
        if not _writable(existing):
            advice = "cannot be written; results and downloads need another folder"
        yield name, f"{folder}, {free / GIB:.0f} GiB free", advice


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _data_sets() -> Iterator[Row]:
    """Each data set: whether it is here, or what takes its place. Nothing is downloaded or drawn for this."""
    for entry in inventory():
        if entry.images:
            yield entry.name, f"{entry.kind}: {entry.images:,} images, {entry.where}", ""
        else:
            kind = "not here: synthetic stand-in" if entry.kind == "absent" else entry.kind
            yield entry.name, kind, entry.advice
    yield "synthetic faces", "drawn on demand", ""
