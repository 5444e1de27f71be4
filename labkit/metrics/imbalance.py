"""How often a group or a factor occurs among generated images, against the data, with its uncertainty.

Shares are binomial and their bands are Wilson's score intervals (1927); that of a ratio of two shares combines
Wilson's limits by the method called MOVER-R (Donner and Zou, 2012). They cover the chance of sampling images and
nothing else: not the reader's errors, so read data and samples with the same reader; and not what another training
seed would have changed, so train several.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from labkit.errors import LabkitError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Amplification:
    """What a generator makes of a group's share.

    Attributes:
        data, generated: its share in each.
        ratio: generated / data: below 1 a rare group became rarer; with `ratio_low` and `ratio_high`, both of whose
            shares count as samples, so that the interval is wide rather than narrow where the data are all there is.
    """

    data: float
    generated: float
    ratio: float
    ratio_low: float
    ratio_high: float


def wilson(count: int | np.ndarray, total: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper 95 % limit of a share of which `count` of `total` were seen; each a number or an array (N,).

    Raises LabkitError: a total is not positive, or a count not within it.
    """
    count, total = np.asarray(count, np.float64), np.asarray(total, np.float64)
    if not ((total > 0) & (total < np.inf) & (count >= 0) & (count <= total)).all():
        raise LabkitError("wilson: every total must be positive and every count between 0 and its total.")
    z = norm.ppf((1 + CONFIDENCE) / 2)
    share, weight = count / total, z**2 / total
    middle = share + weight / 2
    half = np.sqrt(weight * (share * (1 - share) + weight / 4))
    # At no or all of the total a limit is 0 or 1 exactly, which rounding would miss.
    low = np.where(count == 0, 0.0, (middle - half) / (1 + weight))
    high = np.where(count == total, 1.0, (middle + half) / (1 + weight))
    return low, high


def by_person(belongs: np.ndarray, people: np.ndarray) -> tuple[float, int]:
    """Count and total for `wilson` where pictures of one person are one observation and not several.

    Args:
        belongs: bool (N,), which pictures are of the group.
        people: int (N,), who is on them; −1 where unknown, each of which counts for itself.

    Returns:
        The share of the pictures times the number of people, and that number.
    """
    known = people >= 0
    total = len(np.unique(people[known])) + int((~known).sum())
    return float(np.mean(belongs)) * total, total


def amplification(data: np.ndarray, generated: np.ndarray, people: np.ndarray | None = None) -> Amplification:
    """The share of a group among `generated` images against that in `data`: bool (N,) and (M,), who belongs to it.

    Args:
        people: int (N,), who is on the data's pictures, see `by_person`; None where each shows somebody else.

    Raises LabkitError: not bool (N,), empty, nobody in the data belongs to the group, or another number of people.
    """
    data, generated = np.asarray(data), np.asarray(generated)
    if any(who.dtype != bool or who.ndim != 1 or not len(who) for who in (data, generated)) or not data.any():
        raise LabkitError(
            "amplification: data and generated must be bool (N,), not empty, and some of the data in the group; "
            "compare a factor with a threshold first."
        )
    if people is not None and len(people) != len(data):
        raise LabkitError(f"amplification: {len(data)} pictures cannot show {len(people)} people; give one for each.")
    seen = (data.sum(), len(data)) if people is None else by_person(data, np.asarray(people))
    counts, totals = np.array([seen, (generated.sum(), len(generated))], np.float64).T
    low, high = wilson(counts, totals)
    share = counts / totals
    limits = ratio_limits(share[1], low[1], high[1], share[0], low[0], high[0])
    return Amplification(*map(float, (*share, share[1] / share[0], *limits)))


def corrected_share(seen: float | np.ndarray, found: float, false_alarms: float) -> np.ndarray:
    """A group's true share from the share that a reader with known errors saw (Rogan and Gladen, 1978).

    Args:
        seen: share of images that the reader puts in the group; a number or an array.
        found: share of the group's images that it puts there.
        false_alarms: share of other images that it puts there too.

    Returns:
        (seen − false_alarms) / (found − false_alarms), cut to [0, 1]; both rates are taken as exact.

    Raises LabkitError: a share outside [0, 1], or a reader that does not find the group more often than others.
    """
    seen = np.asarray(seen, np.float64)
    if not (0 <= false_alarms < found <= 1) or not ((seen >= 0) & (seen <= 1)).all():
        raise LabkitError(
            f"corrected_share: found = {found} must exceed false_alarms = {false_alarms}, and all shares lie in "
            "[0, 1]; a reader that does not tell the group from others cannot be corrected."
        )
    return np.clip((seen - false_alarms) / (found - false_alarms), 0.0, 1.0)


def ratio_limits(
    top: np.ndarray,
    top_low: np.ndarray,
    top_high: np.ndarray,
    bottom: np.ndarray,
    bottom_low: np.ndarray,
    bottom_high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Limits of top / bottom from those of two independent shares, bottom > 0 (MOVER-R)."""
    product = top * bottom
    low_root = product**2 - top_low * bottom_high * (2 * top - top_low) * (2 * bottom - bottom_high)
    high_root = product**2 - top_high * bottom_low * (2 * top - top_high) * (2 * bottom - bottom_low)
    low = (product - np.sqrt(np.maximum(low_root, 0))) / (bottom_high * (2 * bottom - bottom_high))
    high = (product + np.sqrt(np.maximum(high_root, 0))) / (bottom_low * (2 * bottom - bottom_low))
    return np.where(top == 0, 0.0, low), high


def distribution(data: np.ndarray, generated: np.ndarray, bins: int = 20) -> pd.DataFrame:
    """The histogram of a factor (N,) or attribute (bool) in `generated` images (M,) beside that in `data`.

    The bins share the range of both; an attribute has two, "no" and "yes" at 0 and 1.

    Returns:
        A row a bin: `left`, `right`, and for `data` and `generated` the share of images in it (they sum to 1) and its
        Wilson interval `…_low`, `…_high`. The bands hold for each bin alone: of 20, one is left by chance.

    Raises LabkitError: not (N,), empty, not finite, or of a range that no bins divide.
    """
    data, generated = (np.asarray(values) for values in (data, generated))
    if any(v.ndim != 1 or not len(v) or not np.isfinite(v).all() for v in (data, generated)):
        raise LabkitError("distribution: data and generated must be (N,), not empty, and finite.")
    both = np.concatenate([data, generated])
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            edges = np.array([-0.5, 0.5, 1.5]) if both.dtype == bool else np.histogram_bin_edges(both, bins)
    except ValueError as error:
        raise LabkitError(
            f"distribution: {both.min():g} to {both.max():g} cannot be cut into {bins} bins."
        ) from error
    table = pd.DataFrame({"left": edges[:-1], "right": edges[1:]})
    for name, values in (("data", data), ("generated", generated)):
        counts = np.histogram(values.astype(np.float64), edges)[0]
        table[name] = counts / len(values)
        table[f"{name}_low"], table[f"{name}_high"] = wilson(counts, len(values))
    return table
