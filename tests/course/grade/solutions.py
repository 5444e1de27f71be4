"""Every solution that tests/labs holds with its check: found by running those tests with a recorder."""

import importlib.util
import inspect
import itertools
from pathlib import Path

CHECKS = Path(__file__).resolve().parents[2] / "labs"


class Recorder:
    """In the place of the fixture `prove`: remembers what it is given to prove."""

    def __init__(self):
        self.right_ones, self.wrong_ones, self.stubs = [], [], []

    def right(self, check, solution):
        self.right_ones.append((check, solution))

    def wrong(self, check, solution, expected):
        self.wrong_ones.append((check, solution, expected))

    def stub(self, check, arguments):
        def stub(*args, **kwargs):
            raise NotImplementedError

        self.stubs.append((check, (stub,) * arguments))

    def complete(self, check, right, wrong):
        pass


def cases(function):
    """The keyword arguments of a test function, one dict per case of its parametrize marks."""
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    axes = []
    for mark in marks:
        names, values = mark.args[:2]
        names = [each.strip() for each in names.split(",")] if isinstance(names, str) else list(names)
        rows = [getattr(value, "values", value) if hasattr(value, "marks") else value for value in values]
        axes.append([dict(zip(names, row if len(names) > 1 else [row], strict=True)) for row in rows])
    for chosen in itertools.product(*axes):
        yield {name: value for part in chosen for name, value in part.items()}


def recorded(path, recorder=None):
    """What the tests of one file prove; `recorder.case` is meanwhile the case of the test that runs."""
    spec = importlib.util.spec_from_file_location(f"solutions_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recorder = recorder or Recorder()
    for name, function in vars(module).items():
        if name.startswith("test_") and "prove" in inspect.signature(function).parameters:
            for arguments in cases(function):
                if set(inspect.signature(function).parameters) == {"prove", *arguments}:
                    recorder.case = arguments
                    function(prove=recorder, **arguments)
    return recorder


FILES = sorted(CHECKS.glob("test_lab*.py"))
