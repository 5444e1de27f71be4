"""The labels of CelebA, read by pandas from tables of any usual form and held against the images.

Official text (a count line, names of the columns, then rows between white space) and csv with commas, semicolons or
tabs are read, with or without an index column. What does not fit is counted, and never lost silently: a table of
which no column names the images, or no row an image, is refused.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from labkit.data.celeba.listing import ANNOTATIONS, IMAGE_SUFFIXES
from labkit.data.celeba.source import Source
from labkit.errors import LabkitError
from labkit.faces.faceset import TEST, TRAIN, VALIDATION
from labkit.faces.words import ATTRIBUTES
from labkit.files import shown

# Images 1 to 162,770 are for training, to 182,637 for validation, to 202,599 for testing.
LAST_OF_SPLIT = {TRAIN: 162_770, VALIDATION: 182_637, TEST: 202_599}
LINE_LENGTH = 10_000
BAD = 127
UNKNOWN = np.iinfo(np.int64).max
INDEX_NAMES = ("", "index", "unnamed__0", "id")
IMAGE_NAMES = re.compile(r"image|.*file|name|photo")
# A spreadsheet writes them in its user's language.
YES = "true t yes y wahr ja vrai oui verdadero sí si cert vero sì"
NO = "false f no n falsch nein faux non falso fals"
SIGNS = dict.fromkeys(YES.split(), 1) | dict.fromkeys(NO.split(), 0)
NUMBER_NAMES = {"identity": ("identity", "person", "person_id", "celebrity"), "partition": ("partition", "split")}


@dataclass(frozen=True)
class Labels:
    """What is known of N images, in the order of their names."""

    identity: np.ndarray  # int64 (N,), the person; −1 where unknown
    split: np.ndarray  # int8 (N,), 0 train, 1 validation, 2 test
    attributes: np.ndarray  # bool (N, 40) in CelebA's order, whatever the file's; False where unknown
    attributes_known: np.ndarray  # bool (N,)
    problems: dict[str, int] = field(default_factory=dict)  # what did not fit → how often; empty if all fits
    columns: dict[str, str] = field(default_factory=dict)  # for each table, which column was taken for what, in words


def read_labels(source: Source, names: Sequence[str]) -> Labels:
    """Labels of the images called `names`; a missing file leaves its labels unknown.

    Rows and images meet by name; by name without its ending where that is unique, as for the PNG version of CelebA,
    whose lists say .jpg. A row with a value that is no label, or repeated with other values, is unknown. Where no
    row gives the split, the official rule by image number does, for names of six digits; all others are for
    training. Attributes may be −1/1, 0/1 or False/True; the rarer of −1 and 0 counts as a bad value.

    Raises LabkitError: an annotation cannot be read; it lacks one of the 40 attributes; none of its columns names the
        images; or which column holds the numbers cannot be told.
    """
    problems: dict[str, int] = {}
    columns: dict[str, str] = {}
    attributes = np.full((len(names), len(ATTRIBUTES)), BAD, np.int8)
    numbers = {kind: np.full(len(names), UNKNOWN) for kind in ("identity", "partition")}
    for kind in source.annotations:
        table = _Table(source, kind, source.annotation(kind) or "", names, problems, columns)
        if kind == "attributes":
            attributes = table.attributes()
        else:
            numbers[kind] = table.numbers()
    known = (attributes != BAD).all(axis=1)
    identity = numbers["identity"]
    return Labels(
        identity=np.where(identity == UNKNOWN, -1, identity),
        split=_split(numbers["partition"], names, problems),
        attributes=(attributes == 1) & known[:, None],
        attributes_known=known,
        problems={problem: count for problem, count in problems.items() if count},
        columns=columns,
    )


class _Table:
    """One annotation file: its cells as text, and which of its columns names the images."""

    def __init__(
        self,
        source: Source,
        kind: str,
        text: str,
        names: Sequence[str],
        problems: dict[str, int],
        columns: dict[str, str],
    ) -> None:
        self.where = f"{shown(source.path)}: its {ANNOTATIONS[kind]}"
        self.kind, self.problems, self.columns, self.names = kind, problems, columns, names
        stems = [name.rpartition(".")[0] for name in names]
        self.by_stem = len(set(stems)) == len(names)
        self.index = pd.Index(stems if self.by_stem else names)
        self._read(text)
        self._find_names()

    def _read(self, text: str) -> None:
        """Fill `header`, one name a column, and `cells`, a frame of text."""
        text = re.sub(r'"(\d+),(\d{3})"', r"\1\2", text.removeprefix("\ufeff"))  # thousands
        text = text.replace('"', "").replace("\0", "\ufffd")
        lines = [line.strip("\r\n\f\v") for line in text.splitlines() if line and not line.isspace()]
        if lines and lines[0].lower().startswith("sep="):  # for Excel
            lines.pop(0)
        if lines and _is_number(lines[0].strip(" \t,;")):
            lie = abs(int(lines.pop(0).strip(" \t,;")) - (len(lines) - (self.kind == "attributes")))
            self.problems[f"{self.kind}: rows more or fewer than line 1 says"] = lie
        first = lines[0] if lines and len(lines[0]) <= LINE_LENGTH else ""
        sign = next((sign for sign in ";,|" if sign in first), None)
        if sign is None and "\t" in first and not re.search(r"\t\s| ", first):
            sign = "\t"  # alone between fields, which may then be empty
        fields = [part.strip() for part in first.split(sign)]
        while len(fields) > 1 and not fields[-1]:  # a separator also behind the last one
            fields.pop()
        self.header: list[str] | None = None
        if not any(each.lower().endswith(IMAGE_SUFFIXES) for each in fields):
            self.header, lines = fields, lines[1:]
        counts = [len(line.split(sign)) if len(line) <= LINE_LENGTH else 0 for line in lines]
        usual = max(set(counts[:100]), key=counts[:100].count, default=len(fields))
        while sign and usual > len(fields) and all(line.endswith(sign) for line in lines[:100]):
            lines = [line.removesuffix(sign) for line in lines]
            counts, usual = [count - 1 for count in counts], usual - 1
        self.width = len(fields) if self.header is not None else usual
        if self.header is not None and usual == len(self.header) + 1:
            self.width = usual  # as in the official header, which does not name the first column
        whole = [line for line, count in zip(lines, counts, strict=True) if count and count == self.width]
        self.problems[f"{self.kind}: unreadable rows"] = len(lines) - len(whole)
        self.cells = pd.DataFrame(columns=range(self.width), dtype=str)
        if whole:
            form = {"sep": sign or r"\s+", "header": None, "quoting": csv.QUOTE_NONE, "index_col": False}
            text = io.StringIO("\n".join(whole))
            self.cells = pd.read_csv(text, **form, names=range(self.width), dtype=str, keep_default_na=False)

    def _find_names(self) -> None:
        """The column that names most images, as `rows`, the index of each row's image or −1."""
        best, self.rows, self.names_at = 0, np.full(len(self.cells), -1), 0
        # Numbers of rows look like names without an ending, and would shift all labels by one: they come last, and
        # never where another column holds file names.
        header = [_plain(name) for name in self.header or ()] + [""] * self.width
        first = self.cells.iloc[:1]
        files = [place for place in self.cells.columns if first[place].str.lower().str.endswith(IMAGE_SUFFIXES).any()]
        order = {place: (header[place] in INDEX_NAMES, not IMAGE_NAMES.match(header[place])) for place in self.cells}
        for place in files or sorted(self.cells.columns, key=order.get):
            keys = [re.split(r"[/\\]", value.strip())[-1] for value in self.cells[place]]
            if self.by_stem:
                keys = [key.rpartition(".")[0] or key for key in keys]
            rows = self.index.get_indexer(keys)
            if (found := int((rows >= 0).sum())) > best:
                best, self.rows, self.names_at = found, rows, place
            if best == len(self.cells):
                break
        if not best and len(self.cells):
            held = ", ".join(repr(value) for value in self.cells.iloc[0, :3])
            raise LabkitError(
                f"{self.where} has no column that names these images (they are called {self.names[0]} and so on; a "
                f"row begins with {held[:90]}); give a column image_id, or remove the file to go without it."
            )
        self.problems[f"{self.kind}: rows without an image"] = int((self.rows < 0).sum())
        if self.header is not None and len(self.header) < self.width:
            # One column has no name: that of the images, or else numbers of rows, before or behind all others.
            unnamed = self.names_at
            if IMAGE_NAMES.match(_plain(self.header[0])):
                unnamed = 0 if self.names_at else self.width - 1
            self.header.insert(unnamed, "image names" if unnamed == self.names_at else "")

    def attributes(self) -> np.ndarray:
        """int8 (N, 40) of −1, 0, 1; BAD where unknown."""
        header = [_plain(name) for name in self.header or ()]
        plain = [_plain(name) for name in ATTRIBUTES]
        missing = [name for name, key in zip(ATTRIBUTES, plain, strict=True) if key not in header]
        remedy = "get the file anew, or remove it to go without attributes."
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise LabkitError(f"{self.where} lacks {missing[0]}{others} in its header; {remedy}")
        if doubled := [name for name, key in zip(ATTRIBUTES, plain, strict=True) if header.count(key) > 1]:
            raise LabkitError(f"{self.where} has {doubled[0]} twice in its header; {remedy}")
        extra = [
            name for place, name in enumerate(header) if name not in [*plain, *INDEX_NAMES] and place != self.names_at
        ]
        self.problems["attributes: unknown columns"] = len(extra)
        taken = self.cells.iloc[:, [header.index(key) for key in plain]]
        values = np.column_stack([_signs(column) for _, column in taken.items()])
        # Of the two ways to say no, the rarer is a bad value; a bad value spoils its row.
        no = -1 if (values == -1).sum() >= (values == 0).sum() else 0
        spoilt = ~np.isin(values, (1, no)).all(axis=1)
        values[spoilt] = BAD
        self.columns["attributes"] = f"{self._name_words()}, 40 attributes by name, yes as 1 and no as {no}"
        return self._join(values, BAD)

    def numbers(self) -> np.ndarray:
        """int64 (N,), the one number per image; UNKNOWN where it gives none."""
        header = [_plain(name) for name in self.header or [""] * self.width]
        others = [place for place in range(len(header)) if place != self.names_at]
        if len(others) > 1:
            others = [place for place in others if header[place] not in INDEX_NAMES] or others
        if len(others) > 1:
            others = [place for place in others if header[place] in NUMBER_NAMES[self.kind]]
        if len(others) != 1:
            raise LabkitError(
                f"{self.where} does not say which of its columns is the {self.kind}; call that column {self.kind}, "
                "or remove the file to go without it."
            )
        values = self.cells[others[0]].map(_number).to_numpy(np.int64)
        if self.kind == "partition":
            if {1, TEST + 1} <= set(values) and 0 not in values:
                values = np.where(values == UNKNOWN, UNKNOWN, values - 1)  # counted from 1
            values = np.where(values > TEST, UNKNOWN, values)
        name = repr(self.header[others[0]]) if self.header else f"{others[0] + 1}"
        self.columns[self.kind] = f"{self._name_words()}, {self.kind} from column {name}"
        return self._join(values[:, None], UNKNOWN)[:, 0]

    def _name_words(self) -> str:
        name = repr(self.header[self.names_at]) if self.header else f"{self.names_at + 1}"
        return f"names of the images from column {name}"

    def _join(self, values: np.ndarray, bad: int) -> np.ndarray:
        """`values` (R, columns), laid in the order of the images (N, columns); `bad` where unknown.

        Raises LabkitError: not one image would get its labels.
        """
        if (values == bad).any(axis=1)[self.rows >= 0].all():
            example = f"; a row holds {', '.join(map(repr, self.cells.iloc[0, :4]))}"[:120] if len(self.cells) else ""
            raise LabkitError(
                f"{self.where} has no row whose values can be read (1 and −1, 1 and 0, yes and no for attributes, "
                f"whole numbers for people and splits{example}); get the file anew, or remove it to go without it."
            )
        values, where = values[self.rows >= 0], self.rows[self.rows >= 0]
        present, first, inverse, counts = np.unique(where, return_index=True, return_inverse=True, return_counts=True)
        differs = (values != values[first[inverse]]).any(axis=1)
        conflicting = np.bincount(inverse, differs, len(present)) > 0
        joined = np.full((len(self.names), values.shape[1]), bad, values.dtype)
        joined[present] = values[first]
        joined[present[conflicting]] = bad
        broken = (joined[present[~conflicting]] == bad).any(axis=1)
        self.problems |= {
            f"{self.kind}: duplicate rows": int((counts - 1)[~conflicting].sum()),
            f"{self.kind}: conflicting rows": int(counts[conflicting].sum()),
            f"{self.kind}: images without a row": len(self.names) - len(present),
            f"{self.kind}: rows with bad values": int(broken.sum()),
        }
        return joined


