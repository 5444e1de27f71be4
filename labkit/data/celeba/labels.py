"""The labels of CelebA, read from its text files and held against the images; what does not fit is counted.

Both forms are read: official (a count line in list_attr_celeba.txt, names of the columns, then rows of an image name
and numbers between any white space) and Kaggle's csv.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

import numpy as np

from labkit.data.celeba.source import Source
from labkit.errors import LabkitError
from labkit.faces.faceset import TEST, TRAIN, VALIDATION
from labkit.faces.words import ATTRIBUTES

# Images 1 to 162,770 are for training, to 182,637 for validation, to 202,599 for testing.
LAST_OF_SPLIT = {TRAIN: 162_770, VALIDATION: 182_637, TEST: 202_599}
LINE_LENGTH = 10_000
ROWS_AT_ONCE = 8192
BAD = 127


@dataclass(frozen=True)
class Labels:
    """What is known of N images, in the order of their names.

    Attributes:
        identity: int64 (N,), the person; −1 where unknown.
        split: int8 (N,), 0 train, 1 validation, 2 test.
        attributes: bool (N, 40); False where unknown, see `attributes_known`.
        attributes_known: bool (N,).
        attribute_names: the 40 names in CelebA's order, whatever the file's.
        problems: what did not fit → how often; empty if all fits.
    """

    identity: np.ndarray
    split: np.ndarray
    attributes: np.ndarray
    attributes_known: np.ndarray
    attribute_names: tuple[str, ...] = ATTRIBUTES
    problems: dict[str, int] = field(default_factory=dict)


def read_labels(source: Source, names: Sequence[str]) -> Labels:
    """Labels of the images called `names`; a missing file leaves its labels unknown.

    Rows and images meet by name; by name without its ending where that is unique, as for the PNG version of CelebA,
    whose lists say .jpg. A row with a value that is no label, or repeated with other values, is unknown. Where no
    row gives the split, the official rule by image number does, for names of six digits; all others are for
    training. In the attributes both −1/1 and 0/1 are read; the rarer of −1 and 0 counts as a bad value.

    Raises:
        LabkitError: an annotation cannot be read, or the attributes' header lacks one of the 40 names.
    """
    problems: dict[str, int] = {}
    lookup = _Lookup(names)
    attributes = np.full((len(names), len(ATTRIBUTES)), BAD, np.int8)
    if (text := source.annotation("attributes")) is not None:
        lines = _Lines(text, "attributes", problems)
        columns = _attribute_columns(lines.header(), source, problems)
        rows, values = lines.rows(len(columns), attributes=True)
        values = values[:, [columns.index(name) for name in ATTRIBUTES]]
        attributes = lookup.join(rows, _as_labels(values), "attributes", problems)
    known = (attributes != BAD).all(axis=1)
    identity = _numbers(source, "identity", lookup, problems)
    return Labels(
        identity=np.where(identity == _UNKNOWN, -1, identity),
        split=_split(_numbers(source, "partition", lookup, problems), names, problems),
        attributes=(attributes == 1) & known[:, None],
        attributes_known=known,
        problems={problem: count for problem, count in problems.items() if count},
    )


_UNKNOWN = np.iinfo(np.int64).max


class _Lookup:
    """From the name in a row to the index of its image."""

    def __init__(self, names: Sequence[str]) -> None:
        self.count = len(names)
        stems = [name.rpartition(".")[0] for name in names]
        self.by_stem = len(set(stems)) == len(names)
        self.index = {name: index for index, name in enumerate(stems if self.by_stem else names)}

    def join(self, rows: list[str], values: np.ndarray, kind: str, problems: dict[str, int]) -> np.ndarray:
        """`values` (R, columns), laid in the order of the images (N, columns); BAD or `_UNKNOWN` where unknown."""
        bad = BAD if values.dtype == np.int8 else _UNKNOWN
        keys = [row.rpartition(".")[0] or row for row in rows] if self.by_stem else rows
        where = np.fromiter(map(self.index.get, keys, repeat(-1)), np.int64, len(keys))
        problems[f"{kind}: rows without an image"] = int((where < 0).sum())
        values, where = values[where >= 0], where[where >= 0]
        present, first, inverse, counts = np.unique(where, return_index=True, return_inverse=True, return_counts=True)
        differs = (values != values[first[inverse]]).any(axis=1)
        conflicting = np.bincount(inverse, differs, len(present)) > 0
        problems[f"{kind}: duplicate rows"] = int((counts - 1)[~conflicting].sum())
        problems[f"{kind}: conflicting rows"] = int(counts[conflicting].sum())
        problems[f"{kind}: images without a row"] = self.count - len(present)
        joined = np.full((self.count, values.shape[1]), bad, values.dtype)
        joined[present] = values[first]
        joined[present[conflicting]] = bad
        broken = (joined[present[~conflicting]] == bad).any(axis=1)
        problems[f"{kind}: rows with bad values"] = int(broken.sum())
        return joined


class _Lines:
    """The lines of one annotation file, csv or not."""

    def __init__(self, text: str, kind: str, problems: dict[str, int]) -> None:
        self.kind, self.problems = kind, problems
        text = text.removeprefix("\ufeff").replace(",", " ").replace(";", " ").replace('"', " ")
        self.lines = [line for line in text.splitlines() if line and not line.isspace()]
        self.first = 0
        start = self.tokens(0)
        if len(start) == 1 and _is_number(start[0]):
            lie = abs(int(start[0]) - (len(self.lines) - 1 - (kind == "attributes")))
            problems[f"{kind}: rows more or fewer than line 1 says"] = lie
            self.first = 1

    def tokens(self, index: int) -> list[str]:
        """The fields of one line; none if there is no such line or it is absurdly long."""
        line = self.lines[index] if index < len(self.lines) else ""
        return line.split() if len(line) <= LINE_LENGTH else []

    def header(self) -> list[str]:
        """Names of the columns, without that of the image's name; the next line is a row."""
        tokens = self.tokens(self.first)
        self.first += 1
        return tokens[1:] if tokens[:1] == ["image_id"] else tokens

    def rows(self, columns: int, *, attributes: bool = False) -> tuple[list[str], np.ndarray]:
        """Image names and values: int8 (R, columns) of −1, 0, 1 for attributes, else int64 (R, columns)."""
        names: list[str] = []
        blocks = [np.empty((0, columns), np.int8 if attributes else np.int64)]
        unreadable = 0
        for start in range(self.first, len(self.lines), ROWS_AT_ONCE):
            lines = self.lines[start : start + ROWS_AT_ONCE]
            tokens = [line.split() for line in lines if len(line) <= LINE_LENGTH]
            good = [row for row in tokens if len(row) == columns + 1]
            unreadable += len(lines) - len(good)
            names += [row[0] for row in good]
            flat = chain.from_iterable(row[1:] for row in good)
            size = len(good) * columns
            if attributes:
                block = np.fromiter(map(_SIGNS.get, flat, repeat(BAD)), np.int8, size)
            else:
                block = np.fromiter(map(_number, flat), np.int64, size)
            blocks.append(block.reshape(-1, columns))
        self.problems[f"{self.kind}: unreadable rows"] = unreadable
        return names, np.concatenate(blocks)


