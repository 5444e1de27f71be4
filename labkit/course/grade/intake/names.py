"""What the names of files and folders say of whose they are, and which version of what.

As Moodle, Canvas, Blackboard, Brightspace, Google Classroom and Gradescope write them, and as browsers and editors
change them.
"""

import re
import unicodedata
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from labkit.course.grade.intake.members import Member, RefusedError
from labkit.course.run.labs import Lab

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
OF_A_CLASS = (MOODLE, BLACKBOARD, CANVAS, BRIGHTSPACE, GRADESCOPE)  # which a system gives to all of a class
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


def read_name(member: Member, classroom: Lab | None) -> Named:
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


def gradescope(members: list[Member]) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
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
    everybody = [(folder, person) for folder, team in teams.items() for person in team if person.get("name")]
    numbers = defaultdict(set)
    for _, person in everybody:
        numbers[person["name"]].add(person.get("id") or person.get("email"))
    folders: dict[str, list[str]] = defaultdict(list)
    people = {}
    for folder, person in everybody:
        number = person.get("id") or person.get("email")
        several = len(numbers[person["name"]]) > 1 and number
        name = f"{person['name']}_{number}" if several else person["name"]
        folders[folder].append(name)
        people[name] = person
    return folders, people
