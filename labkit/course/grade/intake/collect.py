"""Tells whose each file is that was handed in, and which notebook of a student counts.

Names are understood as Moodle, Canvas, Blackboard, Brightspace, Google Classroom and Gradescope write them, and
become harmless ones. A sentence quotes a name by repr, since it may hold what no file or terminal should.
"""

import os
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from labkit.attempts import ATTEMPTS
from labkit.course.grade.intake.members import REMEDY, Member, RefusedError, members_of
from labkit.course.grade.layout import STUDENT, Place
from labkit.course.run.labs import Lab
from labkit.safe_zip import is_unsafe

WRAPPERS = re.compile(r"submitted|submissions|assignment_\d+_export|lab\d\d[a-z]?", re.IGNORECASE)
# How systems name what they hand out: whose it is, and the file as the student called it.
MOODLE = re.compile(
    r"(?P<who>(?P<name>.+?)(?:_(?P<participant>\d+))?)_assignsubmission_(?:[a-z]+_?)?(?P<file>.*)", re.DOTALL
)
BLACKBOARD = re.compile(r"(?P<who>.+)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:\.txt|_(?P<file>.*))?", re.DOTALL)
CANVAS = re.compile(  # a person's number is left out of anonymous names
    r"(?P<who>(?P<anonymous>anon_[a-z0-9]{5})|[^_]+)(?P<late>_late)?(?(anonymous)|_(?P<id>\d+))_\d+_(?P<file>.+)",
    re.IGNORECASE | re.DOTALL,
)
BRIGHTSPACE = re.compile(
    r"(?P<id>\d+)-\d+ ?- ?(?P<who>.+?) ?- ?(?P<when>[\w.,]+ [\w.,]+ \d{4} \d{3,4}(?: [AP]M)?)(?: ?- ?(?P<file>.+))?",
    re.DOTALL,
)
CLASSROOM = re.compile(r"(?P<who>.+?) - (?P<file>.+)", re.DOTALL)
GRADESCOPE = re.compile(r"submission_\d+")
METADATA = "submission_metadata.yml"
SUBMITTERS = re.compile(r"( *):?submitters: *")
SUBMITTER = re.compile(
    r"""\s*(?P<first>- *)?:?(?P<key>name|sid|email):(?! *(''|"")) *(?P<quote>["']?)(?P<value>.+?)(?P=quote)\s*"""
)
# What mail programs, browsers and file systems make of a notebook's ending, and of its name.
ENDING = re.compile(r"(\.ipynb(\.(txt|json|ipynb))*|\.json)$", re.IGNORECASE)
COPY = re.compile(
    r"[ _]*\((?P<number>\d+)\)$|[ _-]+(copy|kopie|copie|c[oò]pia) ?\d*$|(?<=[^\d])-(?P<attempt>\d{1,2})$",
    re.IGNORECASE,
)
COPY_OF = re.compile(r"^(copy of|c[oò]pia de|copie de|kopie von) +", re.IGNORECASE)  # Google's


