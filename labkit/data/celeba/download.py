"""Download CelebA from Google Drive or Kaggle: every file whole and verified, or the steps to get it by hand."""

import errno
import hashlib
import importlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from labkit.data.celeba.source import open_source
from labkit.data.safe_zip import is_html
from labkit.errors import LabkitError

ATTEMPTS = 4
BACKOFF_SECONDS = 5.0
SILENCE_SECONDS = 60.0
IMAGES = 202_599
HOME_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
KAGGLE_HANDLE = "jessicali9530/celeba-dataset"
KAGGLE_PAGE = f"https://www.kaggle.com/datasets/{KAGGLE_HANDLE}"
DISK_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class DriveFile:
    """One file of the official Google Drive folder; only the MD5 decides whether it is the right one."""

    name: str
    address: str
    md5: str
    size: int


# Addresses and digests as published in torchvision.datasets.CelebA.
DRIVE_FILES = (
    DriveFile(
        "img_align_celeba.zip",
        "https://drive.google.com/uc?id=0B7EVK8r0v71pZjFTYXZWM3FlRnM",
        "00d2c5bc6d35e252742224ab0c1e8fcb",
        1_443_490_838,
    ),
    DriveFile(
        "list_attr_celeba.txt",
        "https://drive.google.com/uc?id=0B7EVK8r0v71pblRyaVFSWGxPY0U",
        "75e246fa4810816ffd6ee81facbd244c",
        26_721_026,
    ),
    DriveFile(
        "identity_CelebA.txt",
        "https://drive.google.com/uc?id=1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS",
        "32bd1bd63d3c78cd57e08160ec5ed1e2",
        3_424_458,
    ),
    DriveFile(
        "list_eval_partition.txt",
        "https://drive.google.com/uc?id=0B7EVK8r0v71pY0NSMzRuSXJEVkk",
        "d32c9cbf5e040fd4025c592c306e6668",
        2_836_386,
    ),
)


class _RefusedError(Exception):
    """The file will not be given, however often it is asked for."""


class _BrokenOffError(Exception):
    """Asking again may help."""