def _signs(column: pd.Series) -> np.ndarray:
    """int8 (R,) of −1, 0, 1, BAD for the cells of one attribute, each spelling looked up once."""
    places, spellings = column.factorize()
    return np.array([_sign(each.strip().lower()) for each in spellings], np.int8)[places]


def _sign(text: str) -> int:
    """Also 1.00, 1,0, +1, 1e0, and a real minus sign."""
    try:
        value = float(text.replace("\N{MINUS SIGN}", "-").replace(",", "."))
    except ValueError:
        return SIGNS.get(text, BAD)
    return int(value) if value in (-1, 0, 1) else BAD


def _plain(name: str) -> str:
    """A column's name without what programs change in it: case, blanks and dashes."""
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def _split(given: np.ndarray, names: Sequence[str], problems: dict[str, int]) -> np.ndarray:
    """The split of each image (N,) int8: as given, else by its number, else train."""
    split = given.copy()
    unknown = np.flatnonzero(given == UNKNOWN)
    numbers = np.array([_official_number(names[index]) for index in unknown], np.int64)
    official = numbers > 0
    split[unknown] = np.where(official, np.searchsorted(list(LAST_OF_SPLIT.values()), numbers), TRAIN)
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
    token = re.sub(r"[.,]00?$", "", token.strip())  # as pandas writes numbers where some are missing; no thousands
    return int(token) if _is_number(token) else UNKNOWN
