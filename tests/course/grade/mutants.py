"""Wrong and right solutions of every exercise: those that tests/labs holds, by the exercise that they belong to.

As a program it prints the table exercise × wrong solution × property × hint.
"""

from dataclasses import dataclass, field
from functools import cache

from solutions import FILES, Recorder, recorded

from labkit.course.grade.exercises import exercises
from labkit.course.run.labs import list_labs


@dataclass
class Mutants:
    """Solutions of one check.

    Attributes:
        right, wrong: name → the functions that the check is given.
        expected: name of a wrong one → what it misses: property → part of its hint.
        stubs: the functions of an untouched exercise.
    """

    right: dict[str, tuple] = field(default_factory=dict)
    wrong: dict[str, tuple] = field(default_factory=dict)
    expected: dict[str, dict[str, str]] = field(default_factory=dict)
    stubs: list[tuple] = field(default_factory=list)


@cache
def mutants() -> dict[str, Mutants]:
    """Solutions by name of their check, e.g. "labkit.labs.lab03.elbo.elbo"."""
    found: dict[str, Mutants] = {}
    for path in FILES:
        recorder = recorded(path, Named())
        for kind in ("right", "wrong", "expected"):
            for check, name, solution in recorder.named[kind]:
                getattr(found.setdefault(name_of(check), Mutants()), kind)[name] = solution
        for check, solution in recorder.stubs:
            found.setdefault(name_of(check), Mutants()).stubs.append(solution)
    return found


class Named(Recorder):
    """A recorder that also remembers what each solution is called."""

    def __init__(self):
        super().__init__()
        self.named = {"right": [], "wrong": [], "expected": []}

    def right(self, check, solution):
        super().right(check, solution)
        self._name("right", check, solution)

    def wrong(self, check, solution, expected):
        super().wrong(check, solution, expected)
        self.named["expected"].append((check, self._name("wrong", check, solution), expected))

    def _name(self, kind, check, solution):
        words = [each for each in self.case.values() if isinstance(each, str)]
        number = sum(each is check for each, _, _ in self.named[kind]) + 1
        name = words[-1] if words else f"{kind} {number}"
        self.named[kind].append((check, name, solution))
        return name


def name_of(check) -> str:
    """Module and name of a check."""
    return f"{check.__module__}.{check.__qualname__}"


def all_exercises():
    """(lab, grade id, exercise) of every check that a notebook runs for points."""
    for lab in list_labs():
        for grade_id, checks in exercises(lab.path).items():
            for each in checks:
                yield lab, grade_id, each


def table() -> str:
    """Markdown: what each wrong solution misses, and what it is told."""
    lines = ["| lab | exercise | wrong solution | misses | hint |", "| --- | --- | --- | --- | --- |"]
    for lab, grade_id, exercise in all_exercises():
        check = exercise.load()
        for name, solution in mutants()[name_of(check)].wrong.items():
            for each in check(*solution):
                if not each.passed:
                    hint = each.hint.replace("|", "\\|")
                    lines.append(f"| {lab.number} | {grade_id} | {name} | {each.name} | {hint} |".replace("\n", " "))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
