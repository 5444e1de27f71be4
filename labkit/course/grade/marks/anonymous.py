"""Pseudonyms for who reads without knowing whose work it is, and the essays of a class on one page."""

import csv
import hashlib
import hmac
import re
import secrets
from html import escape
from pathlib import Path

import nbformat
from jinja2 import Environment, PackageLoader

from labkit.course.grade.intake.prepare import read_release
from labkit.course.grade.layout import Place
from labkit.course.grade.limited import Overrun, run_limited
from labkit.course.grade.marks.export import write_table
from labkit.course.grade.marks.gradebook import graded_cells, person_of
from labkit.course.grade.marks.neutral import plain_markdown, safe_markdown
from labkit.errors import LabkitError
from labkit.files import write_text

SECRET = "pseudonyms.secret"
KEY = "pseudonyms.csv"  # for the instructor alone: who is who
OUTSIDE = re.compile(r"(<(style|script)\b.*?</\2>|<[^>]*>)", re.DOTALL | re.IGNORECASE)
SAYING = re.compile(r'\b(alt|title|href)="(?!data:)([^"]*)"')


def pseudonyms(place: Place) -> dict[str, str]:
    """Student → pseudonym, the same for every lab of a course, and unlike that of another course.

    It is an HMAC of the name with the course's secret, so that nobody without the secret can try names. The key file,
    pseudonyms.csv, is brought up to date.

    Raises LabkitError: the secret or the key file cannot be read or written.
    """
    path, key = place.course / SECRET, place.course / KEY
    try:
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32), encoding="ascii")
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
        with open(key, encoding="utf-8-sig", newline="") as stream:
            known = {row["student"]: row["pseudonym"] for row in csv.DictReader(stream)}
        if None in (*known, *known.values()):
            raise ValueError("a row is cut short")
    except FileNotFoundError:
        known = {}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise LabkitError(f"{path}: it or {KEY} cannot be used ({error}); restore a copy of both.") from error
    if len(secret) < 32:
        raise LabkitError(f"{path}: holds no secret; restore a copy, or remove it to give everybody a new pseudonym.")
    digests = {one.student: hmac.digest(secret, one.student.encode(), hashlib.sha256) for one in place.students()}
    names = {student: f"anon-{digest.hex()[:10]}" for student, digest in digests.items()}
    table = [{"pseudonym": name, "student": student} for student, name in sorted((known | names).items())]
    write_table(key, ("pseudonym", "student"), table)
    key.chmod(0o600)
    return names


def without_names(html: str, names: list[str], pseudonym: str) -> str:
    """A page with `names` replaced where a reader sees them: in its text, and in what links and pictures say.

    Args:
        names: as they may be written; a blank, a dash, a dot or an underscore is the same in them.
    """
    parts = [re.split(r"[\s_.-]+", escape(name.strip(), quote=False)) for name in names if len(name.strip()) > 2]
    if not parts:
        return html
    known = "|".join(r"[\s_.-]+".join(map(re.escape, each)) for each in sorted(parts, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)(?:{known})(?!\w)", re.IGNORECASE)

    def hide(text: str) -> str:
        return pattern.sub(pseudonym, text)

    shown, place = [], 0
    for tag in OUTSIDE.finditer(html):
        inside = tag[0] if tag[2] else SAYING.sub(lambda said: f'{said[1]}="{hide(said[2])}"', tag[0])
        shown += [hide(html[place : tag.start()]), inside]
        place = tag.end()
    return "".join(shown) + hide(html[place:])


def names_of(student: str, person: dict[str, str]) -> list[str]:
    """All that a student's page may call its author by: as far as is known here."""
    return [student, *(person[key] for key in ("name", "email") if person.get(key))]


def write_essays(place: Place, *, anonymous: bool = False) -> tuple[Path, int, dict[str, str]]:
    """Write essays/<lab>.html: what a human has to read, exercise by exercise, under names or pseudonyms.

    Returns:
        the page, how many answers it has, and student → why theirs are not on it.

    Raises LabkitError: the lab is not released, has no such exercise, or nothing is prepared.
    """
    exercises = list(graded_cells(read_release(place), manual=True))
    if not exercises:
        raise LabkitError(f"{place.name}: has no answer that a human reads.")
    labels = pseudonyms(place) if anonymous else {one.student: one.student for one in place.students()}
    answers: dict[str, list[tuple[str, str]]] = {name: [] for name in exercises}
    failed = {}
    for one in sorted(place.students(), key=lambda one: labels[one.student]):
        path, label = one.notebook("submitted"), labels[one.student]
        if not path.is_file():
            continue
        try:
            found = run_limited(_essays, path, exercises)
        except Overrun as error:
            failed[one.student] = f"its answers cannot be shown: {error}."
            continue
        except Exception as error:  # whatever one notebook does to its readers, the others are read
            failed[one.student] = f"its answers cannot be shown ({type(error).__name__})."
            continue
        names = names_of(one.student, person_of(one)) if anonymous else []
        for name, html in found.items():
            answers[name].append((label, without_names(html, names, label)))
    if not labels:
        raise LabkitError(f"{place.name}: nothing is prepared; run `labkit grade prepare {place.lab.number}` first.")
    page = place.course / "essays" / f"{place.name}{'-anonymous' if anonymous else ''}.html"
    templates = Environment(loader=PackageLoader("labkit.course.grade", "marks"), autoescape=True)
    text = templates.get_template("essays.html.j2").render(title=place.name, answers=answers)
    write_text(page, text + "\n")
    return page, sum(map(len, answers.values())), failed


def _essays(path: Path, exercises: list[str]) -> dict[str, str]:
    found = {}
    for cell in nbformat.read(path, as_version=4).cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in exercises:
            text = plain_markdown(cell.source)
            code = f"<pre>{escape(cell.source)}</pre>"
            found[name] = code if cell.cell_type == "code" else safe_markdown(text, cell.get("attachments"))
    return found