def download_celeba(how: str, target: str | Path) -> Path:
    """Download CelebA (about 1.4 GB) and return the folder to give to `open_source`.

    Files already in `target` and right are kept; a transfer that broke off, now or in an earlier call, goes on
    where it stopped.

    Args:
        how: "gdrive" (the official files, through gdown) or "kaggle" (a copy without identities, through kagglehub).
        target: folder for the files.

    Raises:
        LabkitError: the package is not installed, `target` cannot be written, or the files are not given; the
            message then ends with the steps to get them by hand.
    """
    ways = {"gdrive": _from_gdrive, "kaggle": _from_kaggle}
    if how not in ways:
        raise LabkitError(f"--download {how}: not a way to get CelebA; use gdrive or kaggle.")
    target = Path(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        return ways[how](target)
    except OSError as error:
        raise LabkitError(
            f"{target}: cannot be written ({error.strerror or error}); free some space or choose another folder."
        ) from error


def _from_gdrive(target: Path) -> Path:
    _package("gdown", "gdrive")
    failures: dict[DriveFile, str] = {}
    for file in DRIVE_FILES:
        if _is_right(target / file.name, file):
            continue
        try:
            _persist(lambda file=file: _get_drive_file(file, target))
        except (_RefusedError, _BrokenOffError) as failure:
            failures[file] = str(failure)
    if failures:
        raise LabkitError(_drive_steps(failures, target))
    return target


def _get_drive_file(file: DriveFile, target: Path) -> None:
    # gdown finds what it has to go on with by name, so each file has a folder of its own.
    partial = target / ".partial" / file.name
    partial.mkdir(parents=True, exist_ok=True)
    whole = partial / file.name
    whole.unlink(missing_ok=True)
    _gdown(file.address, whole)
    if not whole.is_file():
        raise _BrokenOffError("no file came")
    if not _is_right(whole, file):
        problem = _wrong_file(whole, file)
        shutil.rmtree(partial)
        raise problem
    os.replace(whole, target / file.name)
    shutil.rmtree(partial)


def _gdown(address: str, path: Path) -> None:
    """Have gdown write `address` to `path`, going on with what lies beside it."""
    gdown = _package("gdown", "gdrive")
    try:
        gdown.download(address, str(path), resume=True, timeout=SILENCE_SECONDS)
    except gdown.exceptions.FileURLRetrievalError as error:
        raise _RefusedError("Google Drive gives a page instead of the file, its quota is used up") from error
    except Exception as error:
        raise _sorted_out(error) from error


def _from_kaggle(target: Path) -> Path:
    kagglehub = _package("kagglehub", "kaggle")
    anew = False

    def get() -> Path:
        nonlocal anew
        try:
            folder = Path(kagglehub.dataset_download(KAGGLE_HANDLE, force_download=anew))
        except Exception as error:
            raise _sorted_out(error) from error
        # kagglehub keeps a copy that it takes for complete; if it is not, the next try is from scratch.
        anew = True
        try:
            found = len(open_source(folder).images)
        except LabkitError as error:
            raise _BrokenOffError(str(error)) from error
        if found != IMAGES:
            raise _BrokenOffError(f"{found:,} images came instead of {IMAGES:,}")
        return folder

    try:
        with _environment("KAGGLEHUB_CACHE", str(target / "kaggle")):
            return _persist(get)
    except (_RefusedError, _BrokenOffError) as failure:
        raise LabkitError(
            f"CelebA could not be downloaded from Kaggle ({failure}). By hand:\n"
            f"  1. Open {KAGGLE_PAGE}, log in, choose Download and save archive.zip (about 1.4 GB).\n"
            "  2. labkit data celeba --from archive.zip\n"
            "kagglehub itself may need a log-in: an API token from your Kaggle settings in ~/.kaggle/kaggle.json."
        ) from failure


def _persist(get: Callable[[], Any]) -> Any:
    """`get()` until it works, with growing pauses; a refusal ends it at once."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        try:
            return get()
        except _BrokenOffError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _sorted_out(error: Exception) -> Exception:
    """What a library's exception means for us: trouble with the disk, a refusal, or a reason to ask again."""
    if isinstance(error, OSError) and error.errno in DISK_TROUBLES:
        return error
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = " ".join(str(error).split())[:200] or type(error).__name__
    if status in (401, 403, 404) or type(error).__name__ in ("UnauthenticatedError", "CredentialError"):
        return _RefusedError(said)
    return _BrokenOffError(said)


def _wrong_file(path: Path, file: DriveFile) -> Exception:
    size = path.stat().st_size
    with open(path, "rb") as stream:
        if is_html(stream.read(1024)):
            return _RefusedError("an HTML page came instead of the file, most likely the quota is used up")
    return _BrokenOffError(f"another file than expected came ({size:,} bytes, MD5 differs)")


def _is_right(path: Path, file: DriveFile) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == file.md5


def _drive_steps(failures: dict[DriveFile, str], target: Path) -> str:
    reasons = "; ".join(f"{file.name}: {reason}" for file, reason in failures.items())
    lines = [f"CelebA could not be downloaded whole from Google Drive ({reasons}). By hand, in a browser:"]
    for number, file in enumerate(failures, start=1):
        lines.append(
            f"  {number}. Open {file.address} and save it as {target / file.name} "
            f"({file.size:,} bytes, MD5 {file.md5})."
        )
    lines.append(f"  {len(failures) + 1}. labkit data celeba --from {target}")
    lines.append(
        "A file much smaller than that is Google's quota page: log in to Google, wait a day, take the links of "
        f"{HOME_PAGE} or try --download kaggle. What has come so far is kept."
    )
    return "\n".join(lines)


def _package(name: str, how: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise LabkitError(
            f'--download {how}: needs the package {name} ({error}); pip install "labkit[celeba]".'
        ) from error


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
