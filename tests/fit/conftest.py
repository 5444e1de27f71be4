"""What the tests of training share."""

import importlib.util
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

JOB = Path(__file__).with_name("job.py")


@pytest.fixture(scope="session")
def job() -> ModuleType:
    """The module job.py."""
    spec = importlib.util.spec_from_file_location("training_job", JOB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which makes Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
