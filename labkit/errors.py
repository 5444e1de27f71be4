"""The exceptions of the kit that a person is meant to read, and how they name what was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


class _BriefError(Exception):
    """Shown in a notebook as its message alone: where in the kit it was raised helps nobody who reads it."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class LabkitError(_BriefError):
    """Bad input, met at the door: one sentence that names the file, what is wrong, and what to do.

    The command line prints it without a trace and exits with status 2.
    """


class CheckFailed(_BriefError, AssertionError):  # noqa: N818 - students read the name
    """An exercise misses a property that `run.check` asked for; the hints are printed above it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error sentence: "; did you mean …?" where a known name is close, else all of them."""
    known = {each.lower(): each for each in known}
    close = [known[each] for each in get_close_matches(name.lower(), known, n=2, cutoff=0.6)]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; choose among {', '.join(known.values())}." if known else "."