@dataclass(frozen=True)
class Named:
    """What the name of a file, folder or zip says."""

    who: str = ""  # the student; empty if it says nothing of one
    file: str = ""  # the file's name as the student chose it, with a notebook's plain ending and no mark of a copy
    attempt: int = 0  # by which newer ones are told from older ones where dates say nothing
    when: float = 0.0  # seconds since 1970, where the name says it; 0 elsewhere
    user: str = ""  # a number that tells people of one name apart
    # What its system knows the student by: system, name, id, email.
    person: dict[str, str] = field(default_factory=dict)
    note: str = ""  # what else is to be said


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one lab: a notebook, or the reason why there is none."""

    student: str
    modified: float = 0.0
    taken: str = ""
    read: Callable[[int], bytes] | None = None
    # What gives the `attempts.jsonl` beside the notebook, where there is one.
    read_attempts: Callable[[int], bytes] | None = None
    refused: str = ""
    notes: list[str] = field(default_factory=list)
    # What the system that it comes from knows the student by: system, name, id, email; as far as it says.
    person: dict[str, str] = field(default_factory=dict)


def collect(source: Path, lab: Lab) -> tuple[list[Submission], list[str]]:
    """Submissions for `lab` in a folder or zip, one per student, and a sentence for each file left out.

    Raises LabkitError: `source` is neither a folder nor a zip that can be read.
    """
    groups: dict[str, list[tuple[Member, Named]]] = defaultdict(list)
    left_out: list[str] = []
    members = _unwrapped(members_of(source), source, lab)
    teams, people = _gradescope(members)
    classroom = _is_classroom(members, lab)
    named = [
        (member, _named(member, lab if classroom else None)) for member in members if member.parts[-1:] != (METADATA,)
    ]
    named = _without_assignment(named)
    loose = _loose_owners(named, lab)
    users = defaultdict(set)
    for _, each in named:
        users[each.who].add(each.user)
    for member, each in named:
        where = "/".join(member.parts)
        if not member.parts or any(is_unsafe(part) for part in (*member.parts, where)):
            left_out.append(f"{where!r}: leads out of its folder; it was not read.")
        elif names := teams.get(member.parts[0]) or _owners(member, each, lab, loose, len(users[each.who]) > 1):
            for name in (unicodedata.normalize("NFC", name) for name in names):  # as macOS does not write them
                groups[name].append((member, each))
                people.setdefault(name, each.person)
        elif _is_notebook(member, each):
            left_out.append(f"{where!r}: it cannot be told whose it is; give it the student's name.")
        else:
            left_out.append(f"{where!r}: it is no notebook, and no folder or zip of one.")
    submissions, taken = [], set()
    # Whose name is harmless as it is keeps it, whoever else's becomes the same.
    for name in sorted(groups, key=lambda name: (_harmless(name, set()) != name, name)):
        if (chosen := _choose(groups[name], lab, bool(people[name]))) is None:
            left_out.append(f"{name!r}: nothing in it is for {Place(source, lab).name}.")
            continue
        student = _harmless(name, taken)
        notes = chosen.notes + ([f"handed in as {name!r}, kept as {student}."] if student != name else [])
        if len(groups) == 1 and not people[name] and "notebooks were" in "".join(chosen.notes):
            notes.append("if its folder holds a whole class, give that folder itself to --from.")
        submissions.append(replace(chosen, student=student, notes=notes, person=people[name]))
    return submissions, left_out


def _unwrapped(found: list[Member], source: Path, lab: Lab) -> list[Member]:
    """The members without the folder that holds them all, where it is no student's."""
    tops = {member.parts[0] for member in found if len(member.parts) > 1}
    if len(tops) == 1 and all(len(member.parts) > 1 for member in found):
        top, inner = tops.pop(), {member.parts[1] for member in found} - {METADATA, "index.html"}
        made = (MOODLE, BLACKBOARD, CANVAS, BRIGHTSPACE, GRADESCOPE)  # of names that systems give to everybody's
        everybodys = len(inner) > 1 and all(any(form.fullmatch(name[:255]) for form in made) for name in inner)
        if WRAPPERS.fullmatch(top) or top in (source.stem, lab.stem) or everybodys:
            return [replace(member, parts=member.parts[1:]) for member in found]
    return found


def _is_classroom(members: list[Member], lab: Lab) -> bool:
    """Whether " - " in the names of loose notebooks stands behind students: not where all have the same before it."""
    loose = [member.parts[0][:255] for member in members if len(member.parts) == 1]
    before = [found["who"].lower() for name in loose if ENDING.search(name) and (found := CLASSROOM.fullmatch(name))]
    return lab.stem.lower() not in before and (len(before) < 2 or len(set(before)) > 1)


def _without_assignment(named: list[tuple[Member, Named]]) -> list[tuple[Member, Named]]:
    """Blackboard's names without the assignment that all begin with; it may hold "_", and so may a student's name."""
    whole = {each.who for _, each in named if each.person.get("system") == "blackboard"}
    common = os.path.commonprefix(sorted(whole)) if len(whole) > 1 else "".join(whole)  # noqa: RUF071
    start = common.rfind("_") + 1
    cut = {who: who[start:] if start else who.rpartition("_")[2] for who in whole}
    return [
        (member, replace(each, who=cut[each.who], person=each.person | {"name": cut[each.who]}))
        if each.who in cut and each.person.get("system") == "blackboard"
        else (member, each)
        for member, each in named
    ]


def _loose_owners(named: list[tuple[Member, Named]], lab: Lab) -> dict[str, str]:
    """Name of a loose notebook → whose it is. A number behind it is a copy's, or tells teams from one another."""
    variants: dict[str, dict[str, str]] = defaultdict(dict)
    for member, each in named:
        if len(member.parts) == 1 and not each.who:
            whole = ENDING.sub("", member.parts[0])
            plain = ENDING.sub("", each.file) if ENDING.search(each.file) else Path(each.file).stem
            variants[_bare(plain, lab)][member.parts[0]] = _bare(whole, lab)
    owners = {}
    for plain, wholes in variants.items():
        several = len(set(wholes.values())) > 1
        for file, whole in wholes.items():
            apart = plain not in wholes.values() and (re.search(r"\d$", whole) or (several and whole.endswith(")")))
            owners[file] = whole if apart else plain
    return owners


