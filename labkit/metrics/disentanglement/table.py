"""A table of codes beside the factors they are codes of, and the form in which every metric answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import rankdata

from labkit.errors import LabkitError
from labkit.metrics.scaling import in_unit

MOST_LEVELS = 64  # a column of more distinct values is taken for continuous
ROWS_PER_LEVEL = 8  # on average, for distinct values to be taken for levels
BINS = 20


@dataclass(frozen=True)
class DisentanglementScore:
    """What a metric says, and under which protocol."""

    metric: str  # its name
    score: float  # higher is better
    protocol: dict[str, Any]  # what must be said beside the score: counts, classifier, bins, factors
    per_factor: np.ndarray  # (F,), each factor's part in the score
    matrix: np.ndarray  # what the score is made of; its rows and columns are told by the metric
    others: dict[str, float] = field(default_factory=dict)  # further numbers of the same metric

    def __str__(self) -> str:
        return f"{self.metric} {self.score:.3f} ({', '.join(f'{k} {v}' for k, v in self.protocol.items())})"


@dataclass(frozen=True)
class CodeTable:
    """N codes of D latents, and F factors that vary."""

    codes: np.ndarray  # float64 (N, D); 0 in the latents that take no part
    factors: np.ndarray  # float64 (N, F)
    levels: np.ndarray  # int64 (N, F), from 0: the level of each factor
    names: tuple[str, ...]  # F names
    categorical: np.ndarray  # bool (F,), factors whose values have no order
    left_out: tuple[str, ...]  # names of the factors that do not vary in this table
    binned: tuple[str, ...]  # names of the factors that were cut into bins

    @cached_property
    def live(self) -> np.ndarray:
        """Indices of the latents that vary at all."""
        return np.flatnonzero(np.ptp(self.codes, 0) > 0)

    def protocol(self, **numbers: Any) -> dict[str, Any]:
        """The protocol of a metric on this table: its own entries, then those of the table."""
        latents = f"{len(self.live)} of {self.codes.shape[1]}"
        table = {"rows": len(self.codes), "latents": latents, "factors": ", ".join(self.names)}
        if self.left_out:
            table["factors that do not vary"] = ", ".join(self.left_out)
        if self.binned:
            table["factors cut"] = f"{', '.join(self.binned)} into {BINS} bins of equal count"
        return {name.replace("_", " "): value for name, value in numbers.items()} | table

    def fellows(self, factor: int, points: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows (points, count) that share a level of `factor` within a point; the first is drawn from all rows.

        Rows of a point are drawn with replacement. A level is thus as frequent as it is in the table.
        """
        order, start, size = self._by_level[factor]
        level = self.levels[rng.integers(len(self.levels), size=points), factor]
        return order[start[level, None] + rng.integers(size[level, None], size=(points, count))]

    def pairs(self, factor: int, points: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows (2, points, count): pairs of different rows that share a level of `factor`, new in each pair."""
        order, start, size = self._by_level[factor]
        shared = np.flatnonzero(size[self.levels[order, factor]] > 1)  # positions in `order`
        if not len(shared):
            raise LabkitError(f"disentanglement: no two rows share a value of {self.names[factor]}; give more rows.")
        here = shared[rng.integers(len(shared), size=(points, count))]
        level = self.levels[order[here], factor]
        step = rng.integers(1, size[level])
        there = start[level] + (here - start[level] + step) % size[level]
        return np.stack([order[here], order[there]])

    @cached_property
    def _by_level(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per factor: rows sorted by level, and each level's first position and count."""
        result = []
        for column in self.levels.T:
            size = np.bincount(column)
            result.append((np.argsort(column, kind="stable"), np.cumsum(size) - size, size))
        return result


def code_table(
    codes: np.ndarray,
    factors: np.ndarray,
    names: Sequence[str] = (),
    *,
    categorical: Sequence[str] = (),
    active: np.ndarray | None = None,
) -> CodeTable:
    """Put codes and factors side by side, and find each factor's levels.

    A factor of at most 64 distinct values, with eight rows each on average, has these as levels: exact on a factor
    grid. Any other is continuous and is cut into 20 bins of equal count (equal values stay together). A factor that
    does not vary is left out, and named in every protocol.

    Args:
        codes: (N, D), e.g. the posterior means.
        factors: (N, F), their true factors.
        names: F names; "factor 0" and so on where empty.
        categorical: names of the factors whose values have no order, as dSprites' shape.
        active: bool (D,), the latents that take part: leave out those that collapsed to the prior, whose noise
            `factor_vae_score` would otherwise take for a factor. None means all.

    Raises LabkitError: shapes that do not fit, values that are not finite, unknown names, or fewer than two factors
        that vary.
    """
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors, np.float64)
    fit = codes.ndim == factors.ndim == 2 and len(codes) == len(factors) and codes.shape[1] > 0
    if not fit or len(codes) < 2 * ROWS_PER_LEVEL:
        raise LabkitError(
            f"disentanglement: needs codes (N, D) and factors (N, F) of the same {2 * ROWS_PER_LEVEL} or more rows, "
            f"got {codes.shape} and {factors.shape}."
        )
    if not np.isfinite(codes).all() or not np.isfinite(factors).all():
        raise LabkitError("disentanglement: codes or factors hold NaN or infinity; leave these rows out.")
    if active is not None:
        active = np.asarray(active)
        if active.dtype != bool or active.shape != codes.shape[1:]:
            raise LabkitError(f"disentanglement: active must be bool ({codes.shape[1]},), one for each latent.")
        codes = np.where(active, codes, 0.0)
    # Only where squares would overflow or vanish: Higgins' metric may be asked not to standardise.
    with np.errstate(divide="ignore"):
        extreme = np.abs(np.log10(np.abs(codes).max(0))) > 100
    codes = np.where(extreme, in_unit(codes), codes)
    names = tuple(names) or tuple(f"factor {k}" for k in range(factors.shape[1]))
    if len(names) != factors.shape[1] or set(categorical) - set(names):
        raise LabkitError(
            f"disentanglement: {factors.shape[1]} factors need as many names, and categorical= must be among them; "
            f"got {names} and {tuple(categorical)}."
        )
    varies = np.ptp(factors, 0) > 0
    kept = [name for name, yes in zip(names, varies, strict=True) if yes]
    if len(kept) < 2:
        raise LabkitError("disentanglement: fewer than two factors vary in this table; nothing can be told apart.")
    factors = factors[:, varies]
    levels, binned = zip(*(levels_of(column) for column in factors.T), strict=True)
    return CodeTable(
        codes,
        factors,
        np.stack(levels, 1),
        tuple(kept),
        np.isin(kept, list(categorical)),
        tuple(name for name, yes in zip(names, varies, strict=True) if not yes),
        tuple(name for name, cut in zip(kept, binned, strict=True) if cut),
    )


def levels_of(column: np.ndarray) -> tuple[np.ndarray, bool]:
    """The level int64 (N,) of each value, and whether they are bins and not the values themselves."""
    values, level = np.unique(column, return_inverse=True)
    if len(values) <= min(MOST_LEVELS, len(column) // ROWS_PER_LEVEL):
        return level, False
    rank = rankdata(column, method="min") - 1
    return np.unique((rank * BINS / len(column)).astype(np.int64), return_inverse=True)[1], True
