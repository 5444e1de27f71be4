"""The attempts of a student: a line each in `attempts.jsonl` beside the notebook.

They leave the machine only in the zip of `labkit submit`. Nothing here imports torch, which none of their readers
needs.
"""

import json
from pathlib import Path
from typing import Any

ATTEMPTS = "attempts.jsonl"


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """The lines of a folder's `attempts.jsonl` that can be read, oldest first; none where there is no such file."""
    try:
        return parse_attempts((folder / ATTEMPTS).read_bytes())
    except OSError:
        return []


def parse_attempts(lines: bytes) -> list[dict[str, Any]]:
    """The attempts in the bytes of an `attempts.jsonl`; lines of any other kind are left out."""
    found = []
    for line in lines.decode("utf-8", "replace").splitlines():
        try:
            attempt = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(attempt, dict) and isinstance(attempt.get("answer"), str):
            found.append(attempt)
    return found


def tried(attempts: list[dict[str, Any]], lab: str, exercise: str, names: str) -> tuple[set[str], bool]:
    """The different answers that failed an exercise's check, and whether one has passed.

    Args:
        names: of the functions, with + between them. Lab 00 checks another one too, to show a hint.
    """
    mine = [
        each
        for each in attempts
        if (each.get("lab"), each.get("exercise"), each["answer"].rpartition("-")[0]) == (lab, exercise, names)
    ]
    failed = {each["answer"] for each in mine if each.get("passed") is False}
    return failed, any(each.get("passed") is True for each in mine)