def _bare(stem: str, lab: Lab) -> str:
    """The name of a notebook without that of the lab."""
    name = re.escape(lab.stem)
    return re.sub(rf"[ _-]*{name}([ _-]*\(?\d+\)?)?$|^{name}[ _-]+", "", stem, flags=re.IGNORECASE)


def _named(member: Member, classroom: Lab | None) -> Named:
    """What the first component of a member's path says, and the file's own name."""
    first, last = member.parts[0][:255], member.parts[-1][-255:]  # the patterns' time grows with the square
    loose = len(member.parts) == 1 and ENDING.search(first)
    patterns = [("blackboard", BLACKBOARD), ("canvas", CANVAS), ("moodle", MOODLE), ("brightspace", BRIGHTSPACE)]
    if loose and classroom:  # " - " may stand in a name, too
        ending = rf"(?P<who>.+) - (?P<file>{re.escape(classroom.stem)}.*)"
        patterns += [("", re.compile(ending, re.IGNORECASE | re.DOTALL)), ("", CLASSROOM)]
    matches = ((system, pattern.fullmatch(first)) for system, pattern in patterns)
    system, found = next((each for each in matches if each[1]), ("", None))
    groups = found.groupdict() if found else {}
    file, attempt = _plain(groups.get("file") or first if len(member.parts) == 1 else last)
    about = Named(file=file, attempt=attempt)
    if found:
        person = {"system": system, "name": groups.get("name") or groups["who"]}
        if number := groups.get("participant") or groups.get("id"):
            person["id"] = number
        about = replace(about, who=groups["who"], user=groups.get("id") or "", person=person)
    if when := groups.get("when"):
        about = replace(about, when=_moment(when))
    return replace(about, note="Canvas marks it as late.") if groups.get("late") else about


def _moment(text: str) -> float:
    text = re.sub(r"\b([A-Z]\w\w)\w+", r"\1", text.replace(",", ""))  # "Sept", or the whole month
    text = re.sub(r" (\d{3}(?: [AP]M)?)$", r" 0\1", text)
    for form in ("%Y-%m-%d-%H-%M-%S", "%b %d %Y %I%M %p", "%d %b %Y %I%M %p", "%b %d %Y %H%M", "%d %b %Y %H%M"):
        with suppress(ValueError, OverflowError, OSError):
            return datetime.strptime(text, form).timestamp()
    return 0.0


def _plain(name: str) -> tuple[str, int]:
    """A file's name without what was added to it in saving, and the number of the copy."""
    name = re.sub(r" ?\((\d+)\)(?=\.[a-z]|$)", r"(\1)", name, flags=re.IGNORECASE)
    number, ending, name = 0, "", COPY_OF.sub("", unicodedata.normalize("NFC", name))
    for _ in range(4):  # such as "lab.ipynb (2).txt"
        if copy := COPY.search(name):
            number, name = max(number, int(copy["number"] or copy["attempt"] or 0)), name[: copy.start()]
        elif found := ENDING.search(name):
            name, ending = name[: found.start()], ending or found[0]
        else:
            break
    notebook = ".json" if ending.lower() == ".json" else ".ipynb"
    return name + (notebook if ending else ""), number


def _owners(member: Member, named: Named, lab: Lab, loose: dict[str, str], several: bool) -> list[str]:
    """The student's name as it was handed in; none if it cannot be told."""
    if named.who:
        return [f"{named.who}_{named.user}" if several and named.user else named.who]
    if len(member.parts) > 1:
        return [_bare(ENDING.sub("", member.parts[0]), lab) or member.parts[0]]
    if not _is_notebook(member, named) and not member.refused:
        return []
    return [loose[member.parts[0]]] if loose[member.parts[0]] else []


def _is_notebook(member: Member, named: Named) -> bool:
    """By its ending; what ends in .json is one if it says so."""
    if not named.file.lower().endswith(".json"):
        return bool(ENDING.search(named.file))
    return _says_so(member)


def _says_so(member: Member) -> bool:
    try:
        return not member.refused and b"nbformat" in member.read(10**8).replace(b"\0", b"")
    except RefusedError:
        return False


