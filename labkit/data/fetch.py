"""Download one file: whole and verified under its final name, or not there at all."""

import contextlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pooch
import requests
import urllib3

from labkit.errors import LabkitError
from labkit.files import atomic_path, write_text
from labkit.files import sha256 as file_sha256
from labkit.safe_zip import is_html

SILENCE_SECONDS = 20.0
RETRY_AFTER_SECONDS = 3600.0
CHEAP_SECONDS = 2.0


def fetch(
    urls: str | Sequence[str],
    sha256: str,
    target: str | Path,
    *,
    timeout: float = 60.0,
    digest: Callable[[Path], str] = file_sha256,
) -> Path:
    """Download one file from the first address that gives it; each is asked once.

    A file already at `target` with the right digest is kept.

    Args:
        urls: the address, or the official one followed by mirrors.
        sha256: hexadecimal digest that the file must have.
        timeout: seconds for everything; a server that hangs or trickles cannot exceed it.
        digest: how `sha256` is taken from a file, where its publisher gives another kind of checksum.

    Raises LabkitError: no address gave the file (the sentence says what was tried and how to fetch it by hand), or
        `target` cannot be written.
    """
    addresses, target = [urls] if isinstance(urls, str) else list(urls), Path(target)
    if target.is_file() and digest(target) == sha256:
        return target
    pooch.get_logger().setLevel("WARNING")
    label = "SHA-256" if digest is file_sha256 else digest.__name__
    transfer, failures = _Transfer(time.monotonic() + timeout), []
    with (
        atomic_path(target) as temporary,
        tempfile.TemporaryDirectory(prefix=".labkit-", dir=temporary.parent, ignore_cleanup_errors=True) as folder,
    ):
        for url in addresses:
            if (reason := transfer.run(url, Path(folder) / target.name)) is None:
                if digest(Path(folder) / target.name) == sha256:
                    os.replace(Path(folder) / target.name, temporary)
                    break
                reason = f"another file than expected ({label} differs)"
                (Path(folder) / target.name).unlink()
            failures.append(f"{url}: {reason}")
        else:
            raise LabkitError(
                f"{target.name} could not be downloaded ({'; '.join(failures)}); download it by hand from "
                f"{addresses[0]} and save it as {target} ({label} {sha256})."
            )
    return target


def unasked(cache: Path, download: Callable[[], Path]) -> Path:
    """The path that `download` gives, for a lab that starts it by itself: not offline, not soon after a slow failure.

    Args:
        cache: folder of the data set, where a failure is remembered for an hour.
        download: a call of `fetch`.

    Raises LabkitError: `LABKIT_OFFLINE` is set, the last try failed slowly less than an hour ago, or `download`
        fails.
    """
    if is_offline():
        raise LabkitError("no download, since LABKIT_OFFLINE is set")
    marker = cache / ".download-failed"
    with contextlib.suppress(OSError):
        if time.time() - marker.stat().st_mtime < RETRY_AFTER_SECONDS:
            earlier = marker.read_text(encoding="utf-8", errors="replace").rstrip(".")
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


def is_offline() -> bool:
    """Whether `LABKIT_OFFLINE` forbids the network."""
    return os.environ.get("LABKIT_OFFLINE", "0").lower() not in ("", "0", "false", "no", "off")


class _RefusedError(Exception):
    """An answer that is not the file."""


class _Transfer:
    """A downloader in pooch's sense, with a deadline that holds while bytes trickle in or a name is looked up."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def run(self, url: str, destination: Path) -> str | None:
        """None once the file is at `destination`, else why it is not."""
        outcome: list[BaseException | None] = []

        def work() -> None:
            try:
                pooch.retrieve(url, known_hash=None, fname=destination.name, path=destination.parent, downloader=self)
                outcome.append(None)
            except BaseException as error:
                outcome.append(error)

        # Looking up a host name heeds no limit, so the work runs beside us; a daemon thread holds up no exit.
        thread = threading.Thread(target=work, daemon=True, name="labkit-fetch")
        thread.start()
        thread.join(max(0.0, self.deadline - time.monotonic()))
        error = outcome[0] if outcome else TimeoutError()
        if isinstance(error, OSError) and error.errno and not isinstance(error, requests.RequestException):
            raise error  # the disk, not the network
        return None if error is None else _reason(error)

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        # A third of what is left, so that one silent server leaves time for the others.
        silence = min(SILENCE_SECONDS, max(0.1, (self.deadline - time.monotonic()) / 3))
        headers = {"Accept-Encoding": "identity", "User-Agent": "labkit"}
        with requests.get(url, stream=True, timeout=silence, headers=headers) as response:
            if response.status_code >= 400:
                raise _RefusedError(f"{response.status_code} {response.reason}")
            with open(output_file, "wb") as stream:
                # read1, unlike iter_content, hands over what has come instead of waiting for a full block.
                while block := response.raw.read1(1 << 18):
                    if not stream.tell():
                        _check_not_html(block, response.headers.get("content-type", ""))
                    if time.monotonic() > self.deadline:
                        raise TimeoutError
                    stream.write(block)
                if not stream.tell():
                    raise _RefusedError(f"{response.status_code} {response.reason}, but no content")


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "time limit reached"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "connection cut"
    return str(error) if isinstance(error, _RefusedError) else type(error).__name__


def _check_not_html(start: bytes, content_type: str) -> None:
    """Quota and log-in pages come with status 200 and often under the name of the data."""
    if is_html(start) or content_type.startswith("text/html"):
        title = re.search(rb"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
        quoted = f' titled "{title[1].decode("utf-8", "replace").strip()[:80]}"' if title else ""
        raise _RefusedError(f"an HTML page{quoted} instead of the file")
