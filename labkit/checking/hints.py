"""What is said of a student's code: properties that hold or are missed, and hints of the likely mistake."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Hint(NamedTuple):
    """What is said of a property that a student's code misses."""

    where: str = ""  # the smallest failing case: what came, what was expected
    why: str = ""  # the likely mistake
    formula: str = ""  # what would be right

    def text(self) -> str:
        """Where and why; the formula alone where there is nothing else to say."""
        return " ".join(filter(None, (self.where, self.why))) or self.formula


Test = Callable[[], "str | Hint | None"]
Function = Callable[..., Any]  # what a student writes, or what is made of it
# What a common mistake would have given, and what to say of it.
Mistake = tuple[Callable[[], Any], str]


@dataclass(frozen=True)
class Property:
    """One thing that must hold of a student's code."""

    name: str  # what must hold, in a few words
    passed: bool  # whether it does
    hint: str  # the likely mistake, in a sentence; empty where it holds
    where: str = ""  # the parts of a `Hint`; `hint` leaves the formula out
    why: str = ""
    formula: str = ""


class Missed(Exception):  # noqa: N818 - not an error: what a test says of the code it looked at
    """Raised within a test to end it with a hint."""


def weak(test: Test) -> Test:
    """Mark a test that a constant, the identity or an empty answer passes: it earns nothing by itself."""

    def marked() -> "str | Hint | None":
        return test()

    marked.weak = True
    return marked
