"""Finds what students handed in: a folder or a zip, with a file, a folder or a zip for each student.

Names are understood as Moodle, Canvas, Blackboard, Google Classroom and Gradescope write them. Nothing is followed or
extracted: plain files only, read up to a limit, and names become harmless ones. A sentence quotes a name by
repr, since it may hold what no file or terminal should.
"""

import io
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zipfile import ZipInfo

from labkit.course.grade.layout import STUDENT, Place
from labkit.course.run.labs import Lab
from labkit.data.safe_zip import SafeZip, entry_of, is_bomb, is_unsafe, list_entries, parts, refusal
from labkit.errors import LabkitError

DEPTH = 20
MAX_FILES = 20_000
MAX_ZIP_BYTES = 200_000_000  # of a student's zip within a zip, which is held in memory while it is looked at
WRAPPERS = re.compile(r"submitted|submissions|assignment_\d+_export|lab\d\d[a-z]?", re.IGNORECASE)
# How systems name what they hand out: whose it is, and the file as the student called it.
MOODLE = re.compile(
    r"(?P<who>(?P<name>.+?)(?:_(?P<participant>\d+))?)_assignsubmission_(?:[a-z]+_?)?(?P<file>.*)", re.DOTALL
)
BLACKBOARD = re.compile(r"(?P<who>.+)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:\.txt|_(?P<file>.*))?", re.DOTALL)
CANVAS = re.compile(r"(?P<who>[^_]+)(?P<late>_late)?_(?P<id>\d+)_\d+_(?P<file>.+)", re.IGNORECASE | re.DOTALL)
CLASSROOM = re.compile(r"(?P<who>.+?) - (?P<file>.+)", re.DOTALL)
GRADESCOPE = re.compile(r"submission_\d+")
METADATA = "submission_metadata.yml"
SUBMITTER = re.compile(r"""\s*(?P<first>- *)?:?(?P<key>name|sid|email): *["']?(?P<value>.+?)["']?\s*""")
# What mail programs, browsers and file systems make of a notebook's ending, and of its name.
ENDING = re.compile(r"(\.ipynb(\.(txt|json|ipynb))*|\.json)$", re.IGNORECASE)
COPY = re.compile(r"[ _]*\((?P<number>\d+)\)$|[ _-]+copy ?\d*$|(?<=[^\d])-(?P<attempt>\d{1,2})$", re.IGNORECASE)


class RefusedError(LabkitError):
    """A submission that cannot be taken; its message is the reason, for student and instructor."""


@dataclass(frozen=True)
class Member:
    """One file of what was handed in."""

    parts: tuple[str, ...]  # its path's components, the student's first
    modified: float  # seconds since 1970 by its own folder or zip; 0 if unknown
    read: Callable[[int], bytes]  # its bytes; raises RefusedError where it has more than the limit
    refused: str = ""  # why it may not be read, empty if it may
    written: float = 0.0  # the same as its maker's own zip has it: to choose between files, never to tell who is late


