"""Sums of latents (Radford, Metz and Chintala, arXiv:1511.06434), measured: what arrives, and what else moves.

In "smiling woman − neutral woman + neutral man" the smile is the *target* and being a woman the *context*. The three
groups are the target with the context, the context alone, and neither; the sum should show the target without the
context. Groups are chosen by a reader among a pool of images that the generator drew; readings are counted in
standard deviations of that pool.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.metrics.imbalance import wilson

EXTREME = 0.1  # share of the pool that a feature's ends are the means of
CLEAR = 0.25  # of the way between the ends: nearer than this to an end counts as clear
EXEMPLARS = 3

Combine = Callable[[Tensor, Tensor, Tensor], Tensor]
Draw = Callable[[Tensor], np.ndarray]
Read = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pool:
    """Latents, and what was read from their images."""

    z: Tensor  # latents (N, M)
    readings: np.ndarray  # (N, F)
    names: tuple[str, ...]  # F features

    def __post_init__(self) -> None:
        fits = self.readings.shape == (len(self.z), len(self.names)) and np.isfinite(self.readings).all()
        if not fits or len(self.z) < 10:
            raise LabkitError(
                f"Pool: {len(self.z)} latents, readings {self.readings.shape} and {len(self.names)} names do not "
                "fit together; give a finite reading of every feature for each of at least 10 latents."
            )

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each reading over the pool, (F,), 1 where it never varies."""
        found = self.readings.std(0)
        return np.where(found > 0, found, 1.0)

    def column(self, name: str) -> int:
        """Place of a feature.

        Raises LabkitError: there is none of this name.
        """
        if name not in self.names:
            raise LabkitError(f"Pool: no feature {name!r}; it is one of {', '.join(self.names)}.")
        return self.names.index(name)

    def ends(self, name: str) -> tuple[float, float]:
        """Means of the lowest and of the highest tenth of a feature's readings."""
        values = np.sort(self.readings[:, self.column(name)])
        count = max(1, round(EXTREME * len(values)))
        return float(values[:count].mean()), float(values[-count:].mean())

    def clearly(self, name: str, has: bool) -> np.ndarray:
        """Bool (N,): within a quarter of the way from the high end (has), or from the low one."""
        low, high = self.ends(name)
        values = self.readings[:, self.column(name)]
        step = CLEAR * (high - low)
        return values > high - step if has else values < low + step

    def middle(self, name: str) -> float:
        """Half-way between the two ends: a sum has arrived where its reading lies beyond."""
        return sum(self.ends(name)) / 2


def groups(pool: Pool, target: str, context: str) -> dict[str, np.ndarray]:
    """Rows of the pool for "both", "context" (without the target), and "neither"."""
    has, has_not = (pool.clearly(target, side) for side in (True, False))
    inside, outside = (pool.clearly(context, side) for side in (True, False))
    found = {"both": has & inside, "context": has_not & inside, "neither": has_not & outside}
    return {name: np.flatnonzero(rows) for name, rows in found.items()}


KINDS = ("mean of three", "one exemplar", "random exemplars")


def choose(
    pool: Pool, target: str, context: str, sums: int, seed: int = 0
) -> dict[str, list[tuple[np.ndarray, ...]]]:
    """Rows for `sums` sums of each kind: exemplars of both − of context + of neither, sharing the last group.

    "mean of three" takes three exemplars a group; "one exemplar" the first of each; "random exemplars" has three of
    the whole pool in the first two groups, so that its sum has the same length and goes nowhere in particular.

    Returns:
        Kind → sums of three arrays of rows; empty lists where a group has fewer than three members.
    """
    members, rng = groups(pool, target, context), np.random.default_rng(seed)
    found: dict[str, list[tuple[np.ndarray, ...]]] = {kind: [] for kind in KINDS}
    if min(map(len, members.values())) < EXEMPLARS:
        return found
    for _ in range(sums):
        a, b, c = (rng.choice(rows, EXEMPLARS, replace=False) for rows in members.values())
        chance = [rng.choice(len(pool.z), EXEMPLARS, replace=False) for _ in range(2)]
        for kind, rows in zip(KINDS, ((a, b, c), (a[:1], b[:1], c[:1]), (*chance, c)), strict=True):
            found[kind].append(rows)
    return found


def measure(
    pool: Pool, pair: tuple[str, str], chosen: dict, combine: Combine, draw: Draw, read: Read
) -> pd.DataFrame:
    """Do the sums, draw them, and read what came of them.

    Args:
        combine: latents of three groups, (n, M) each → one latent (M,).
        draw: latents (N, M) → images.
        read: images → readings (N, F), of the pool's features.

    Returns:
        A row per sum: `target`, `context`, `kind`; `arrived`, whether the target reads beyond the middle;
        `stayed`, whether the context does not; `before`, whether it had arrived at the mean of the third group
        already; `move`, how far the target moved from there, and `others`, the mean of how far every other feature
        did either way, in standard deviations of the pool; `alone`, whether no other feature moved as far; `counts`,
        the part of an independent sum that it stands for, see `independent`.
    """
    target, context = pair
    places = [pool.column(name) for name in pair]
    tables = []
    for kind, sums in chosen.items():
        if not sums:
            continue
        added = torch.stack([combine(*(pool.z[rows] for rows in each)) for each in sums])
        starts = torch.stack([pool.z[each[2]].mean(0) for each in sums])
        after, start = (read(draw(z)) for z in (added, starts))
        move = (after - start) / pool.spread
        others = np.abs(np.delete(move, places[0], axis=1))
        row = {
            "arrived": after[:, places[0]] > pool.middle(target),
            "stayed": after[:, places[1]] <= pool.middle(context),
            "before": start[:, places[0]] > pool.middle(target),
            "move": move[:, places[0]],
            "others": others.mean(1),
            "alone": move[:, places[0]] > others.max(1),
            "counts": independent(sums) / len(sums),
        }
        tables.append(pd.DataFrame({"target": target, "context": context, "kind": kind, **row}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def independent(sums: list[tuple[np.ndarray, ...]]) -> int:
    """How many sums can be made of the exemplars that these share, none of them used twice.

    A mean over sums that reuse n exemplars of k each varies no less than one over n // k separate sums can promise
    (Hoeffding, 1963, on U-statistics), however many are made: forty sums of a group of three are one.
    """
    positions = zip(*sums, strict=True)
    used = [len(np.unique(np.concatenate(rows))) // len(rows[0]) for rows in positions]
    return max(1, min(*used, len(sums)))


def success(sums: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Rates and mean movements of the rows of `measure`, by some of its columns.

    Returns:
        A row per group: `sums`, `arrived` with its Wilson interval `low` and `high`, in which sums that share
        exemplars count as what they are worth, `stayed`, `before`, `move`, `others`, `alone`.

    Raises LabkitError: there are no sums.
    """
    if not len(sums):
        raise LabkitError("success: there are no sums; choose features that the generator draws.")
    grouped = sums.groupby(by, sort=False)
    table = grouped[["arrived", "stayed", "before", "move", "others", "alone"]].mean()
    table.insert(0, "sums", grouped.size())
    worth = grouped["counts"].sum().to_numpy()
    low, high = wilson(table.arrived.to_numpy() * worth, worth)
    table.insert(2, "low", low)
    table.insert(3, "high", high)
    return table
