"""Names that the command line needs before torch is imported."""

from collections.abc import Iterable
from difflib import get_close_matches

PROFILES = ("smoke", "cpu", "gpu")
BUDGET_VARIABLE = "LABKIT_BUDGET_SECONDS"  # tells a kernel how long its whole lab may take
LOST = "another one was lost"  # what a process of a group says when one that trains with it has gone


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error sentence: "; did you mean …?" where a known name is close, else all of them."""
    known = {each.lower(): each for each in known}
    close = [known[each] for each in get_close_matches(name.lower(), known, n=2, cutoff=0.6)]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; choose among {', '.join(known.values())}." if known else "."
