"""Check of a rule that decides a claim: where the 95 % interval of a mean over seeds lies."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm, t

from labkit.checking import Hint, Property, evaluate, random_numbers, untouched, weak

ABOVE, BELOW, UNDECIDED = "above", "below", "undecided"
LEAST = 5  # seeds
Case = tuple[list[float], float]


def verdict_over_seeds(decide: Callable[[Sequence[float], float], Any]) -> list[Property]:
    """Properties of a function: values, one a seed, and a bar → "above", "below" or "undecided".

    Args:
        decide: by where the 95 % Student interval of the mean lies; fewer than five seeds decide nothing.
    """

    def asked(cases: Sequence[Case]) -> Hint | None:
        got = [decide(list(values), bar) for values, bar in cases]
        right = [_verdict(*case) for case in cases]
        off = [i for i, (one, other) in enumerate(zip(got, right, strict=True)) if one != other]
        return Hint(_where(*cases[off[0]], got[off[0]], right[off[0]]), _why(decide), FORMULA) if off else None

    return evaluate(
        {
            "it says above, below or undecided": weak(
                lambda: _words(decide) or untouched(_far()[0], lambda values, bar: decide(values, bar))
            ),
            "an interval on one side of the bar decides": lambda: asked([*_far(), *_near(1.002)]),
            "one that holds the bar leaves it undecided": weak(lambda: asked([*_near(0.998), ([2.0] * 6, 2.0)])),
            "it does not matter where zero is, nor how large the values are": lambda: asked(_moved()),
            "fewer than five seeds decide nothing": weak(lambda: asked(_few())),
        }
    )


FORMULA = 'mean − reach > bar is "above", mean + reach < bar "below"; reach = t.ppf(0.975, n − 1) · s / √n'


def _interval(
    values: Sequence[float],
    quantile: Callable[[int], float],
    ddof: int = 1,
    power: float = 0.5,
    centre: Callable[..., Any] = np.mean,
) -> tuple[float, float]:
    n = len(values)
    reach = quantile(n) * float(np.std(values, ddof=ddof)) / n**power
    return float(centre(values)) - reach, float(centre(values)) + reach


def _student(n: int) -> float:
    return float(t.ppf(0.975, n - 1))


def _verdict(values: Sequence[float], bar: float, least: int = LEAST, **how: Any) -> str:
    if len(values) < least:
        return UNDECIDED
    low, high = _interval(values, how.pop("quantile", _student), **how)
    return ABOVE if low > bar else BELOW if high < bar else UNDECIDED


SWAPPED = {ABOVE: BELOW, BELOW: ABOVE, UNDECIDED: UNDECIDED}
# What a common mistake decides, and what to say of it.
MISTAKES: tuple[tuple[Callable[[Sequence[float], float], str], str], ...] = (
    (lambda v, bar: SWAPPED[_verdict(v, bar)], "above and below are swapped."),
    (lambda v, bar: _verdict(v, bar, quantile=lambda n: 0.0), "the mean alone decides: its interval is left out."),
    (lambda v, bar: ABOVE if np.mean(v) > bar else BELOW, "the mean alone decides: its interval is left out."),
    (lambda v, bar: _verdict(v, bar, quantile=lambda n: norm.ppf(0.975)), "1.96 is for many seeds, not for a few."),
    (lambda v, bar: _verdict(v, bar, quantile=lambda n: t.ppf(0.95, n - 1)), "that is the 90 % interval."),
    (lambda v, bar: _verdict(v, bar, quantile=lambda n: t.ppf(0.975, n)), "n seeds have n − 1 degrees of freedom."),
    (lambda v, bar: _verdict(v, bar, ddof=0), "the spread divides by n: of a few seeds it is then too small."),
    (lambda v, bar: _verdict(v, bar, power=1), "the spread is divided by n, not by its root."),
    (lambda v, bar: _verdict(v, bar, power=0), "that is the spread of one seed, not of the mean."),
    (lambda v, bar: _verdict(v, bar, quantile=lambda n: 1.0), "one standard error is no 95 % interval."),
    (lambda v, bar: _verdict(v, bar, centre=np.sum), "the values are added up where their mean belongs."),
    (lambda v, bar: _verdict(v, bar, centre=np.median), "that is the median of the values: take their mean."),
    (lambda v, bar: _verdict(v, 0.0), "the bar is left out: it compares with 0."),
    *((lambda v, bar, n=n: _verdict(v, bar, least=n), "it decides on fewer than five seeds.") for n in (2, 3, 4)),
    (lambda v, bar: _verdict(v, bar, least=6), "five seeds are enough: only fewer decide nothing."),
)


def _why(decide: Callable) -> str:
    """The mistake that decides as the student's function does, over bars near and far."""
    cases = [case for share in (0.1, 0.4, 0.5, 0.7, 0.8, 0.9, 0.95, 1.002, 1.3, 2.5) for case in _near(share)]
    cases += [*_far(), *_moved(), *_few()]
    got = [decide(list(values), bar) for values, bar in cases]
    for mistake, why in MISTAKES:
        if all(mistake(*case) == said for case, said in zip(cases, got, strict=True)):
            return why
    return ""


def _where(values: Sequence[float], bar: float, got: Any, right: str) -> str:
    shown = ", ".join(f"{value:.3g}" for value in values[:12]) + (f" … ({len(values)})" if len(values) > 12 else "")
    return f"of seeds {shown} and a bar of {bar:.4g} it says {got!r}, expected {right!r}."


def _words(decide: Callable) -> str | None:
    for case in (*_far(), ([1.0, 3.0, 2.0, 1.5, 2.5], 2.0)):
        got = decide(*case)
        if got is None:
            return "it returns None: the `return` is missing."
        if not isinstance(got, str) or got not in SWAPPED:
            return f'it returns {got!r}: one of the words "above", "below" and "undecided" is wanted.'
    return None


def _samples(shift: float = 0.0) -> list[list[float]]:
    generator = random_numbers(3)
    return [[*(shift + generator.normal(size=n))] for n in (5, 6, 9, 60)]


def _near(share: float, shift: float = 0.0, scale: float = 1.0) -> list[Case]:
    """Bars at this share of the interval's reach, on either side of the mean."""
    found = []
    for values in ([scale * value for value in sample] for sample in _samples(shift)):
        low, high = _interval(values, _student)
        middle, reach = (low + high) / 2, share * (high - low) / 2
        found += [(values, middle - reach), (values, middle + reach)]
    return found


def _far() -> list[Case]:
    return [([4.0, 5.0, 6.0, 5.5, 4.5], 1.0), ([4.0, 5.0, 6.0, 5.5, 4.5], 9.0)]


def _moved() -> list[Case]:
    moved = [
        *_near(1.002, -400.0),
        *_near(0.998, -400.0),
        *_near(1.002, 400.0),
        ([-1.0, -1.01, -0.99, -1.0, -1.005], -2.0),
        ([-1.0, -1.01, -0.99, -1.0, -1.005], 0.0),
    ]
    return [*moved, *(case for scale in (1e-6, 1e6) for case in _near(1.002, scale=scale))]


def _few() -> list[Case]:
    return [([9.0, 9.1, 9.2, 9.3], 0.0), ([9.0, 9.1], 20.0), ([9.0, 9.1, 9.2, 9.3, 9.4], 0.0)]
