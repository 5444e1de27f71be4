"""What the tests of training share."""

import importlib.util
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
