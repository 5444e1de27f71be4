"""Intervals, and what follows from several of them: the statistics by which a claim is decided.

Every comparison is a Student t interval of 95 % against a bar. Its unit is what was drawn independently: seeds,
people, groups. `at_least` puts comparisons together and keeps false findings at 2.5 % a side, as Holm does.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

ONE_SIDE = 0.025
SEEDS = 5  # fewer trainings than this decide nothing
LEAST = 3  # of other units
DRAWS = 300  # of a bootstrap
MOST = 1000  # a forecast beyond this many says only that there is next to nothing to see
# Half the width of the interval of 2, 3 … MOST units, in standard deviations of one.
REACH = stdtrit(np.arange(1, MOST), 1 - ONE_SIDE) / np.sqrt(np.arange(2, MOST + 1))


@dataclass(frozen=True)
class Estimate:
    """A measured number with its standard error, from `n` independent units."""

    value: float
    error: float
    n: int
    unit: str = "seeds"
    is_share: bool = False  # so that no interval goes below 0 or above 1

    @property
    def reach(self) -> float:
        """Half the width of the 95 % interval; NaN with one unit."""
        return float(stdtrit(self.n - 1, 1 - ONE_SIDE)) * self.error if self.n > 1 else math.nan

    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval; NaN with one unit."""
        low, high = self.value - self.reach, self.value + self.reach
        return (float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))) if self.is_share else (low, high)

    def units_needed(self, bar: float) -> int:
        """How many units would put the bar outside of the interval, if value and spread stay as they are."""
        least = SEEDS if self.unit == "seeds" else LEAST
        if not math.isfinite(self.error):
            return least
        narrow = REACH * self.error * math.sqrt(self.n) < abs(self.value - bar)
        return max(least, int(narrow.argmax()) + 2) if narrow.any() else MOST + 1


def over(values: Any, unit: str = "seeds") -> Estimate:
    """The mean of one number a unit, with its standard error; an `Estimate` passes through.

    Where most trainings became infinite the mean is too, for certain; where some did, its error is NaN. A NaN, or
    infinities of both signs, make the mean NaN.
    """
    if isinstance(values, Estimate):
        return values
    values = np.atleast_1d(np.asarray(values, float))
    if not len(values):
        return Estimate(math.nan, math.nan, 0, unit)
    bad = ~np.isfinite(values)
    if bad.any():
        lost = len(values) >= SEEDS and bad.mean() > 0.5 and not np.isnan(values).any()
        signs = set(values[bad].tolist())  # infinities of both signs have no mean
        value = signs.pop() if len(signs) == 1 else math.nan
        return Estimate(value, 0.0 if lost and math.isinf(value) else math.nan, len(values), unit)
    with np.errstate(over="ignore", invalid="ignore"):  # an error beyond all numbers decides nothing
        mean = float(values[0] + (values - values[0]).sum() / len(values))  # of equal values exactly theirs
        squares = float(((values - mean) ** 2).sum())
    error = math.sqrt(squares / (len(values) - 1) / len(values)) if len(values) > 1 else math.nan
    return Estimate(mean, error, len(values), unit)


def paired(more: Any, less: Any, times: float = 1.0) -> Estimate:
    """`more` − `times` · `less`, seed by seed: what both have in common cancels.

    Raises ValueError: they have not as many.
    """
    more, less = (np.asarray(values, float) for values in (more, less))
    if more.shape != less.shape:
        raise ValueError(f"{more.size} values cannot be paired with {less.size}")
    if not np.isfinite(less).all():
        return Estimate(math.nan, math.nan, len(less))
    return over(more - times * less)


def resample(statistic: Callable[[np.ndarray], float], groups: Any, *, unit: str = "people") -> Estimate:
    """A statistic with its bootstrap error: whole groups are drawn, since their members are not independent.

    Args:
        statistic: rows (n,) → a number.
        groups: the group of each row, (N,); draws of them that give NaN are left out, and where they are half of all
            there is no error.
    """
    _, groups = np.unique(np.asarray(groups), return_inverse=True)
    if not len(groups):
        return over([], unit)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a draw may lack what the statistic needs, as one of two classes: NaN
        drawn = [
            statistic(np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))]))
            for _ in range(DRAWS)
        ]
        spread = float(np.nanstd(drawn)) if np.isfinite(drawn).mean() > 0.5 else math.nan
    # A bootstrap of n groups is too narrow by √((n − 1) / n).
    wider = math.sqrt(len(members) / max(1, len(members) - 1))
    return Estimate(float(statistic(np.arange(len(groups)))), spread * wider, len(members), unit)


