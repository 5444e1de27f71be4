"""Property checks of the exercises: each property that a student's code misses comes with a hint.

A check gets the student's functions and returns a list of `Property`; `Run.check` prints them. Nothing that the
student's code raises leaves a check: it becomes the hint of a missed property.
"""

from collections.abc import Callable
from dataclasses import dataclass

from labkit.errors import CheckFailed

__all__ = ["CheckFailed", "Missed", "Property", "evaluate"]

STUB = "this cell still holds the stub: write its body in place of `raise NotImplementedError`."
AGAIN = "the same as above stands in the way."

Test = Callable[[], "str | None"]


@dataclass(frozen=True)
class Property:
    """One thing that must hold of a student's code.

    Attributes:
        name: what must hold, in a few words.
        passed: whether it does.
        hint: the likely mistake, in a sentence; empty where it holds.
    """

    name: str
    passed: bool
    hint: str


class Missed(Exception):  # noqa: N818 - not an error: what a test says of the code it looked at
    """Raised within a test to end it with a hint."""


def evaluate(tests: dict[str, Test]) -> list[Property]:
    """Run the tests in order, one property each.

    Args:
        tests: name of the property → a test, which returns None where it holds and else a hint, or raises `Missed`.
    """
    properties: list[Property] = []
    for name, test in tests.items():
        hint, raised = _run(test)
        seen = raised and any(each.hint == hint for each in properties)
        properties.append(Property(name, not hint, AGAIN if seen else hint))
    return properties


def _run(test: Test) -> tuple[str, bool]:
    """The hint, empty if there is none to give, and whether the student's code raised."""
    try:
        return test() or "", False
    except Missed as missed:
        return str(missed), False
    except NotImplementedError:
        return STUB, True
    except Exception as error:
        said = " ".join(str(error).split())
        return f"your code stopped with {type(error).__name__}: {said[:200] or 'no message'}.", True
