"""Which faces a model may learn from."""

from dataclasses import replace

import numpy as np

from labkit.data.faceset import TEST, TRAIN, VALIDATION, FaceSet
from labkit.errors import LabkitError


def split_by_image(faces: FaceSet, held_out: int = 2, validation: int = 0, seed: int = 0) -> FaceSet:
    """Hold out some shots of every person: a test image is new, its person is not.

    Args:
        faces: with known identities.
        held_out: test shots of each person.
        validation: validation shots of each person.
        seed: non-negative; chooses the shots.

    Returns:
        The same faces with `split` filled.

    Raises:
        LabkitError: an identity is unknown, or a person would have no training shot left.
    """
    people = _people(faces)
    parts = np.full(len(faces), TRAIN, np.int8)
    generator = np.random.default_rng(seed)
    for person in people:
        shots = generator.permutation(np.flatnonzero(faces.identity == person))
        _check_counts(faces, f"person {person}", "shots", len(shots), held_out, validation)
        parts[shots[:held_out]] = TEST
        parts[shots[held_out : held_out + validation]] = VALIDATION
    return replace(faces, split=parts)


def split_by_person(faces: FaceSet, held_out: int = 8, validation: int = 0, seed: int = 0) -> FaceSet:
    """Hold out some people with all their shots: a test image shows somebody never seen.

    Args:
        faces: with known identities.
        held_out: people in the test part.
        validation: people in the validation part.
        seed: non-negative; chooses the people.

    Returns:
        The same faces with `split` filled.

    Raises:
        LabkitError: an identity is unknown, or nobody would be left to train on.
    """
    people = np.random.default_rng(seed).permutation(_people(faces))
    _check_counts(faces, "the set", "people", len(people), held_out, validation)
    parts = np.full(len(faces), TRAIN, np.int8)
    parts[np.isin(faces.identity, people[:held_out])] = TEST
    parts[np.isin(faces.identity, people[held_out : held_out + validation])] = VALIDATION
    return replace(faces, split=parts)


def _people(faces: FaceSet) -> np.ndarray:
    if (faces.identity < 0).any():
        raise LabkitError(
            f"{faces.provenance.name}: some faces have no known person, so they cannot be split; "
            "drop them with subset(faces.identity >= 0)."
        )
    return np.unique(faces.identity)


def _check_counts(faces: FaceSet, of: str, things: str, count: int, held_out: int, validation: int) -> None:
    if held_out < 0 or validation < 0 or held_out + validation >= count:
        raise LabkitError(
            f"{faces.provenance.name}: {of} has {count} {things}, too few to hold out {held_out} "
            f"and {validation} and to train on the rest; hold out fewer."
        )
