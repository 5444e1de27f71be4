"""Finds what students handed in: a folder or a zip, with a file, a folder or a zip for each student.

Nothing is followed or extracted: plain files only, read up to a limit, and names are turned into harmless ones.
A sentence quotes a name by repr, since it may hold what no file or terminal should.
"""

import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zipfile import ZipInfo

from labkit.course.grade.layout import STUDENT, assignment
from labkit.course.run.labs import Lab
from labkit.data.safe_zip import SafeZip, entry_of, is_bomb, is_unsafe, list_entries, parts, refusal
from labkit.errors import LabkitError

DEPTH = 5
MAX_FILES = 20_000
WRAPPERS = ("submitted", "submissions")
MOODLE = re.compile(r"_assignsubmission_.*$")


class RefusedError(LabkitError):
    """A submission that cannot be taken; its message is the reason, for student and instructor."""


@dataclass(frozen=True)
class Member:
    """One file of what was handed in.

    Attributes:
        parts: its path's components, the student's first.
        modified: seconds since 1970 by its own folder or zip; 0 if unknown.
        written: the same as its maker's own zip has it: to choose between files, never to tell who is late.
        read: its bytes; raises RefusedError where it has more than the limit.
        refused: why it may not be read, empty if it may.
    """

    parts: tuple[str, ...]
    modified: float
    read: Callable[[int], bytes]
    refused: str = ""
    written: float = 0.0


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one lab: a notebook, or the reason why there is none."""

    student: str
    modified: float = 0.0
    read: Callable[[int], bytes] | None = None
    refused: str = ""
    notes: list[str] = field(default_factory=list)


def collect(source: Path, lab: Lab) -> tuple[list[Submission], list[str]]:
    """Submissions for `lab` in a folder or zip, one per student, and a sentence for each file left out.

    Raises:
        LabkitError: `source` is neither a folder nor a zip that can be read.
    """
    groups: dict[str, list[Member]] = defaultdict(list)
    left_out: list[str] = []
    for member in _members(source):
        where = "/".join(member.parts)
        if not member.parts or any(is_unsafe(part) for part in (*member.parts, where)):
            left_out.append(f"{where!r}: leads out of its folder; it was not read.")
        elif name := _owner(member, lab):
            groups[name].append(member)
        else:
            left_out.append(f"{where!r}: it cannot be told whose it is; give it the student's name.")
    submissions, taken = [], set()
    # Whose name is harmless as it is keeps it, whoever else's becomes the same.
    for name in sorted(groups, key=lambda name: (_harmless(name, set()) != name, name)):
        if (chosen := _choose(groups[name], lab)) is None:
            left_out.append(f"{name!r}: nothing in it is for {assignment(lab)}.")
            continue
        student = _harmless(name, taken)
        notes = chosen.notes + ([f"handed in as {name!r}, kept as {student}."] if student != name else [])
        submissions.append(replace(chosen, student=student, notes=notes))
    return submissions, left_out


def _members(source: Path) -> Iterator[Member]:
    if source.is_dir():
        found = list(_in_folder(source, ()))
    elif source.suffix.lower() == ".zip" and source.is_file():
        found = list(_in_zip(source, ()))
    else:
        raise LabkitError(f"{source}: is neither a folder nor a zip; give the one that holds what was handed in.")
    tops = {member.parts[0] for member in found if len(member.parts) > 1}
    if len(tops) == 1 and all(len(member.parts) > 1 for member in found):
        top = tops.pop()
        if top in WRAPPERS or top == source.stem:
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
        refused = ""
        if stat.S_ISDIR(about.st_mode):
            if len(where) < DEPTH:
                yield from _in_folder(path, where)
            continue
        if stat.S_ISLNK(about.st_mode):
            refused = "it is a symbolic link, which is never followed"
        elif not stat.S_ISREG(about.st_mode):
            refused = "it is no plain file"
        elif path.suffix.lower() == ".zip":
            yield from _student_zip(path, where, about.st_mtime)
            continue
        yield Member(where, about.st_mtime, lambda limit, path=path: read_file(path, limit), refused)


def _student_zip(path: Path, where: tuple[str, ...], modified: float) -> Iterator[Member]:
    """The members of a student's own zip, dated as the zip is: the dates inside are the student's to choose."""
    above = (*where[:-1], path.stem)
    try:
        for member in _in_zip(path, above):
            yield replace(member, modified=modified, written=member.modified)
    except LabkitError:
        yield Member((*above, path.name), modified, _nothing, "it is no zip that can be read")


def _in_zip(path: Path, above: tuple[str, ...]) -> Iterator[Member]:
    archive, entries = SafeZip(path), list_entries(path)
    if len(entries) > MAX_FILES:
        raise LabkitError(f"{path}: holds more than {MAX_FILES:,} files; that is no set of submissions.")
    for info in entries:
        inside = tuple(parts(info.filename))
        refused = refusal(info) or ("it swells as no notebook does" if is_bomb(info) else "")
        if inside[0] == "__MACOSX" or any(part.startswith(".") for part in inside if part.strip(".")):
            continue
        if refused == "unsafe path":
            inside = tuple(info.orig_filename.split("/"))
        elif inside[-1].lower().endswith(".zip"):
            refused = "it is a zip within a zip"
        yield Member((*above, *inside), _time(info), lambda limit, i=info: _read_entry(archive, i, limit), refused)


def _owner(member: Member, lab: Lab) -> str:
    """The student's name as it was handed in, empty if none can be told."""
    first = member.parts[0]
    if len(member.parts) == 1:
        stem, dot, ending = first.rpartition(".")
        if ending.lower() != "ipynb" and not member.refused:
            return ""
        first = re.sub(rf"[ _-]*{re.escape(lab.stem)}$", "", stem if dot else first)
    return MOODLE.sub("", first)


