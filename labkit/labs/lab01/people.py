"""Check of a confidence interval of which people are the unit, not their shots."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import norm, t

from labkit.checking import Hint, Property, close, evaluate, explain, random_numbers, results, untouched, weak

Function = Callable[[np.ndarray, np.ndarray], Any]
Case = tuple[np.ndarray, np.ndarray]
FORMULA = "mean m and deviation s (n − 1) of the n people's means; m ± t.ppf(0.975, n − 1) · s / √n"


def interval_over_people(interval: Function) -> list[Property]:
    """Properties of a function: values (N,) and people, whole numbers (N,) → both ends of a 95 % interval.

    Args:
        interval: Student's, of the mean over people of each one's mean.
    """

    def both(values: np.ndarray, people: np.ndarray) -> torch.Tensor:
        found = results(interval(values.copy(), people.copy()), "the lower end", "the upper end")
        return torch.stack([each.detach().reshape(-1)[:1].sum() for each in found])

    def asked(*cases: Case) -> Hint | None:
        got, right = (torch.stack([find(*case) for case in cases]) for find in (both, _interval))
        if close(got, right):
            return None
        off = int((~torch.isclose(got, right, rtol=1e-5, atol=1e-5)).any(1).nonzero()[0])
        wrong = {said: torch.stack([_interval(*case, **how) for case in cases]) for said, how in MISTAKES.items()}
        why = next((said for said, each in wrong.items() if close(got, each)), explain(got, right).why)
        where = "of {} shots of {} people it is {:.4g} to {:.4g}, expected {:.4g} to {:.4g}."
        counts = len(cases[off][0]), len(np.unique(cases[off][1]))
        return Hint(where.format(*counts, *got[off], *right[off]), why, FORMULA)

    return evaluate(
        {
            "two ends, the lower one first": weak(lambda: _ends(both) or untouched(_shots(0), interval)),
            "of one shot each it is Student's interval": lambda: asked(_shots(1, 1, 5), _shots(2, 1, 12)),
            "ten shots of each person tell no more than their mean": lambda: asked(*_repeated()),
            "people count alike, however many shots they have": lambda: asked(
                _shots(5), _shots(6, 9, 3), _shots(7, 4, 40), _shots(10, 3, 150)
            ),
            "far below 0 too": lambda: asked(*((100 * v - 5000, p) for v, p in map(_shots, (8, 9)))),
        }
    )


def _student(level: float, n: int) -> float:
    return float(t.ppf(level, n - 1))


def _interval(
    values: np.ndarray, people: np.ndarray, unit: str = "people", average: Any = np.mean, ddof: int = 1,
    power: float = 0.5, level: float = 0.975, quantile: Callable[[float, int], float] = _student,
) -> torch.Tensor:  # fmt: skip
    means = values if unit == "shots" else np.array([average(values[people == one]) for one in np.unique(people)])
    reach = quantile(level, len(means)) * np.std(means, ddof=ddof) / len(means) ** power
    middle = values.mean() if unit == "middle of shots" else means.mean()
    return torch.tensor([middle - reach, middle + reach], dtype=torch.float64)


# What to say of a common mistake, and what it does.
MISTAKES: dict[str, dict[str, Any]] = {
    "each shot counts as if it were a person: take the mean of each person first.": {"unit": "shots"},
    "its middle is the mean over shots: people with many shots count more.": {"unit": "middle of shots"},
    "1.96 is for many people, not for a few: use Student's t.": {"quantile": lambda level, n: norm.ppf(level)},
    "n people have n − 1 degrees of freedom.": {"quantile": lambda level, n: t.ppf(level, n)},
    "that is the 90 % interval: 2.5 % lie outside on each side.": {"level": 0.95},
    "one standard error is no 95 % interval.": {"quantile": lambda level, n: 1.0},
    "the spread divides by n: of a few people it is then too small.": {"ddof": 0},
    "the spread is divided by n, not by its root.": {"power": 1.0},
    "that is the spread of one person, not of the mean.": {"power": 0.0},
    "of each person the mean is wanted, not the sum.": {"average": np.sum},
    "of each person the mean is wanted, not the median.": {"average": np.median},
    "of each person the mean is wanted, not one shot.": {"average": lambda own: own[0]},
}


def _shots(seed: int, most: int = 7, count: int = 6) -> Case:
    """Values that people share for the larger part, in disorder; names are large, not in turn, alike in 8 bits."""
    generator = random_numbers(seed)
    names, shots = 1500 + 64 * np.arange(count, 0, -1), generator.integers(1, most + 1, count)
    people = generator.permutation(np.repeat(names, shots))
    own = dict(zip(np.unique(people), 3 * generator.normal(size=len(people)), strict=False))
    return np.array([own[one] for one in people]) + generator.normal(size=len(people)), people


def _repeated() -> list[Case]:
    return [tuple(np.tile(each, 10) for each in _shots(s, 1)) for s in (3, 4)]


def _ends(both: Function) -> str | None:
    low, high = both(*_shots(0))
    return "the first end lies above the second: return low, high." if low > high else None
