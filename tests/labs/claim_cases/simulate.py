"""What a claim's rule reads, described so that it can be drawn: means and spreads in place of numbers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labkit.claims import UNDECIDED, Claim
from labkit.statistics import over


@dataclass(frozen=True)
class Seeds:
    """A number for each of `n` trainings."""

    mean: float
    sd: float
    n: int = 5

    def draw(self, rng, noise):
        return list(self.mean + noise * self.sd * rng.standard_normal(self.n))


@dataclass(frozen=True)
class Units:
    """An estimate from `n` people, walks or the like; `sd` is that of one of them."""

    mean: float
    sd: float
    n: int = 40
    unit: str = "people"

    def draw(self, rng, noise):
        return over(self.mean + noise * self.sd * rng.standard_normal(self.n), self.unit)


@dataclass(frozen=True)
class PValue:
    """Of a test under its null."""

    def draw(self, rng, noise):
        return rng.uniform()


@dataclass(frozen=True)
class Case:
    """A claim put to the test.

    Attributes:
        truth: what holds where the effect is clear, at the sizes of `study`.
        verdict: on it.
        changes: what else may hold, with its verdict.
        nulls: where a bar is exactly met, or there is no effect, with verdicts that would not be wrong there.
        deterministic: the rule reads what is computed: there is nothing to simulate.
    """

    truth: dict[str, Any]
    verdict: str
    changes: list[tuple[dict[str, Any], str]]
    nulls: list[tuple[dict[str, Any], set[str]]] = field(default_factory=list)
    deterministic: bool = False


def draw(spec: Any, rng: np.random.Generator, noise: float = 1.0) -> Any:
    """Measurements from a description; little noise shows what a rule makes of the truth itself."""
    if isinstance(spec, dict):
        return {key: draw(each, rng, noise) for key, each in spec.items()}
    if isinstance(spec, tuple):
        return tuple(draw(each, rng, noise) for each in spec)
    return spec.draw(rng, noise) if hasattr(spec, "draw") else spec


def rate(claim: Claim, spec: dict[str, Any], verdicts: set[str], runs: int, seed: int = 0) -> float:
    """How often the claim gets one of these verdicts."""
    rng = np.random.default_rng(seed)
    return sum(claim.judge(**draw(spec, rng)).name in verdicts for _ in range(runs)) / runs


def false_positives(claim: Claim, case: Case, runs: int) -> float:
    """The largest rate of a wrong verdict over the nulls."""
    wrong = [
        1 - rate(claim, case.truth | change, {UNDECIDED, *right}, runs, seed)
        for seed, (change, right) in enumerate(case.nulls)
    ]
    return max(wrong, default=0.0)


def power(claim: Claim, case: Case, runs: int) -> float:
    """How often a clear effect gets its verdict."""
    return rate(claim, case.truth, {case.verdict}, runs)
