"""Tells whose each file is that was handed in, and which notebook of a student counts.

Names, of which `names` tells what they say, become harmless ones. A sentence quotes a name by repr, since it may
hold what no file or terminal should.
"""

import os
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from labkit.attempts import ATTEMPTS
from labkit.course.grade.intake.members import REMEDY, Member, RefusedError, members_of
from labkit.course.grade.intake.names import CLASSROOM, ENDING, METADATA, OF_A_CLASS, Named, gradescope, read_name
from labkit.course.grade.layout import STUDENT, Place
from labkit.course.run.labs import Lab
from labkit.safe_zip import is_unsafe

WRAPPERS = re.compile(r"submitted|submissions|assignment_\d+_export|lab\d\d[a-z]?", re.IGNORECASE)


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
    teams, people = gradescope(members)
    classroom = _is_classroom(members, lab)
    files = [member for member in members if member.parts[-1:] != (METADATA,)]
    said = _without_assignment([(member, read_name(member, lab if classroom else None)) for member in files])
    loose = _loose_owners(said, lab)
    users = defaultdict(set)
    for _, each in said:
        users[each.who].add(each.user)
    for member, each in said:
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


def identity(person: object) -> str:
    """What a system knows a person by, "" where it says no more than a name; a number alone may be a team's."""
    if not isinstance(person, dict) or not (number := person.get("id") or person.get("email")):
        return ""
    return f"{person.get('system')} {number} {person.get('name')}"


def told_apart(submission: Submission, known: dict[str, str]) -> Submission:
    """The submission under the name that its person had in earlier batches, and under nobody else's of that name.

    Args:
        known: student → `identity`; the submission's is added.
    """
    own, student = identity(submission.person), submission.student
    if own and own in known.values():
        student = next(name for name, other in known.items() if other == own)
    elif own and known.get(student):
        number = submission.person.get("id") or submission.person["email"]
        student = _harmless(f"{student}_{number}", {name.casefold() for name in known})
    known[student] = own or known.get(student, "")
    if student == submission.student:
        return submission
    said = f"two people of one name are told apart by their numbers; this one is kept as {student}."
    return replace(submission, student=student, notes=[*submission.notes, said])


def _unwrapped(found: list[Member], source: Path, lab: Lab) -> list[Member]:
    """The members without the folder that holds them all, where it is no student's."""
    tops = {member.parts[0] for member in found if len(member.parts) > 1}
    if len(tops) == 1 and all(len(member.parts) > 1 for member in found):
        top, inner = tops.pop(), {member.parts[1] for member in found} - {METADATA, "index.html"}
        a_class = len(inner) > 1 and all(any(form.fullmatch(name[:255]) for form in OF_A_CLASS) for name in inner)
        if WRAPPERS.fullmatch(top) or top in (source.stem, lab.stem) or a_class:
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


def _owners(member: Member, named: Named, lab: Lab, loose: dict[str, str], several: bool) -> list[str]:
    """The student's name as it was handed in; none if it cannot be told."""
    if named.who:
        return [f"{named.who}_{named.user}" if several and named.user else named.who]
    if len(member.parts) > 1:
        own = _bare(ENDING.sub("", member.parts[0]), lab)
        return [own] if own else []  # a zip as `labkit submit` names it, from a student nobody named
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
    found = re.match(r"(\d\d[a-z]?)_", named.file) if len(member.parts) > 1 or named.who else None
    if not found or (number := found[1]) == lab.number:
        return False
    # Two digits may be a day or a group's: a lab's begin with 0, have a letter, or are those of a notebook beside it.
    return number[0] == "0" or len(number) > 2 or any(lab.path.parent.glob(f"{number}_*.ipynb"))


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