@dataclass(frozen=True)
class Named:
    """What the name of a file, folder or zip says.

    Attributes:
        who: the student; empty if it says nothing of one.
        file: the file's name as the student chose it, with a notebook's plain ending and no mark of a copy.
        attempt: by which newer ones are told from older ones where dates say nothing.
        when: seconds since 1970, where the name says it; 0 elsewhere.
        user: a number that tells people of one name apart.
        person: what its system knows the student by: system, name, id, email.
        note: what else is to be said.
    """

    who: str = ""
    file: str = ""
    attempt: int = 0
    when: float = 0.0
    user: str = ""
    person: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one lab: a notebook, or the reason why there is none.

    Attributes:
        person: what the system that it comes from knows the student by: system, name, id, email; as far as it says.
    """

    student: str
    modified: float = 0.0
    taken: str = ""
    read: Callable[[int], bytes] | None = None
    refused: str = ""
    notes: list[str] = field(default_factory=list)
    person: dict[str, str] = field(default_factory=dict)


def collect(source: Path, lab: Lab) -> tuple[list[Submission], list[str]]:
    """Submissions for `lab` in a folder or zip, one per student, and a sentence for each file left out.

    Raises:
        LabkitError: `source` is neither a folder nor a zip that can be read.
    """
    groups: dict[str, list[tuple[Member, Named]]] = defaultdict(list)
    left_out: list[str] = []
    members = list(_members(source, lab))
    teams, people = _gradescope(members)
    classroom = _is_classroom(members, lab)
    named = [(member, _named(member, classroom)) for member in members if member.parts[-1:] != (METADATA,)]
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
        if (chosen := _choose(groups[name], lab)) is None:
            left_out.append(f"{name!r}: nothing in it is for {Place(source, lab).name}.")
            continue
        student = _harmless(name, taken)
        notes = chosen.notes + ([f"handed in as {name!r}, kept as {student}."] if student != name else [])
        if len(groups) == 1 and not people[name] and "notebooks were" in "".join(chosen.notes):
            notes.append("if its folder holds a whole class, give that folder itself to --from.")
        submissions.append(replace(chosen, student=student, notes=notes, person=people[name]))
    return submissions, left_out


def _members(source: Path, lab: Lab) -> Iterator[Member]:
    if source.is_dir():
        found = list(_in_folder(source, ()))
    elif source.suffix.lower() == ".zip" and source.is_file():
        found = list(_in_zip(source))
    else:
        raise LabkitError(f"{source}: is neither a folder nor a zip; give the one that holds what was handed in.")
    tops = {member.parts[0] for member in found if len(member.parts) > 1}
    if len(tops) == 1 and all(len(member.parts) > 1 for member in found):
        top = tops.pop()
        if WRAPPERS.fullmatch(top) or top in (source.stem, lab.stem):
            found = [replace(member, parts=member.parts[1:]) for member in found]
    return iter(found)


def _in_folder(folder: Path, above: tuple[str, ...]) -> Iterator[Member]:
    try:
        entries = sorted(os.scandir(folder), key=lambda each: each.name)
        fault = f"it holds more than {MAX_FILES:,} files" if len(entries) > MAX_FILES else ""
    except OSError as error:
        fault = f"it cannot be opened ({error.strerror})"
    if fault and not above:
        raise LabkitError(f"{folder}: {fault}; give the folder that holds what was handed in.")
    if fault:
        yield Member((*above, folder.name), 0.0, _nothing, fault)
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        where, path = (*above, entry.name), Path(entry.path)
        about = entry.stat(follow_symlinks=False)
        modified = about.st_mtime if 0 < about.st_mtime < 2**33 else 0.0  # a file may be of the year 30,000
        refused = ""
        if stat.S_ISDIR(about.st_mode):
            inner = list(_in_folder(path, where)) if len(where) < DEPTH else []
            # Nobody may be missing from the list because nothing of theirs could be read.
            fault = "its folder is empty" if len(where) < DEPTH else "it lies too deep in folders"
            yield from inner or [Member((*where, entry.name), 0.0, _nothing, fault)]
            continue
        if stat.S_ISLNK(about.st_mode):
            refused = "it is a symbolic link, which is never followed"
        elif not stat.S_ISREG(about.st_mode):
            refused = "it is no plain file"
        elif path.suffix.lower() == ".zip":
            yield from _student_zip(path, where, modified)
            continue
        yield Member(where, modified, lambda limit, path=path: read_file(path, limit), refused)


def _student_zip(path: Path, where: tuple[str, ...], modified: float) -> Iterator[Member]:
    """The members of a student's own zip, dated as the zip is: the dates inside are the student's to choose."""
    above = (*where[:-1], path.stem)
    try:
        for member in _in_zip(path, above, own=True):
            yield replace(member, modified=modified, written=member.modified)
    except LabkitError:
        yield Member((*above, path.name), modified, _nothing, "it is no zip that can be read")


def _in_zip(path: Path, above: tuple[str, ...] = (), *, own: bool = False) -> Iterator[Member]:
    """The members of a zip; of one that holds everybody's, also those of the students' own zips within it."""
    archive, entries = SafeZip(path), list_entries(path)
    if len(entries) > MAX_FILES:
        raise LabkitError(f"{path}: holds more than {MAX_FILES:,} files; that is no set of submissions.")
    for info in entries:
        if (inside := _inside(info)) is None:
            continue
        read = _reader(archive, info)
        refused = refusal(info) or ""
        if refused or not inside[-1].lower().endswith(".zip"):
            refused = refused or ("it swells as no notebook does" if is_bomb(info) else "")
            yield Member((*above, *inside), _time(info), read, refused)
        elif own:
            yield Member((*above, *inside), _time(info), _nothing, "it is a zip within a zip")
        else:
            yield from _in_nested(read, (*inside[:-1], Path(inside[-1]).stem), _time(info))


def _in_nested(read: Callable[[int], bytes], above: tuple[str, ...], modified: float) -> Iterator[Member]:
    """The members of a student's zip within a zip, dated as the outer one dates it."""
    try:
        with zipfile.ZipFile(io.BytesIO(read(MAX_ZIP_BYTES))) as archive:
            entries = [info for info in archive.infolist() if not info.is_dir()]
        if len(entries) > MAX_FILES:
            raise RefusedError("it holds too many files")
    except (RefusedError, zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError):
        yield Member((*above, f"{above[-1]}.zip"), modified, _nothing, "it is no zip that can be read")
        return
    for info in entries:
        if (inside := _inside(info)) is not None:
            refused = refusal(info) or ("it swells as no notebook does" if is_bomb(info) else "")
            if inside[-1].lower().endswith(".zip"):
                refused = "it is a zip within a zip"
            yield Member((*above, *inside), modified, _nested_reader(read, info), refused, _time(info))