def _choose(members: list[Member], lab: Lab) -> Submission | None:
    """The one notebook that counts; None if all that is there belongs to other labs."""
    mine = [member for member in members if not _of_another_lab(member, lab)]
    if not mine:
        return None
    notebooks = [member for member in mine if member.parts[-1].lower().endswith(".ipynb")]
    exact = [member for member in notebooks if member.parts[-1].lower() == lab.path.name.lower()]
    pool = exact or notebooks
    if not pool:
        reasons = [member.refused for member in mine if member.refused]
        return Submission("", refused=f"no notebook was handed in{f': {reasons[0]}' if reasons else ''}.")
    newest = max(pool, key=lambda member: (member.modified, member.written))
    if newest.refused:
        return Submission("", newest.modified, refused=f"{newest.parts[-1]!r}: {newest.refused}.")
    notes = [f"{len(pool)} notebooks were handed in; the newest one counts."] if len(pool) > 1 else []
    return Submission("", newest.modified, newest.read, notes=notes)


def _of_another_lab(member: Member, lab: Lab) -> bool:
    folders = [part for part in member.parts[1:-1] if re.fullmatch(r"lab\d\d[a-z]?", part)]
    if folders:
        return assignment(lab) not in folders
    number = re.match(r"(\d\d[a-z]?)_", member.parts[-1]) if len(member.parts) > 1 else None
    return bool(number) and number.group(1) != lab.number


def _harmless(name: str, taken: set[str]) -> str:
    """A name that is one component of a path and of nobody else, whatever a file system makes of capitals."""
    text = re.sub(r"[^\w.@+-]+", "_", unicodedata.normalize("NFKC", name)).strip("._-+@")[:60] or "unnamed"
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


def _read_entry(archive: SafeZip, info: ZipInfo, limit: int) -> bytes:
    if info.file_size > limit:
        raise RefusedError(_too_large(info.file_size, limit))
    try:
        return archive.read(entry_of(info), limit)
    except LabkitError as error:
        raise RefusedError(f"it cannot be read from its zip ({getattr(error, 'reason', error)}).") from error


def _nothing(limit: int) -> bytes:
    raise RefusedError("it cannot be read.")


def _too_large(size: int, limit: int) -> str:
    return f"it has {size / 1e6:,.0f} MB, more than the {limit / 1e6:,.0f} MB that are taken."


def _time(info: ZipInfo) -> float:
    try:
        return datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
