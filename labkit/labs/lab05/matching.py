"""Check of the rule that matches factors to latents, by how much of a factor each latent explains alone."""

from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.checking import Hint, Missed, Property, evaluate, random_numbers, size, untouched, weak

FACTORS, LATENTS = 5, 8
# R² of latents (rows) and factors (columns), whether the first factor is matched, and what a mistake there would be.
CASES = (
    ([[0.5, 0], [0, 0]], True, "half is enough: at least 0.5, not more than 0.5."),
    ([[0.49999, 0], [0.1, 0]], False, "the best latent must explain at least half of the factor."),
    ([[0.8, 0], [0.4, 0]], True, "twice as much is enough: at least, not more than."),
    (
        [[0.8, 0], [0.40002, 0]],
        False,
        "the best latent must explain twice as much as the next one does, not merely more.",
    ),
    ([[0.9, 0], [0, 0], [0.5, 0]], False, "the next one is the second largest of all latents, wherever it stands."),
    ([[0.1, 0], [0.9, 0.95]], False, "the latent explains another factor better: it is that one's."),
    ([[0.1, 0.95], [0.9, 0.1]], True, "other factors count only in the row of this factor's own latent."),
    ([[0.1, 0.7], [0.7, 0.1]], True, "the same rows and columns count for every factor: compare one latent's row."),
)


def match_factors(match: Callable[[np.ndarray], Any]) -> list[Property]:
    """Properties of a function: R² (M, F), of M latents and F factors → best latents and whether matched, (F,) each.

    Args:
        match: a factor is matched where its best latent explains at least 0.5 of it, at least twice as much as the
            next latent does, and no other factor better.
    """

    def both(explained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = match(explained.copy())
        if found is None:
            raise Missed("it returns None: the `return` is missing.")
        if not (isinstance(found, tuple | list) or np.ndim(found) == 2) or len(found) != 2:
            raise Missed("return two things: the latents, and whether each factor is matched.")
        latents, matched = (np.asarray(each) for each in found)
        count = explained.shape[1]
        for part, name in ((latents, "the latents"), (matched, "the matches")):
            if part.shape != (count,):
                raise Missed(
                    f"{name} have shape {part.shape}, not one for each factor, ({count},): latents are rows."
                )
        return latents, matched.astype(bool)

    return evaluate(
        {
            "a latent and a yes or no for each factor": weak(
                lambda: (both(_table()) and None) or untouched([_table()], match)
            ),
            "the latent is the one that explains most of the factor": lambda: _latents(both),
            "one factor is matched, or not, as the rule says": lambda: _cases(both),
            "so is each factor of a large table": lambda: _tables(both),
        }
    )


def _table(seed: int = 0, latents: int = LATENTS, factors: int = FACTORS) -> np.ndarray:
    """Some factors have one good latent, some share it, some have none."""
    generator = random_numbers(seed)
    table = 0.3 * generator.random((latents, factors))
    table[generator.integers(0, latents, factors), np.arange(factors)] = generator.uniform(0.3, 1, factors)
    return table


def _others() -> list[np.ndarray]:
    """Of other numbers of latents and factors, as `size` draws them."""
    return [_table(seed, LATENTS + size(2, 9), FACTORS + more) for seed in range(300, 320) for more in (-3, 4)]


def _latents(both: Callable) -> Hint | None:
    faint = [_table(20) / 1000, np.array([[0.70001, 0.2], [0.70002, 0.1], [0.1, 0.20001]])]
    for table in (*map(_table, range(20)), *faint, *_others(), _table(21, latents=300)):  # beyond 8 bits
        got, right = both(table)[0], table.argmax(0)
        if not np.array_equal(got, right):
            off = int((got != right).argmax())
            where = f"factor {off} is best explained by latent {right[off]}, not by {got[off]}."
            why = "" if (got != table.argmin(0)).any() else "that is the latent that explains least."
            if got.dtype == bool:
                why = "the two results have changed places: the latents come first."
            return Hint(where, why, "explained.argmax(0): the largest of each column.")
    return None


def _other_axis(table: np.ndarray) -> bool:
    """Whether the first factor is matched, where the largest two are looked for in rows."""
    second, first = np.sort(table, axis=1)[-2:]
    own = first >= table[table.argmax(0)].max(1)
    return bool(((first >= 0.5) & (first >= 2 * second) & own)[0])


def _cases(both: Callable) -> Hint | None:
    tables = [np.array(table, float) for table, *_ in CASES]
    found = [bool(both(table)[1][0]) for table in tables]
    across = found == [_other_axis(table) for table in tables]
    for (table, expected, why), got in zip(CASES, found, strict=True):
        why = "latents are rows: sort along axis 0, so that each factor's column is ordered." if across else why
        if got != expected:
            said = ("not matched", "matched")
            where = f"with R² of {table} (a row per latent) factor 0 is {said[got]}, expected {said[expected]}."
            return Hint(where, why, FORMULA)
    return None


FORMULA = "(first >= 0.5) & (first >= 2 * second) & (first >= explained[latent].max(1))"


def _tables(both: Callable) -> Hint | None:
    for table in (*map(_table, range(200)), *_others()):
        second, first = np.sort(table, 0)[-2:]
        right = (first >= 0.5) & (first >= 2 * second) & (first >= table[table.argmax(0)].max(1))
        got = both(table)[1]
        if not np.array_equal(got, right):
            off = int((got != right).argmax())
            where = f"factor {off} of {len(got)} is {'' if got[off] else 'not '}matched, expected the opposite."
            return Hint(where, "does the rule look at this factor's own column and its latent's own row?", FORMULA)
    return None
