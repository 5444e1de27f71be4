"""Downloads that a lab starts by itself: not without leave, and not again right after one that failed slowly."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from labkit.errors import LabkitError
from labkit.files import write_text

RETRY_AFTER_SECONDS = 3600.0
CHEAP_SECONDS = 2.0


def unasked_download(cache: Path, download: Callable[[], Path]) -> Path:
    """The path that `download` gives; a slow failure is remembered in `cache` for an hour.

    Args:
        cache: folder of the data set, where the marker of a failure is kept.
        download: a call of `fetch`.

    Raises:
        LabkitError: `LABKIT_OFFLINE` is set, the last try failed slowly less than an hour ago, or `download` fails.
    """
    if os.environ.get("LABKIT_OFFLINE", "0") not in ("", "0"):
        raise LabkitError("no download, since LABKIT_OFFLINE is set")
    marker = cache / ".download-failed"
    with contextlib.suppress(OSError):
        if time.time() - marker.stat().st_mtime < RETRY_AFTER_SECONDS:
            earlier = marker.read_text(encoding="utf-8").rstrip(".")
            raise LabkitError(f"{earlier}; another try follows in an hour, or at once if you delete {marker}")
    start = time.monotonic()
    try:
        path = download()
    except LabkitError as error:
        # What failed at once may well be tried by the next notebook too, what took long may not.
        if time.monotonic() - start > CHEAP_SECONDS:
            with contextlib.suppress(LabkitError):
                write_text(marker, str(error))
        raise
    marker.unlink(missing_ok=True)
    return path
