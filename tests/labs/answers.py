"""Answers of strangers to the exercises, right and wrong, kept as text in tests/labs/answers.

A file is named as its exercise's task (`Task.id`). Under `# right: name` or `# wrong: name` stands an answer:
the body of the function, indented, or whole functions, of which the model solution has those that are missing.
Under `# right by change` or `# wrong by change` each line is the file's first answer, or the model solution, with
`old → new` exchanged.

As a program: `python tests/labs/answers.py [part of a task's id …]` prints the answers that are misjudged.
"""

import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mutation import Task, functions, tasks

from labkit.checking import Property, hold_again

FILES = sorted(Path(__file__).with_name("answers").glob("*.txt"))


@dataclass(frozen=True)
class Answer:
    """A stranger's answer: whether it is right, its source, whole functions."""

    task: Task
    name: str
    right: bool
    source: str

    def functions(self) -> tuple[Any, ...]:
        """What the check is given."""
        return functions(f"{self.task.before}\n{self.task.source}", self.source, self.task.names)


@cache
def answers(path: Path) -> tuple[Answer, ...]:
    """All answers of one file."""
    task = next(each for each in tasks() if each.id == path.stem)
    found, base = [], ""
    for section in path.read_text(encoding="utf-8").split("\n# ")[1:]:
        title, text = section.split("\n", 1)
        kind, _, name = title.partition(": ")
        if name:
            base = base or text
            found.append((name, kind, text))
            continue
        for line in filter(None, map(str.strip, text.splitlines())):
            old, _, new = line.partition(" →")
            text = base or task.source
            assert old in text, (path.stem, old)
            found.append((line, kind.split()[0], text.replace(old, new.lstrip().replace("⏎", "\n    "))))
    assert len({name for name, *_ in found}) == len(found), path.stem
    return tuple(Answer(task, name, kind == "right", _whole(task, text)) for name, kind, text in found)


def _whole(task: Task, text: str) -> str:
    if "def " in text.replace("\n    ", "    ") and text.lstrip("\n").startswith(("def ", "class ", "import ")):
        return text
    signature = next(line for line in task.source.splitlines() if line.startswith(f"def {task.names[0]}("))
    return f"{signature}\n{text}"


def judged(answer: Answer, again: bool = False) -> list[Property]:
    """The missed properties, of the check or of the hidden test's inputs."""
    found: list[Property] = []

    def check(*solution: Any) -> list[Property]:
        found.extend(answer.task.check(*solution))
        return []

    torch.manual_seed(0)
    np.random.seed(0)
    with np.errstate(all="ignore"):
        hold_again(check, *answer.functions()) if again else check(*answer.functions())
    return [each for each in found if not each.passed]


if __name__ == "__main__":
    import time

    warnings.simplefilter("ignore")
    for path in FILES:
        if len(sys.argv) > 1 and not any(word in path.stem for word in sys.argv[1:]):
            continue
        start, every = time.monotonic(), answers(path)
        bad = {True: [0, 0], False: [0, 0]}
        for each in every:
            for again in (False, True):
                missed = judged(each, again)
                stopped = [m.hint for m in missed if "stopped with" in m.hint and "(raises)" not in each.name]
                if bool(missed) == each.right or stopped:
                    bad[each.right][again] += bool(missed) == each.right
                    said = f"{missed[0].name}: {missed[0].hint}" if missed else "passes"
                    print(
                        "  ", "again" if again else "check", "right" if each.right else "wrong", each.name, "|", said
                    )
        rights = sum(each.right for each in every)
        print(
            f"{path.stem}: {rights} right, refused {bad[True]}; {len(every) - rights} wrong, passed {bad[False]}; "
            f"{time.monotonic() - start:.1f} s",
            flush=True,
        )