def _gradescope(members: list[Member]) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
    """Folder → names of those who handed it in together, as Gradescope's list beside the folders has them.

    And name → what Gradescope knows that person by. Who shares a name with another has the number behind it.
    """
    teams: dict[str, list[dict[str, str]]] = {}
    for member in members:
        if member.parts != (METADATA,) or member.refused:
            continue
        try:
            lines = member.read(10**7).decode("utf-8", "replace").splitlines()
        except RefusedError:
            continue
        team: list[dict[str, str]] = []
        indent = None  # of the list of people; names below other keys are those of tests
        for line in lines:
            if GRADESCOPE.fullmatch(line.rstrip(":")):
                team, indent = teams.setdefault(line.rstrip(":"), []), None
            elif begun := SUBMITTERS.fullmatch(line[:1000]):
                indent = begun[1]
            elif indent is None or re.match(rf"{indent}:?\w", line):
                indent = None
            elif found := SUBMITTER.fullmatch(line[:1000]):
                if found["first"]:
                    team.append({"system": "gradescope"})
                if team:
                    value = found["value"].replace("''", "'") if found["quote"] == "'" else found["value"]
                    team[-1]["id" if found["key"] == "sid" else found["key"]] = value
    named = [(folder, person) for folder, team in teams.items() for person in team if person.get("name")]
    numbers = defaultdict(set)
    for _, person in named:
        numbers[person["name"]].add(person.get("id") or person.get("email"))
    folders: dict[str, list[str]] = defaultdict(list)
    people = {}
    for folder, person in named:
        number = person.get("id") or person.get("email")
        several = len(numbers[person["name"]]) > 1 and number
        name = f"{person['name']}_{number}" if several else person["name"]
        folders[folder].append(name)
        people[name] = person
    return folders, people


def _choose(members: list[tuple[Member, Named]], lab: Lab, sure: bool) -> Submission | None:
    """The one notebook that counts; None if all that is there belongs to other labs.

    Args:
        sure: that all of it is one person's, as its system says.
    """
    mine = [each for each in members if not _of_another_lab(*each, lab)]
    if not mine:
        return None
    notebooks = [each for each in mine if _is_notebook(*each)]
    exact = [each for each in notebooks if ENDING.sub("", each[1].file).lower() == lab.stem.lower()]
    pool = exact or [each for each in notebooks if not each[1].file.endswith(".json")] or notebooks
    if not (pool := pool or [each for each in mine if _says_so(each[0])]):  # under the name of a text, or of nothing
        reasons = [member.refused for member, _ in mine if member.refused]
        held = ", ".join(repr(member.parts[-1][:60]) for member, _ in mine[:3])
        return Submission(
            "", refused=f"no notebook was handed in{f': {reasons[0]}' if reasons else f', but {held}'}; {REMEDY}."
        )
    folders = {member.parts[1] if len(member.parts) > 2 and not member.written else "" for member, _ in notebooks}
    if len(folders) > 1 and "" not in folders and not sure:  # nor do some lie beside them, or in a person's own zip
        held = ", ".join(map(repr, sorted(folders)[:3]))
        said = f"its notebooks lie in several folders ({held}): leave one of them there; if it holds a whole class, "
        return Submission("", refused=f"{said}give that folder itself to --from.")
    newest, named = max(pool, key=_age)
    modified, taken = named.when or newest.modified, "/".join(newest.parts)
    if newest.refused:
        return Submission("", modified, taken, refused=f"{newest.parts[-1]!r}: {newest.refused}; {REMEDY}.")
    which = f"{newest.parts[-1][:60]!r}, the one named as the lab" if len(pool) < len(notebooks) else "the newest one"
    notes = [f"{len(notebooks)} notebooks were handed in; {which} counts."] if len(notebooks) > 1 else []
    beside = [each.read for each, _ in mine if each.parts == (*newest.parts[:-1], ATTEMPTS) and not each.refused]
    attempts = beside[0] if beside and len(newest.parts) > 1 else None
    return Submission("", modified, taken, newest.read, attempts, notes=notes + ([named.note] if named.note else []))


def _age(each: tuple[Member, Named]) -> tuple[float, ...]:
    """What orders one student's notebooks. Canvas numbers its attempts, and dates all alike by the download."""
    member, named = each
    return (named.attempt if named.user else 0, named.when or member.modified, member.written, named.attempt)


def _of_another_lab(member: Member, named: Named, lab: Lab) -> bool:
    folders = [part for part in member.parts[1:-1] if re.fullmatch(r"lab\d\d[a-z]?", part)]
    if folders:
        return f"lab{lab.number}" not in folders
    number = re.match(r"(\d\d[a-z]?)_", named.file) if len(member.parts) > 1 or named.who else None
    return bool(number) and number.group(1) != lab.number


def _harmless(name: str, taken: set[str]) -> str:
    """A name that is one component of a path and of nobody else, whatever a file system makes of capitals."""
    text = re.sub(r"[^\w.@+-]+", "_", unicodedata.normalize("NFKC", name)).strip("._-+@")[:60]
    text = text or f"unnamed-{zlib.crc32(name.encode('utf-8', 'replace')):08x}"  # the same in each lab
    student, number = text, 2
    while student.casefold() in taken:
        student, number = f"{text}-{number}", number + 1
    assert STUDENT.fullmatch(student)
    taken.add(student.casefold())
    return student
