"""Check of how many principal components to keep."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from labkit.checking import Function, Property, evaluate, number, random_numbers, size, untouched, weak

# Counts of which one of each row is asked for: what rounds to another power on either side of a limit.
COUNTS = ((66, 65, 68, 69), (90, 89, 88, 87), (91, 92, 93, 94), (96, 97, 99, 101), (127, 126, 125, 123), (3,), (11,),
          (181,), (182,))  # fmt: skip


def _ratios() -> np.ndarray:
    """Five falling ratios with sums exact in binary, so that "reaches the share" has one answer."""
    parts = ((16, 8, 4, 2, 2), (15, 9, 4, 3, 1), (12, 10, 6, 3, 1), (17, 8, 4, 2, 1), (14, 9, 5, 3, 1))
    return np.array(random_numbers(1).choice(parts)) / 32


def _counts() -> list[int]:
    generator = random_numbers()
    return [int(generator.choice(row)) for row in COUNTS]


def pca_components(components_for: Function, nearest_power_of_two: Function) -> list[Property]:
    """Properties of the two functions that choose the number of components.

    Args:
        components_for: (share, ratios (n,)) → the smallest k whose first k ratios sum to at least share.
        nearest_power_of_two: k → 2 to the rounded base-2 logarithm of k.
    """

    def count(share: float) -> int:
        return number(components_for(share, _ratios()), "components_for")

    def power(k: int) -> int:
        return number(nearest_power_of_two(k), "nearest_power_of_two")

    return evaluate(
        {
            "components_for: the first k together pass the share": lambda: _passes(count) or _fine(components_for),
            "components_for: reaching the share exactly is enough": weak(lambda: _boundary(count)),
            "nearest_power_of_two: a power of two stays": weak(lambda: _powers(power)),
            "nearest_power_of_two: the logarithm is rounded": lambda: _rounds(power),
            "both give whole numbers of Python's or numpy's kind": weak(
                lambda: (
                    _whole(components_for(0.6, _ratios()), "components_for")
                    or _whole(nearest_power_of_two(66), "nearest_power_of_two")
                    or untouched([_ratios()], lambda ratios: components_for(0.6, ratios))
                )
            ),
        }
    )


def _passes(count: Callable[[float], float]) -> str | None:
    ratios = _ratios()
    sums = np.cumsum(ratios)
    shares = random_numbers(2).permutation((sums - ratios / 2)[:4]).tolist()
    expected = [1 + sum(total < share for total in sums) for share in shares]
    got = [count(share) for share in shares]
    if got == expected:
        return None
    if got == [k - 1 for k in expected]:
        return "one too few: Python counts positions from 0, so add 1 to the first position that reaches the share."
    if got == [k + 1 for k in expected]:
        return "one too many: the component that reaches the share is the last one needed."
    if got == [1 + sum(ratio < share for ratio in ratios) for share in shares] or len(set(got)) == 1:
        return "compare the running sum, np.cumsum(ratios), with the share, not each ratio alone."
    if got == [1 + int(np.abs(sums - share).argmin()) for share in shares]:
        return "that is where the sum comes nearest to the share; it must have reached it."
    asked, given = [f"{share:.3f}" for share in shares], [f"{k:g}" for k in got]
    return f"of ratios {ratios.tolist()} got {given} for shares {asked}: where is each reached?"


def _fine(components_for: Function) -> str | None:
    """Shares a hundred-thousandth beside a sum, of ratios of many sizes that half precision cannot hold."""
    for ratios, wanted in ((np.array([0.7, 0.2, 0.1]), 1), (np.array([0.4, 0.3, 0.3]), 2)):
        if (got := number(components_for(0.65, ratios), "components_for")) != wanted:
            return f"of ratios {ratios.tolist()} a share of 0.65 takes {wanted}, not {got:g}."
    for falls, some in ((0.7, 12), (0.995, 900 + size(0, 99))):
        ratios = falls ** np.arange(some)
        ratios *= 0.98 / ratios.sum()  # the last components are left out, as PCA does when asked for a few
        for k in {*range(1, 11), some - 20 * (some > 20) - 1}:
            total = ratios[:k].sum()
            for share, wanted in ((total - 1e-5, k), (total + 1e-5, k + 1)):
                if (got := number(components_for(float(share), ratios.copy()), "components_for")) != wanted:
                    return (
                        f"the first {k} of {some} ratios sum to {total:.6f}, all to {ratios.sum():.2f}: a share of "
                        f"{share:.6f} takes {wanted}, not {got:g}."
                    )
    return None


def _boundary(count: Callable[[float], float]) -> str | None:
    """Compares a sum with a share just below it: a count that is one off everywhere is another property's fault."""
    ratios = _ratios()
    for which in (int(random_numbers(3).integers(1, 4)), len(ratios) - 1):
        reached = float(np.cumsum(ratios)[which])
        on, below = count(reached), count(reached - float(ratios[which]) / 4)
        if on != below:
            break
    else:
        return None
    return "where the sum equals the share it has reached it: compare with >=, or side='left' in np.searchsorted."


def _powers(power: Callable[[int], float]) -> str | None:
    for exponent in (0, 1, 3, 6, 8, 12):
        got = power(2**exponent)
        if got != 2**exponent:
            if got == exponent:
                return "that is the logarithm: raise 2 to it."
            return f"{2**exponent} is a power of two already, got {got:g}."
    return None


def _rounds(power: Callable[[int], float]) -> str | None:
    counts = _counts()
    expected = [2 ** round(float(np.log2(k))) for k in counts]
    got = [power(k) for k in counts]
    if got == expected or got == [round(float(np.log2(k))) for k in counts]:
        return None
    wrong = next(i for i, value in enumerate(got) if value != expected[i])
    hints = {
        "floor": ([2 ** int(np.floor(np.log2(k))) for k in counts], "it always rounds down: 127 is nearer to 128."),
        "ceil": ([2 ** int(np.ceil(np.log2(k))) for k in counts], "it always rounds up: 70 is nearer to 64."),
        "plain": (
            [min((2**e for e in range(10)), key=lambda p: abs(p - k)) for k in counts],
            "it rounds the count, not its logarithm: nearest on the log scale, as the reports do.",
        ),
        "natural": ([2 ** round(float(np.log(k))) for k in counts], "that is the natural logarithm: np.log2."),
    }
    for values, hint in hints.values():
        if got == values:
            return hint
    return f"for {counts[wrong]} got {got[wrong]:g}, which is not 2 ** round(log2(k))."


def _whole(value: Any, name: str) -> str | None:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return None
    if value is None:
        return f"{name} is None: the `return` is missing."
    return f"{name} returns a {type(value).__name__}; PCA wants a whole number of components: int(…)."
