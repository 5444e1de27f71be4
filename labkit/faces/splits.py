"""Which faces a model may learn from."""

from dataclasses import replace

import numpy as np

from labkit.errors import LabkitError
from labkit.faces.faceset import TEST, TRAIN, VALIDATION, FaceSet

CANDIDATES = 256  # training rows among which the best to swap with a held-out row is looked for


def split_by_image(faces: FaceSet, held_out: int = 2, validation: int = 0, seed: int = 0) -> FaceSet:
    """Hold out some shots of every person: a test image is new, its person is not.

    Args:
        faces: with known identities.
        held_out: test shots of each person.
        validation: validation shots of each person.
        seed: non-negative; chooses the shots.

    Raises LabkitError: an identity is unknown, or a person would have no training shot left.
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

    Raises LabkitError: an identity is unknown, or nobody would be left to train on.
    """
    people = np.random.default_rng(seed).permutation(_people(faces))
    _check_counts(faces, "the set", "people", len(people), held_out, validation)
    parts = np.full(len(faces), TRAIN, np.int8)
    parts[np.isin(faces.identity, people[:held_out])] = TEST
    parts[np.isin(faces.identity, people[held_out : held_out + validation])] = VALIDATION
    return replace(faces, split=parts)


def split_stratified(faces: FaceSet, held_out: float = 0.1, validation: float = 0.1, seed: int = 0) -> FaceSet:
    """Split by image so that every attribute is about as frequent in each part: iterative stratification, then swaps.

    Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data", ECML PKDD 2011: the images of the
    attribute that has the fewest left are dealt first, each to the part that lacks most of it. That serves rare
    attributes; where many are frequent, nearly all images are dealt by the first few, so images are then swapped
    between parts while that brings the counts of all attributes nearer to their shares. The sizes of the parts are
    exact. A person may be in several parts. Rows with `attributes_known` False are trained on only.

    Args:
        faces: with attributes.
        held_out: share of the known rows in the test part.
        validation: share of the known rows in the validation part.
        seed: non-negative; the order of the images, and ties.

    Raises LabkitError: no attributes, or shares that leave nothing to train on.
    """
    if faces.attributes is None:
        raise LabkitError(f"{faces.provenance.name}: there are no attributes to split by; use split_by_image.")
    if min(held_out, validation) < 0 or held_out + validation >= 1:
        raise LabkitError(
            f"{faces.provenance.name}: held_out = {held_out} and validation = {validation} leave nothing to train on."
        )
    known = np.flatnonzero(faces.labelled)
    generator = np.random.default_rng(seed)
    order = generator.permutation(known)
    labels = faces.attributes[order]
    shares = np.array([1 - held_out - validation, validation, held_out])
    parts = np.full(len(faces), TRAIN, np.int8)
    parts[order] = _evened(labels, _dealt(labels, shares), generator)
    return replace(faces, split=parts)


def _dealt(labels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Deal rows of labels bool (N, A) to the parts: int8 (N,), positions in `shares`."""
    room = np.round(len(labels) * shares).astype(int)
    room[TRAIN] = len(labels) - room[1:].sum()
    wanted = np.outer(shares, labels.sum(0))  # (parts, A): positives that each part still lacks
    left = labels.sum(0)
    parts = np.full(len(labels), -1, np.int8)
    while left.any():
        rarest = np.argmin(np.where(left > 0, left, len(labels) + 1))
        for row in np.flatnonzero(labels[:, rarest] & (parts < 0)):
            open_parts = np.flatnonzero(room > 0)
            part = max(open_parts, key=lambda k: (wanted[k, rarest], room[k]))
            parts[row] = part
            room[part] -= 1
            wanted[part] -= labels[row]
            left = left - labels[row]
    parts[parts < 0] = np.repeat(np.arange(len(shares)), room)
    return parts


def _evened(labels: np.ndarray, parts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Swap held-out rows with training rows while that lowers the squared excess of positives over all labels."""
    centred = labels.astype(np.float32) - labels.mean(0, dtype=np.float32)
    parts = parts.copy()
    training = np.flatnonzero(parts == TRAIN)
    for part in (VALIDATION, TEST):
        excess = centred[parts == part].sum(0)
        for row in generator.permutation(np.flatnonzero(parts == part)):
            places = generator.integers(len(training), size=CANDIDATES)
            steps = centred[training[places]] - centred[row]
            costs = np.square(excess + steps).sum(1)
            best = int(costs.argmin())
            if costs[best] < np.square(excess).sum():
                other = training[places[best]]
                parts[row], parts[other] = TRAIN, part
                training[places[best]] = row
                excess = excess + steps[best]
    return parts


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