def _inside(info: ZipInfo) -> tuple[str, ...] | None:
    """The path of an entry; None for what file managers leave behind."""
    inside = tuple(parts(info.filename))
    if inside[0] == "__MACOSX" or any(part.startswith(".") for part in inside if part.strip(".")):
        return None
    return tuple(info.orig_filename.split("/")) if refusal(info) == "unsafe path" else inside


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


def _named(member: Member, classroom: bool) -> Named:
    """What the first component of a member's path says, and the file's own name."""
    first, last = member.parts[0][:255], member.parts[-1][-255:]  # the patterns' time grows with the square
    loose = len(member.parts) == 1 and ENDING.search(first)
    patterns = {"blackboard": BLACKBOARD, "canvas": CANVAS, "moodle": MOODLE} | (
        {"": CLASSROOM} if loose and classroom else {}
    )
    matches = ((system, pattern.fullmatch(first)) for system, pattern in patterns.items())
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
    try:
        return datetime.strptime(text, "%Y-%m-%d-%H-%M-%S").timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _plain(name: str) -> tuple[str, int]:
    """A file's name without what was added to it in saving, and the number of the copy."""
    name = re.sub(r" ?\((\d+)\)(?=\.[a-z]|$)", r"(\1)", name, flags=re.IGNORECASE)
    number, ending = 0, ""
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
        team: list[dict[str, str]] | None = None
        for line in lines:
            if GRADESCOPE.fullmatch(line.rstrip(":")):
                team = teams.setdefault(line.rstrip(":"), [])
            elif team is not None and (found := SUBMITTER.fullmatch(line[:1000])):
                if found["first"]:
                    team.append({"system": "gradescope"})
                if team:
                    team[-1]["id" if found["key"] == "sid" else found["key"]] = found["value"]
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


def _choose(members: list[tuple[Member, Named]], lab: Lab) -> Submission | None:
    """The one notebook that counts; None if all that is there belongs to other labs."""
    mine = [each for each in members if not _of_another_lab(*each, lab)]
    if not mine:
        return None
    notebooks = [each for each in mine if _is_notebook(*each)]
    exact = [each for each in notebooks if ENDING.sub("", each[1].file).lower() == lab.stem.lower()]
    pool = exact or [each for each in notebooks if not each[1].file.endswith(".json")] or notebooks
    if not pool:
        reasons = [member.refused for member, _ in mine if member.refused]
        held = ", ".join(repr(member.parts[-1][:60]) for member, _ in mine[:3])
        return Submission(
            "", refused=f"no notebook was handed in{f': {reasons[0]}' if reasons else f', but {held}'}."
        )
    newest, named = max(pool, key=_age)
    modified, taken = named.when or newest.modified, "/".join(newest.parts)
    if newest.refused:
        return Submission("", modified, taken, refused=f"{newest.parts[-1]!r}: {newest.refused}.")
    which = f"{newest.parts[-1][:60]!r}, the one named as the lab" if len(pool) < len(notebooks) else "the newest one"
    notes = [f"{len(notebooks)} notebooks were handed in; {which} counts."] if len(notebooks) > 1 else []
    return Submission("", modified, taken, newest.read, notes=notes + ([named.note] if named.note else []))


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


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a plain file; no link is followed, no pipe waited for.

    Raises:
        RefusedError: it is something else, cannot be read, or has more than `limit` bytes.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise RefusedError(f"it cannot be read ({error.strerror}).") from error
    with os.fdopen(handle, "rb") as stream:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise RefusedError("it is no plain file.")
        if about.st_size > limit:
            raise RefusedError(_too_large(about.st_size, limit))
        return stream.read(limit + 1)[:limit]


def _reader(archive: SafeZip, info: ZipInfo) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        if info.file_size > limit:
            raise RefusedError(_too_large(info.file_size, limit))
        try:
            return archive.read(entry_of(info), limit)
        except LabkitError as error:
            raise RefusedError(f"it cannot be read from its zip ({getattr(error, 'reason', error)}).") from error

    return read


def _nested_reader(outer: Callable[[int], bytes], info: ZipInfo) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(outer(MAX_ZIP_BYTES))) as archive, archive.open(info) as stream:
                data = stream.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, OSError, EOFError, RuntimeError) as error:
            raise RefusedError(f"it cannot be read from its zip ({type(error).__name__}).") from error
        if len(data) > limit:
            raise RefusedError(_too_large(len(data), limit))
        return data

    return read


def _nothing(limit: int) -> bytes:
    raise RefusedError("it cannot be read.")


def _too_large(size: int, limit: int) -> str:
    return f"it has {size / 1e6:,.0f} MB, more than the {limit / 1e6:,.0f} MB that are taken."


def _time(info: ZipInfo) -> float:
    try:
        return datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
