"""Check of a split that keeps every person in one part."""

from typing import Any

import numpy as np

from labkit.checking import Function, Missed, Property, evaluate, random_numbers, size, untouched, weak

SHARES, OTHERS = (0.8, 0.1, 0.1), (0.4, 0.15, 0.45)
PARTS = ("training", "validation", "test")
PEOPLE = 1000
SEEDS = 40
OFF = 0.06  # of all images: four standard deviations of a split that counts people instead of images


def person_split(split: Function) -> list[Property]:
    """Properties of a function (identity (N,), shares, seed) → positions of the three parts' images.

    Args:
        split: its parts are disjoint in people, hold about `shares` of the images, and follow from the seed.
    """
    identity = _identities()
    fewer = _fewer(identity)
    made: list[list[np.ndarray]] = []

    def parts() -> list[np.ndarray]:
        if not made:
            made.append(_parts(split, identity, SHARES, seed=3))
        return made[0]

    return evaluate(
        {
            "three parts, each an array of positions": weak(
                lambda: (
                    _shapes(split(identity.copy(), SHARES, 3), identity)
                    or untouched([identity], lambda given: split(given, SHARES, 3))
                )
            ),
            "no image is lost": weak(
                lambda: (
                    _lost(parts(), identity) or _lost(_parts(split, fewer, OTHERS, 4), fewer) or _far(split, "lost")
                )
            ),
            "no image stands in two parts": weak(lambda: _twice(parts())),
            "nobody stands in two parts": weak(
                lambda: (
                    _leaks(parts(), identity)
                    or _leaks(_parts(split, fewer, OTHERS, 4), fewer)
                    or _leaks(_parts(split, identity[::-1], SHARES, 3), identity[::-1])  # as many, in another order
                    or _far(split, "shared")
                )
            ),
            "the parts have about the sizes asked for": lambda: (
                _sizes(parts(), SHARES) or _sizes(_parts(split, fewer, OTHERS, 4), OTHERS)
            ),
            "one seed gives one split, another seed another": lambda: (
                _seed(split, identity) or _by_chance(split, identity)
            ),
        }
    )


def _identities() -> np.ndarray:
    """People of 1 to 12 shots, in disorder, with names that are no positions."""
    generator = random_numbers()
    names = generator.permutation(20 * PEOPLE)[:PEOPLE] + 50_000
    return generator.permutation(np.repeat(names, generator.integers(1, 13, PEOPLE)))


