"""What a claim is, the four verdicts, and the shapes of rule that several reports share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.errors import LabkitError

REPRODUCED, NOT_REPRODUCED, CORRECTED, NEEDS_FULL_DATA = (
    "reproduced",
    "not reproduced",
    "corrected",
    "needs full data",
)

Measured = dict[str, Any]
Judge = Callable[[Measured], str]


@dataclass(frozen=True)
class Claim:
    """A sentence of a source report, and how it is judged.

    Attributes:
        id: report's letter and a number, e.g. "A1".
        lab: the lab that measures it.
        text: what is claimed.
        expected: what one should see if it holds, in a few words.
        rule: how `judge` decides, for a reader; names the keys of the measurement.
        decide: the rule in code, from the measurement to a verdict.
        keys: what the measurement must hold.
        needs_real: whether only the real data set can tell.
    """

    id: str
    lab: str
    text: str
    expected: str
    rule: str
    decide: Judge
    keys: tuple[str, ...]
    needs_real: bool = True

    def judge(self, measured: Measured) -> str:
        """The verdict on this claim.

        Raises:
            LabkitError: the measurement lacks a key, or a value is no number (for some rules, no dict of numbers).
        """
        missing = [key for key in self.keys if not isinstance(measured, dict) or key not in measured]
        if missing:
            raise LabkitError(
                f"claim {self.id}: the measurement lacks {missing[0]!r}; its rule reads {', '.join(self.keys)}."
            )
        try:
            return self.decide(measured)
        except (AttributeError, TypeError, ValueError) as error:
            raise LabkitError(f"claim {self.id}: a measured value is of the wrong kind ({error}).") from error


def holds(true: bool) -> str:
    return REPRODUCED if true else NOT_REPRODUCED


def shown_or_open(true: bool, epochs: float, needed: int) -> str:
    """A claim that a shorter training can confirm but not refute."""
    return REPRODUCED if true else NEEDS_FULL_DATA if epochs < needed else NOT_REPRODUCED


def after(needed: int, epochs: float, true: bool) -> str:
    """A claim that only a training of full length can tell."""
    return NEEDS_FULL_DATA if epochs < needed else holds(true)