_SIGNS = {"1": 1, "-1": -1, "0": 0}


def _attribute_columns(header: list[str], source: Source, problems: dict[str, int]) -> list[str]:
    missing = [name for name in ATTRIBUTES if name not in header]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise LabkitError(
            f"{source.path}: the header of its list_attr_celeba lacks {missing[0]}{others}; "
            "get the file anew, or remove it to go without attributes."
        )
    doubled = [name for name in ATTRIBUTES if header.count(name) > 1]
    if doubled:
        raise LabkitError(
            f"{source.path}: the header of its list_attr_celeba has {doubled[0]} twice; get the file anew, or "
            "remove it to go without attributes."
        )
    problems["attributes: unknown columns"] = len(header) - len(ATTRIBUTES)
    return header


def _as_labels(values: np.ndarray) -> np.ndarray:
    """`values` (R, 40) of −1, 0, 1, BAD with BAD for the rarer way of saying no, whole rows at a time."""
    rarer = 0 if (values == -1).sum() >= (values == 0).sum() else -1
    bad = ((values == rarer) | (values == BAD)).any(axis=1)
    return np.where(bad[:, None], np.int8(BAD), values)


def _numbers(source: Source, kind: str, lookup: _Lookup, problems: dict[str, int]) -> np.ndarray:
    """The one number per image (N,) of the file `kind`; `_UNKNOWN` where it gives none."""
    text = source.annotation(kind)
    if text is None:
        return np.full(lookup.count, _UNKNOWN)
    lines = _Lines(text, kind, problems)
    if lines.tokens(lines.first)[:1] == ["image_id"]:
        lines.first += 1
    rows, values = lines.rows(1)
    if kind == "partition":
        values = np.where(values > TEST, _UNKNOWN, values)
    return lookup.join(rows, values, kind, problems)[:, 0]


def _split(given: np.ndarray, names: Sequence[str], problems: dict[str, int]) -> np.ndarray:
    """The split of each image (N,) int8: as given, else by its number, else train."""
    split = given.copy()
    unknown = np.flatnonzero(given == _UNKNOWN)
    numbers = np.array([_official_number(names[index]) for index in unknown], np.int64)
    by_rule = np.searchsorted(list(LAST_OF_SPLIT.values()), numbers)
    official = numbers > 0
    split[unknown] = np.where(official, by_rule, TRAIN)
    problems["partition: taken from the image's number"] = int(official.sum())
    problems["partition: unknown, put into training"] = int((~official).sum())
    return split.astype(np.int8)


def _official_number(name: str) -> int:
    stem = name.rpartition(".")[0]
    number = int(stem) if len(stem) == 6 and _is_number(stem) else 0
    return number if number <= LAST_OF_SPLIT[TEST] else 0


def _is_number(token: str) -> bool:
    return token.isascii() and token.isdigit() and len(token) < 10


def _number(token: str) -> int:
    return int(token) if _is_number(token) else _UNKNOWN