def _fewer(identity: np.ndarray) -> np.ndarray:
    """The images of about half the people, of a number that no share divides."""
    return identity[identity < np.unique(identity)[PEOPLE // 2 - 1 - 10 * size(0, 5)]]


def _shapes(result: Any, identity: np.ndarray) -> str | None:
    if result is None:
        return "it returns None: end with return train, validation, test."
    if isinstance(result, np.ndarray) and result.shape == identity.shape:
        return "it returns one number per image: return three arrays of positions, np.flatnonzero(...) of each part."
    if not isinstance(result, tuple | list) or len(result) != 3:
        return "return three things: the positions of the training, the validation and the test images."
    for name, part in zip(PARTS, result, strict=True):
        part = np.asarray(part)
        if part.dtype == bool:
            return f"the {name} part is a mask: np.flatnonzero(mask) gives the positions."
        if part.ndim != 1 or (part.size and not np.issubdtype(part.dtype, np.integer)):
            return f"the {name} part should be a flat array of whole numbers, not {part.dtype} {part.shape}."
        if part.size and (part.min() < 0 or part.max() >= len(identity)):
            if np.isin(part, identity).all():
                return f"the {name} part names people: return positions, np.flatnonzero(np.isin(identity, people))."
            return f"the {name} part holds positions outside 0 … N − 1."
    return None


def _parts(split: Function, identity: np.ndarray, shares: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Positions, of masks too: a mask costs the property of shapes alone."""
    result = split(identity.copy(), shares, seed)
    hint = _shapes(result, identity)
    if hint and "mask" not in hint:
        raise Missed("this needs three arrays of positions: see the first property.")
    arrays = [np.asarray(part) for part in result]
    return [np.flatnonzero(part) if part.dtype == bool else part.astype(int) for part in arrays]


def _lost(parts: list[np.ndarray], identity: np.ndarray) -> str | None:
    lost = len(identity) - len(np.unique(np.concatenate(parts)))
    if not lost:
        return None
    return (
        f"{lost} of {len(identity)} images are in no part: rounding three shares leaves a rest; "
        "cut at two places and give everything after the second cut to the test part."
    )


def _twice(parts: list[np.ndarray]) -> str | None:
    everything = np.concatenate(parts)
    twice = len(everything) - len(np.unique(everything))
    if not twice:
        return None
    return f"{twice} images are in two parts or twice in one: draw once, then cut, instead of drawing for each part."


def _far(split: Function, asked: str) -> str | None:
    """Many images of a few people, whose positions and numbers do not fit into 16 bits: "lost" or "shared" ones."""
    names = np.concatenate([np.arange(20), np.arange(20) + 65_536])
    identity = random_numbers(2).permutation(np.repeat(names, 1750))
    result = split(identity.copy(), SHARES, 3)
    if not isinstance(result, tuple | list) or any(np.ndim(part) != 1 for part in result):
        return None  # another property tells that
    parts = [np.flatnonzero(part) if np.asarray(part).dtype == bool else np.asarray(part) for part in result]
    found = np.unique(np.concatenate(parts))
    if asked == "lost":
        right = np.array_equal(found, np.arange(len(identity)))
    else:  # positions that are none are lost, above
        kept = [part[(part >= 0) & (part < len(identity))] for part in parts]
        right = len(np.concatenate([np.unique(identity[part]) for part in kept])) <= len(names)
    if right:
        return None
    return (
        f"right for few images, but not for {len(identity):,} of {len(names)} people with numbers up to "
        f"{names[-1]:,}: does a position, or a person's number, overflow its type?"
    )


def _leaks(parts: list[np.ndarray], identity: np.ndarray) -> str | None:
    people = [np.unique(identity[part]) for part in parts]
    _, counts = np.unique(np.concatenate(people), return_counts=True)
    shared = int((counts > 1).sum())
    if not shared:
        return None
    if shared > PEOPLE / 4:
        return (
            f"{shared} of {PEOPLE} people have images in more than one part: shuffle np.unique(identity), "
            "not the images."
        )
    return f"{shared} people have images in more than one part: cut the list of people, then look up their images."


def _sizes(parts: list[np.ndarray], shares: tuple[float, ...]) -> str | None:
    total = sum(map(len, parts))
    got = [len(part) / max(total, 1) for part in parts]
    if all(abs(share - wanted) <= OFF for share, wanted in zip(got, shares, strict=True)):
        return None
    found = ", ".join(f"{share:.0%}" for share in got)
    asked = ", ".join(f"{share:.0%}" for share in shares)
    if all(abs(share - wanted) <= OFF for share, wanted in zip(sorted(got), sorted(shares), strict=True)):
        return f"the shares have changed places: asked for {asked}, got {found} (training, validation, test)."
    return f"asked for {asked}, got {found} of the images: cut at the running sum of the shares, np.cumsum(shares)."


def _seed(split: Function, identity: np.ndarray) -> str | None:
    first, again, *others = (_sets(_parts(split, identity, SHARES, seed)) for seed in (5, 5, 6, 7))
    if first != again:
        return "the same seed gave two splits: draw from np.random.default_rng(seed), and from nothing else."
    if first in others:
        other = 6 + others.index(first)
        return f"seeds 5 and {other} gave the same split: nothing is drawn with the seed; shuffle the people with it."
    return None


def _sets(parts: list[np.ndarray]) -> list[frozenset[int]]:
    return [frozenset(part.tolist()) for part in parts]


def _by_chance(split: Function, identity: np.ndarray) -> str | None:
    """Over many seeds each person is in the first part as often as chance has it, whoever the neighbours are."""
    if _leaks(_parts(split, identity, SHARES, 3), identity) or _sizes(_parts(split, identity, SHARES, 3), SHARES):
        return None  # another property tells that
    people, first, shots = np.unique(identity, return_index=True, return_counts=True)
    inside = np.stack([np.isin(first, _parts(split, identity, SHARES, seed)[0]) for seed in range(SEEDS)])
    share = inside.mean()
    spread = inside.mean(0).var() / (share * (1 - share) / SEEDS)
    if not 0.7 < spread < 1.4:  # by chance 1 ± 0.045
        often = f"over {SEEDS} seeds people are in the training part {inside.mean(0).min():.0%} to"
        return (
            f"{often} {inside.mean(0).max():.0%} of the time, which is not what chance gives: permute all people "
            "with the seed, np.random.default_rng(seed).permutation(people)."
        )
    for order in (np.arange(len(people)), np.argsort(shots, kind="stable"), np.argsort(first)):
        beside = inside[:, order]
        together = (beside[:, 1:] == beside[:, :-1]).mean()
        if abs(together - share**2 - (1 - share) ** 2) > 0.05:
            return "neighbours in a list of the people go into one part together: permute all people with the seed."
    return None
