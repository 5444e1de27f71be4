"""Download one file: whole and verified under its final name, or not there at all."""

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pooch
import requests
import urllib3
from tqdm import tqdm

from labkit.data.safe_zip import is_html
from labkit.errors import LabkitError
from labkit.files import atomic_path
from labkit.files import sha256 as file_sha256

BACKOFF_SECONDS = 0.5
GRACE_SECONDS = 0.5
SILENCE_SECONDS = 20.0


class _RefusedError(Exception):
    """This address will not give the file, however often it is asked."""


class _BrokenOffError(Exception):
    """The transfer broke off; asking again may help."""


def fetch(
    urls: str | Sequence[str],
    sha256: str,
    target: str | Path,
    *,
    size: int | None = None,
    retries: int = 3,
    timeout: float = 60.0,
    digest: Callable[[Path], str] = file_sha256,
) -> Path:
    """Download one file from the first address that gives it.

    Every address is asked in turn, up to `retries` rounds with growing pauses; one that refuses (403, 404),
    cannot be reached, sends an HTML page or another file is not asked again. A file already at `target` with
    the right SHA-256 is kept.

    Args:
        urls: the address, or the official one followed by mirrors.
        sha256: hexadecimal digest that the file must have.
        target: final path of the file.
        size: bytes of the file, where known; told to whoever must fetch it by hand.
        retries: how often an address that fails in passing is asked.
        timeout: seconds for everything, pauses included; a server that hangs or trickles cannot exceed it.
        digest: how `sha256` is taken from a file, where its publisher gives another kind of checksum.

    Returns:
        `target`.

    Raises:
        LabkitError: no address gave the file (the sentence says what was tried and how to fetch it by hand),
            or `target` cannot be written.
    """
    addresses = [urls] if isinstance(urls, str) else list(urls)
    target = Path(target)
    if target.is_file() and digest(target) == sha256:
        return target
    pooch.get_logger().setLevel("WARNING")
    transfer = _Transfer(time.monotonic() + timeout, target.name)
    with (
        atomic_path(target) as temporary,
        tempfile.TemporaryDirectory(prefix=".labkit-", dir=temporary.parent, ignore_cleanup_errors=True) as folder,
    ):
        try:
            failures = _first_success(addresses, (sha256, digest), Path(folder) / target.name, retries, transfer)
        finally:
            transfer.cancelled.set()
        if failures is not None:
            label = "SHA-256" if digest is file_sha256 else digest.__name__
            raise LabkitError(_manual_steps(failures, addresses[0], f"{label} {sha256}", target, size))
        os.replace(Path(folder) / target.name, temporary)
    return target


class _Transfer:
    """A downloader in pooch's sense, with a deadline that holds while bytes trickle in."""

    def __init__(self, deadline: float, label: str) -> None:
        self.deadline = deadline
        self.label = label
        self.cancelled = threading.Event()

    @property
    def seconds_left(self) -> float:
        return 0.0 if self.cancelled.is_set() else max(0.0, self.deadline - time.monotonic())

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        # A third of what is left, so that one silent server leaves time for the others.
        silence = min(SILENCE_SECONDS, max(0.1, self.seconds_left / 3))
        headers = {"Accept-Encoding": "identity", "User-Agent": "labkit"}
        with requests.get(url, stream=True, timeout=silence, headers=headers) as response:
            _check_status(response)
            total = int(response.headers.get("content-length", 0))
            received = 0
            with (
                open(output_file, "wb") as stream,
                tqdm(desc=self.label, total=total or None, unit="B", unit_scale=True, delay=1) as bar,
            ):
                # read1, unlike iter_content, hands over what has come instead of waiting for a full block.
                while block := response.raw.read1(1 << 18):
                    if not received:
                        _check_not_html(block, response.headers.get("content-type", ""))
                    if not self.seconds_left:
                        raise TimeoutError
                    stream.write(block)
                    received += len(block)
                    bar.update(len(block))
        if not received:
            raise _RefusedError(f"{response.status_code} {response.reason}, but no content")


def _first_success(
    addresses: list[str],
    expected: tuple[str, Callable[[Path], str]],
    destination: Path,
    retries: int,
    transfer: _Transfer,
) -> dict[str, str] | None:
    """Ask the addresses until one gives the file; None then, else address → why it failed."""
    failures: dict[str, str] = {}
    waiting = list(addresses)
    for attempt in range(retries):
        if attempt:
            time.sleep(min(BACKOFF_SECONDS * 2 ** (attempt - 1), transfer.seconds_left))
        for url in list(waiting):
            if not transfer.seconds_left:
                failures.setdefault(url, "no time left to ask")
                continue
            try:
                _attempt(url, expected, destination, transfer)
                return None
            except _RefusedError as refusal:
                failures[url] = str(refusal)
                waiting.remove(url)
            except _BrokenOffError as interruption:
                failures[url] = str(interruption)
        if not waiting or not transfer.seconds_left:
            break
    return failures


def _attempt(url: str, expected: tuple[str, Callable[[Path], str]], destination: Path, transfer: _Transfer) -> None:
    """One try at one address, its every failure turned into `_RefusedError` or `_BrokenOffError`."""
    checksum, digest = expected
    known = checksum if digest is file_sha256 else None

    def retrieve() -> None:
        pooch.retrieve(url, known_hash=known, fname=destination.name, path=destination.parent, downloader=transfer)
        if known is None and digest(destination) != checksum:
            destination.unlink()
            raise ValueError

    try:
        _within(transfer.seconds_left + GRACE_SECONDS, retrieve)
    except TimeoutError:
        raise _BrokenOffError("time limit reached") from None
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise _BrokenOffError("no answer in time") from None
    except requests.ConnectionError as error:
        unreachable = error.args and isinstance(error.args[0], urllib3.exceptions.MaxRetryError)
        raise (_RefusedError("cannot be reached") if unreachable else _BrokenOffError("connection lost")) from None
    except urllib3.exceptions.HTTPError:
        raise _BrokenOffError("connection cut") from None
    except requests.RequestException as error:
        raise _RefusedError(type(error).__name__) from None
    except ValueError:
        raise _RefusedError(
            f"another file than expected ({'SHA-256' if known else digest.__name__} differs)"
        ) from None


def _within(seconds: float, action: Callable[[], None]) -> None:
    """Run `action`, but give up on it in time: looking up a host name heeds no limit of its own."""
    outcome: Future[None] = Future()

    def work() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True, name="labkit-fetch").start()
    outcome.result(timeout=seconds)


def _check_status(response: requests.Response) -> None:
    if response.status_code == 429 or response.status_code >= 500:
        raise _BrokenOffError(f"{response.status_code} {response.reason}")
    if response.status_code >= 400:
        raise _RefusedError(f"{response.status_code} {response.reason}")


def _check_not_html(start: bytes, content_type: str) -> None:
    """Quota and log-in pages come with status 200 and often under the name of the data."""
    if is_html(start) or content_type.startswith("text/html"):
        title = re.search(rb"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
        quoted = f' titled "{title[1].decode("utf-8", "replace").strip()[:80]}"' if title else ""
        raise _RefusedError(f"an HTML page{quoted} instead of the file")


def _manual_steps(failures: dict[str, str], url: str, checksum: str, target: Path, size: int | None) -> str:
    tried = "; ".join(f"{address}: {reason}" for address, reason in failures.items())
    weight = f"{size:,} bytes, " if size else ""
    return (
        f"{target.name} could not be downloaded ({tried}); download it by hand from {url} and save it as "
        f"{target} ({weight}{checksum})."
    )
