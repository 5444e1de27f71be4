"""`labkit grade similar`: pairs of answers that are alike, found by winnowing (Schleimer et al. 2003).

Only what students wrote themselves is compared, exercise by exercise, without what the release gave them. Names of
variables, comments and blanks do not count.
"""

import hashlib
import io
import keyword
import math
import re
import tokenize
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import nbformat
from jinja2 import Environment, PackageLoader

from labkit.course.grade.intake.prepare import read_release
from labkit.course.grade.layout import Place
from labkit.course.grade.limited import Overrun, run_limited
from labkit.course.grade.release import notebook_text
from labkit.errors import LabkitError
from labkit.files import write_text

GRAM = 6  # tokens that must agree in a row
WINDOW = 4  # of so many rows one is kept: what agrees over GRAM + WINDOW − 1 tokens is found for certain
LEAST = 4  # rows in common
ALIKE = 0.4
MAX_PAIRS = 100  # on the page
MAX_CHARACTERS, MAX_LINES, MAX_WIDTH = 100_000, 200, 200  # of an answer: read, and shown
PLAIN = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)

Answers = dict[str, tuple[str, dict[str, int]]]  # exercise → text, and each row that it is known by → its line


@dataclass(frozen=True)
class Pair:
    """Two students' answers to an exercise; `alike` from 0 to 1, `texts` as lines with whether each is shared."""

    exercise: str
    students: tuple[str, str]
    alike: float
    texts: tuple[list[tuple[str, bool]], list[tuple[str, bool]]]


def write_similar(place: Place) -> tuple[Path, list[Pair], dict[str, str]]:
    """Write similar/<lab>.html; returns it, its pairs, and student → why that work could not be compared.

    Raises LabkitError: the lab is not released, or nothing is prepared.
    """
    released = notebook_text(read_release(place))
    found: dict[str, Answers] = {}
    failed = {}
    for one in place.students():
        if not (path := one.notebook("submitted")).is_file():
            continue
        try:
            found[one.student] = run_limited(answers_of, path.read_text(encoding="utf-8"), released)
        except Overrun as error:
            failed[one.student] = f"its answers cannot be compared: {error}."
        except Exception as error:  # whatever one notebook does to its readers, the others are compared
            failed[one.student] = f"its answers cannot be compared ({type(error).__name__})."
    if not found and not failed:
        raise LabkitError(f"{place.name}: nothing is prepared; run `labkit grade prepare {place.lab.number}` first.")
    pairs = pairs_of(found)[:MAX_PAIRS]
    page = place.course / "similar" / f"{place.name}.html"
    templates = Environment(loader=PackageLoader("labkit.course.grade", "marks"), autoescape=True)
    about = {"title": place.name, "pairs": pairs, "count": len(found)}
    write_text(page, templates.get_template("similar.html.j2").render(about) + "\n")
    return page, pairs, failed


def answers_of(notebook: str, released: str) -> Answers:
    """What a student wrote in the cells that the release left open, with the rows of tokens that each is known by."""
    given = set()
    for cell in nbformat.reads(released, as_version=4).cells:
        given |= {row for row, _ in _rows(cell.source, cell.cell_type)}
    answers = {}
    for cell in nbformat.reads(notebook, as_version=4).cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution"):
            text = cell.source[:MAX_CHARACTERS]
            rows = [each for each in _rows(text, cell.cell_type) if each[0] not in given]
            windows = (rows[start : start + WINDOW] for start in range(max(1, len(rows) - WINDOW + 1)))
            answers[about["grade_id"]] = text, dict(min(window) for window in windows if window)
    return answers


def pairs_of(found: dict[str, Answers]) -> list[Pair]:
    """Pairs that are alike, the most alike first.

    `alike` is the share of the shorter answer's rows that the other has too. A row counts in full if only those two
    have it, and next to nothing if all of the class do: the natural answer to a small exercise is no sign.
    """
    pairs = []
    for exercise in sorted({name for answers in found.values() for name in answers}):
        rows = {student: answers[exercise][1] for student, answers in found.items() if exercise in answers}
        holders = defaultdict(list)
        for student, own in rows.items():
            for row in own:
                holders[row].append(student)
        common, weight = Counter(), Counter()
        for students in holders.values():
            rarity = math.log((len(rows) + 1) / len(students)) / math.log((len(rows) + 1) / 2)
            if rarity > 0.1:  # else each pair of a large class is counted for nothing
                for pair in combinations(students, 2):
                    common[pair] += 1
                    weight[pair] += rarity
        for (one, other), count in common.items():
            alike = weight[one, other] / min(len(rows[one]), len(rows[other]))
            if count >= LEAST and alike >= ALIKE:
                shared = rows[one].keys() & rows[other].keys()
                texts = tuple(_marked(*found[student][exercise], shared) for student in (one, other))
                pairs.append(Pair(exercise, (one, other), alike, texts))
    return sorted(pairs, key=lambda pair: (-pair.alike, pair.exercise, pair.students))


def _rows(text: str, kind: str) -> list[tuple[str, int]]:
    """Hashes of all GRAM tokens in a row, each with the line on which it begins."""
    tokens = _code(text) if kind == "code" else _words(text)
    rows = (tokens[start : start + GRAM] for start in range(len(tokens) - GRAM + 1))
    return [
        (hashlib.blake2b("\0".join(t for t, _ in row).encode(), digest_size=8).hexdigest(), row[0][1]) for row in rows
    ]


def _code(text: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    with suppress(tokenize.TokenError, SyntaxError, ValueError, RecursionError):  # what comes before it counts
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in PLAIN:
                chosen = token.type == tokenize.NAME and not keyword.iskeyword(token.string)
                attribute = bool(found) and found[-1][0] == "."  # not the student's to name
                found.append(("name" if chosen and not attribute else token.string, token.start[0]))
    return found


def _words(text: str) -> list[tuple[str, int]]:
    lines = enumerate(text.splitlines(), 1)
    return [(word, number) for number, line in lines for word in re.findall(r"\w+", line.casefold())]


def _marked(text: str, rows: dict[str, int], shared: set[str]) -> list[tuple[str, bool]]:
    lines, marked = text.splitlines(), {rows[row] for row in shared}
    shown = [(line[:MAX_WIDTH], number in marked) for number, line in enumerate(lines[:MAX_LINES], 1)]
    cut = len(lines) > MAX_LINES or any(len(line) > MAX_WIDTH for line in lines)
    return shown + ([("… more is left out here", False)] if cut else [])
