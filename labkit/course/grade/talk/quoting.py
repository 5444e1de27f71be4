"""What a hint may quote of a student's kernel: enough to find a mistake by, too little to carry inputs out."""

import builtins
import re
from collections.abc import Iterable

QUOTED_CHARACTERS = 80
NUMBER = re.compile(r"\d[\d.,_]*")
MAX_DIGITS = 3
LIBRARY_ERRORS = frozenset({"AxisError", "EinopsError", "LabkitError", "LinAlgError", "OutOfMemoryError"})


def error_name(names: Iterable[object]) -> str:
    """The first name that Python or a library gave; a class of the student's own is called by its base.

    Args:
        names: of an exception's class and its bases, the nearest first.
    """
    for name in names:
        known = getattr(builtins, name, None) if isinstance(name, str) else None
        if name in LIBRARY_ERRORS or (isinstance(known, type) and issubclass(known, BaseException)):
            return str(name)
    return "Exception"


def error_text(text: str) -> str:
    """The beginning of an exception's text in one line, without numbers of more than three digits."""
    return NUMBER.sub(_short, " ".join(text[: 2 * QUOTED_CHARACTERS].split()))[:QUOTED_CHARACTERS]


def _short(number: re.Match[str]) -> str:
    return number[0] if sum(each.isdigit() for each in number[0]) <= MAX_DIGITS else "…"
