"""Fixtures that more than one room of tests uses."""

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = "PROFILE = None\nSEED = 0\nDATA = None\nOUT = None"

MakeLab = Callable[..., Path]

# Read before any test changes the environment.
REAL_DATA = os.environ.get("LABKIT_DATA")

# The labs and the files that take longest begin first: begun last, one of them keeps one worker busy while the others
# have nothing left to do.
LABS = ("tests/notebooks/test_execute.py", "tests/notebooks/test_nbval.py")
LONG = (
    *LABS,
    "tests/course/run/test_runner.py",
    "tests/course/grade/test_mutants.py",
    "tests/notebooks/test_reference.py",
    "tests/test_packaging.py",
    "tests/test_pins.py",
)


def pytest_configure() -> None:
    """No test asks the network, in this process or in a kernel it starts."""
    os.environ["LABKIT_OFFLINE"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See `LONG`."""
    files = {item: item.nodeid.partition("::")[0] for item in items}
    items.sort(key=lambda item: LONG.index(files[item]) if files[item] in LONG else len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What a worker of `make test` takes at a time: one run of a lab, else a file, whose tests share fixtures."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file in LABS else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser without a window; the test is skipped where there is none, or nothing that drives it."""
    reason = "playwright is not installed; the extra site holds it"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    names = ("chromium", "chromium-browser", "google-chrome")
    if (program := next(filter(None, map(shutil.which, names)), None)) is None:
        pytest.skip("needs Chromium or Chrome")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=program)
        yield running
        running.close()


@pytest.fixture
def real_data() -> Path:
    """The folder with real data sets that `LABKIT_DATA` names; the test is skipped where there is none."""
    if not REAL_DATA:
        pytest.skip("needs real data: LABKIT_DATA is not set")
    if not Path(REAL_DATA).is_dir():
        pytest.skip(f"needs real data: LABKIT_DATA={REAL_DATA} is no folder")
    return Path(REAL_DATA).resolve()


@pytest.fixture(scope="session")
def make_lab() -> MakeLab:
    """A function that writes a small lab notebook: make_lab(folder, "01_name", sources, budget=…, extra=…).

    A source that starts with # and a blank is a markdown cell, any other a code cell.
    """

    def make(folder: Path, stem: str, sources: Sequence[str], *, budget: float = 120.0, extra: str = "") -> Path:
        cells = [new_markdown_cell(f"# Lab {stem}")]
        cells.append(new_code_cell(f"{PARAMETERS}\n{extra}", metadata={"tags": ["parameters"]}))
        cells += [new_markdown_cell(s) if s.startswith("# ") else new_code_cell(s) for s in sources]
        notebook = new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        notebook.metadata["labkit"] = {
            "lab": stem[:2],
            "title": f"About {stem[3:]}",
            "objectives": ["see a runner run"],
            "minutes": {"smoke": 0.1, "cpu": 2, "gpu": 3},
            "budget_seconds": {"smoke": budget, "cpu": 600, "gpu": 3600},
            "points": 1,
            "reports": "A",
        }
        path = folder / f"{stem}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    return make


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny nets are fastest on one thread, and bits may depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def same() -> Any:
    """(a, b) → equal bit for bit, tensors within containers and NaN included; times left out."""
    return _same


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and _bits(a) == _bits(b)
    if isinstance(a, dict):
        times = {"seconds", "items_per_second", "_epoch_seconds"}
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a.keys() - times)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and a == b


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()
