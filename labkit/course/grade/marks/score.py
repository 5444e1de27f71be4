"""Points from what the trusted worker found, and what lateness costs of them."""

import re
from dataclasses import dataclass
from typing import Any

from labkit.errors import LabkitError

SECONDS = {"minute": 60, "min": 60, "m": 60, "hour": 3600, "h": 3600, "day": 86400, "d": 86400, "s": 1}
RULE = re.compile(r"(\d+(?:\.\d+)?)\s*%\s*(?:/|per)\s*(hour|day)")
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(minute|min|m|hour|h|day|d|s)s?")


@dataclass(frozen=True)
class Score:
    """What one test cell is worth."""

    points: float  # from 0 to `maximum`
    maximum: float
    properties: tuple[dict[str, Any], ...] = ()  # name, passed and hint of each property asked for
    reason: str = ""  # why nothing could be asked, or empty

    @property
    def passed(self) -> int:
        """How many properties hold."""
        return sum(each["passed"] for each in self.properties)


@dataclass(frozen=True)
class LateRule:
    """Each period begun after the grace costs `share` of what was earned; a share of 0 costs nothing."""

    share: float = 0.0
    period_seconds: float = 86400.0
    grace_seconds: float = 0.0


def score_exercise(maximum: float, exercise: Any, otherwise: str = "") -> Score:
    """Points of one test cell: its maximum times the share of properties that hold.

    The check itself marks what an answer without any thought passes as not passed until something that proves more
    holds: see `labkit.checking.weak`.

    Args:
        maximum: what the release says that the cell is worth, never what a submission says.
        exercise: its entry in outcome.json, None if there is none.
        otherwise: the reason to give where there is no entry.
    """
    if not isinstance(exercise, dict):
        return Score(0.0, maximum, reason=otherwise or "it was not reached.")
    properties = tuple(
        {"name": str(each["name"]), "passed": each["passed"] is True, "hint": str(each.get("hint", ""))}
        for each in exercise.get("properties", [])
    )
    if not properties:
        return Score(0.0, maximum, reason=str(exercise.get("reason") or otherwise or "nothing could be asked."))
    reason = str(exercise.get("reason") or "")
    held = sum(each["passed"] for each in properties)
    return Score(maximum * held / len(properties), maximum, properties, reason)


def parse_late_rule(rule: str | None, grace: str | None = None) -> LateRule:
    """A rule such as "10%/day" or "2%/hour", with a grace such as "1h" or "30 min".

    Raises LabkitError: either cannot be read, or there is a grace without a rule.
    """
    if grace and rule is None:
        raise LabkitError(f"--grace {grace}: belongs to a rule; write --late, for example 10%/day, beside it.")
    late = LateRule(grace_seconds=_seconds(grace) if grace else 0.0)
    if rule is None or rule.strip().lower() in ("", "none", "0"):
        return late
    if not (match := RULE.fullmatch(rule.strip().lower())) or float(match[1]) > 100:
        raise LabkitError(f"--late {rule}: is no rule; write for example 10%/day or 2%/hour.")
    return LateRule(float(match[1]) / 100, float(SECONDS[match[2]]), late.grace_seconds)


def penalty(score: float, late_seconds: float | None, rule: LateRule) -> float:
    """Points that lateness takes from `score`, never more than all of it."""
    over = (late_seconds or 0.0) - rule.grace_seconds
    if over <= 0 or score <= 0:
        return 0.0
    periods = -(-over // rule.period_seconds)
    return score * min(1.0, rule.share * periods)


def _seconds(text: str) -> float:
    if not (match := DURATION.fullmatch(text.strip().lower())):
        raise LabkitError(f"--grace {text}: is no time; write for example 1h, 30min or 2d.")
    return min(float(match[1]) * SECONDS[match[2]], 1e12)  # what no clock counts to is as good as for ever