def apart(people: Any) -> np.ndarray:
    """People (N,), where unknown (−1) each another one."""
    people = np.asarray(people)
    return np.where(people < 0, -1 - np.arange(len(people)), people)


def over_people(values: Any, people: Any) -> Estimate:
    """The mean over people (N,), −1 where unknown, of the means of their `values` (N,): shots of one are no units."""
    people = apart(people)
    return over([np.asarray(values, float)[people == one].mean() for one in np.unique(people)], "people")


def share(values: Any, people: Any, unit: str = "people") -> Estimate:
    """The share of true `values` (N,), or the mean of shares in [0, 1], over people, or whatever the unit is.

    Where all or none are true there is no spread, and still some doubt: the interval reaches at least as far as
    Clopper and Pearson's does there, to a probability at which n units are all alike once in forty times. So it does
    for any values that are but true or false: the few that differ tell their spread badly.
    """
    found, values = over_people(values, people), np.asarray(values)
    if found.n < 2 or (values.dtype != bool and found.value not in (0, 1)):
        return replace(found, unit=unit, is_share=True)
    doubt = (1 - ONE_SIDE ** (1 / found.n)) / stdtrit(found.n - 1, 1 - ONE_SIDE)
    return replace(found, error=max(found.error, float(doubt)), unit=unit, is_share=True)


@dataclass(frozen=True)
class Finding:
    """A statement, the p-values of its being shown and of its opposite, and what would decide it."""

    yes: float  # how often a measurement would show it so clearly although it just does not hold
    no: float  # the same of its opposite
    needs: dict[str, float] = field(default_factory=dict)  # unit → how many of it would decide

    @property
    def shown(self) -> bool:
        return self.yes <= ONE_SIDE

    @property
    def refuted(self) -> bool:
        return self.no <= ONE_SIDE

    def __invert__(self) -> "Finding":
        return Finding(self.no, self.yes, self.needs)


def fact(true: bool) -> Finding:
    """What a computation says for certain."""
    return Finding(float(not true), float(bool(true)))


def enough(have: float, needed: float, unit: str) -> Finding:
    """Whether a run is long or large enough to tell; one that is not says nothing."""
    return fact(True) if have >= needed else Finding(1.0, 1.0, {unit: needed})


def unknown(needs: str) -> Finding:
    """What cannot be told without `needs`."""
    return Finding(1.0, 1.0, {needs: math.nan})


def above(measured: Any, bar: float = 0.0) -> Finding:
    """Whether the mean of `measured`, a number a seed or an `Estimate`, lies above the bar."""
    found = over(measured)
    needs = {found.unit: found.units_needed(bar)}
    too_few = found.n < (SEEDS if found.unit == "seeds" else LEAST)
    if too_few or math.isnan(found.error) or math.isnan(found.value):
        return Finding(1.0, 1.0, needs)
    if found.error < 1e-12 * abs(found.value) + 1e-15:  # alike but for rounding, as differences of equal pairs are
        on_the_bar = math.isclose(found.value, bar, rel_tol=1e-12, abs_tol=1e-15)
        return Finding(1.0, 1.0, needs) if on_the_bar else fact(found.value > bar)
    below = float(stdtr(found.n - 1, (found.value - bar) / found.error))
    return Finding(1 - below, below, needs)


def below(measured: Any, bar: float = 0.0) -> Finding:
    """Whether the mean lies below the bar."""
    found = over(measured)
    return above(Estimate(-found.value, found.error, found.n, found.unit), -bar)


def at_least(count: int, findings: Sequence[Finding]) -> Finding:
    """Whether `count` of the findings hold.

    Shown by the p-value of the count-th clearest, times the number of choices that were left for it; what is certain
    leaves no choice. So all of k need no correction, and any of k costs k, as in Holm's procedure. Of fewer findings
    than are asked for, or of none, nothing is known.
    """
    if len(findings) < max(1, count):
        return unknown("more measurements")
    open_ones = [each for each in findings if each.yes > 0 and each.no > 0]
    count -= sum(each.yes == 0 for each in findings)
    if count <= 0 or count > len(open_ones):
        return fact(count <= 0)
    spare = len(open_ones) - count
    yes = sorted(each.yes for each in open_ones)[count - 1] * (spare + 1)
    no = sorted(each.no for each in open_ones)[spare] * count
    needs: dict[str, float] = {}
    for each in open_ones:
        if not (each.shown or each.refuted):
            needs |= {unit: max(n, needs.get(unit, n)) for unit, n in each.needs.items()}
    return Finding(min(1.0, yes), min(1.0, no), needs)


def all_of(*findings: Finding) -> Finding:
    return at_least(len(findings), findings)


def any_of(*findings: Finding) -> Finding:
    return at_least(1, findings)
