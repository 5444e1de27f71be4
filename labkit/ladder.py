"""The ladder of hints: where at the first failed answer, why at the second, what to write at the third."""

import ast
import hashlib
import inspect
import json
import re
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.attempts import ATTEMPTS, read_attempts, tried
from labkit.checking import AGAIN, STOPPED, STUB, UNEARNED, Hint, Property
from labkit.translations import say

TOP = 3
# Signs of a formula or of code, which only the third rung shows.
FORMULA = re.compile(r"[=½√²·‖Σ∫π]|\w\(|\bexp\b|\blog\b")
SHOWS_HOW = re.compile(r"[=½√²‖Σ]|\w\(|\bexp\b")
MEASURED = re.compile(r"\d\.\d|\binf")  # what came, with its numbers, gives nothing away
NEXT = {
    1: "You are on the way. A new answer that misses too gets the likely mistake named.",
    2: "You are close. A new answer that misses too gets the formula.",
    3: "All you need is above: compare your code with it, one term at a time.",
}


def answer_of(functions: Sequence[Any], properties: Sequence[Property]) -> str:
    """A short name of an answer: the same for the same code, whatever its comments and blank lines.

    Returns:
        the names of the functions, a dash, and a hash of their source; of the missed properties where there is none.
    """
    try:
        code = [ast.dump(ast.parse(textwrap.dedent(inspect.getsource(each)))) for each in functions if callable(each)]
    except (OSError, TypeError, SyntaxError):
        code = []
    said = code or [(each.name, each.hint) for each in properties if not each.passed]
    names = "+".join(getattr(each, "__name__", "answer") for each in functions if callable(each))
    return f"{names}-{hashlib.blake2b(repr(said).encode(), digest_size=6).hexdigest()}"


def climb(folder: Path, lab: str, exercise: str, answer: str, properties: Sequence[Property]) -> int:
    """Log an attempt and say on which rung it stands: 1 to 3, by the different answers that failed so far.

    The stub is no attempt. A folder that cannot be written keeps nothing, and the check goes on.
    """
    failed = [each.name for each in properties if not each.passed]
    if any(each.hint == STUB for each in properties):
        return 1
    answers, _ = tried(read_attempts(folder), lab, exercise, answer.rpartition("-")[0])
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "lab": lab,
        "exercise": exercise,
        "passed": not failed,
        "failed": failed,
        "answer": answer,
    }
    try:
        path = folder / ATTEMPTS
        torn = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * bool(torn) + json.dumps(line, ensure_ascii=False) + "\n")
    except OSError:
        pass
    return min(len(answers | {answer}), TOP)


def place(folder: Path, exercise: str) -> str:
    """The heading in a notebook of the folder under which an exercise stands; empty if it is not found."""
    for path in sorted(folder.glob("*.ipynb")):
        heading = ""
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            for cell in cells:
                text = "".join(cell["source"])
                if cell["cell_type"] == "markdown":
                    heading = (re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE) or [heading])[-1]
                elif re.search(rf"run\.check\(lab\d+\.{exercise}\b", text):
                    return heading
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return ""


def report(properties: Sequence[Any], rung: int | None = None, section: str = "") -> list[str]:
    """Lines that say of each property whether it holds, each hint once.

    Args:
        rung: 1 to 3; None shows the whole hint without the ladder.
        section: where the text explains it; the third rung names it.
    """
    also = {AGAIN: "(blocked by the error above)", UNEARNED: "(holds, but counts only with another one)"}
    lines, named = [], False
    for each in properties:
        lines.append(f"{'✓' if each.passed else '✗'} {say(each.name)} {say(also.get(each.hint, ''))}".rstrip())
        if not each.passed and each.hint not in also:
            steps = [f"{say('hint')}: {_whole(each)}"] if rung is None else _steps(each, rung)
            # A sentence without a case names the mistake itself. Measured numbers alone do not.
            told = STOPPED in each.hint or not (each.where or MEASURED.search(each.why))
            named = named or told or any(step.startswith(f"{say('why')}: ") for step in steps)
            lines += [line for line in (f"    {step}" for step in steps) if line not in lines]
    missed = any(not each.passed and each.hint != STUB for each in properties)
    if rung and missed and not any(each.hint == STUB for each in properties):
        if rung >= 2 and not named:
            lines.append(say("No common mistake gives this: follow the smallest case by hand, line by line."))
        if rung == TOP and section:
            lines.append(say(f"The text on it: “{section}”."))
        lines.append(say(NEXT[rung]))
    return lines


def _whole(missed: Property) -> str:
    """The hint in the language of the release, sentence by sentence; as it is where it has no parts."""
    return Hint(*map(say, (missed.where, missed.why, missed.formula))).text() or say(missed.hint)


def _steps(missed: Property, rung: int) -> list[str]:
    """What the rungs up to this one say of a missed property."""
    if missed.hint == STUB or STOPPED in missed.hint:
        return [_whole(missed)]
    why = say(missed.why)
    mistake, _, remedy = why.partition(": ")
    if not missed.where:  # what came is then the first half of the sentence
        told = MEASURED.search(mistake) or not SHOWS_HOW.search(mistake)
        where = _closed(mistake) if told else say("it does not hold for the inputs tried.")
    else:
        where = say(missed.where)
    write = ""
    if remedy and FORMULA.search(remedy) and not remedy.endswith("?"):
        why, write = _closed(mistake), remedy
    steps = [f"{say('where')}: {where}"]
    if rung >= 2 and why and why != where:
        steps.append(f"{say('why')}: {why}")
    if rung >= TOP:
        steps += [f"{say('write')}: {each}" for each in dict.fromkeys(filter(None, (write, say(missed.formula))))]
    return steps


def _closed(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
