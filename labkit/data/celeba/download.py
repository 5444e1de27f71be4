"""Download CelebA from Google Drive or Kaggle: every file whole and verified, or the steps to get it by hand."""

import errno
import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from labkit.data.celeba.source import open_source
from labkit.data.fetch import is_offline
from labkit.errors import LabkitError
from labkit.safe_zip import is_html

RETRIES = 3
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
    number: str
    md5: str
    size: int

    @property
    def address(self) -> str:
        return f"https://drive.google.com/uc?id={self.number}"


# Numbers and digests as published in torchvision.datasets.CelebA.
DRIVE_FILES = tuple(
    DriveFile(*row)
    for row in (
        ("img_align_celeba.zip", "0B7EVK8r0v71pZjFTYXZWM3FlRnM", "00d2c5bc6d35e252742224ab0c1e8fcb", 1_443_490_838),
        ("list_attr_celeba.txt", "0B7EVK8r0v71pblRyaVFSWGxPY0U", "75e246fa4810816ffd6ee81facbd244c", 26_721_026),
        ("identity_CelebA.txt", "1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS", "32bd1bd63d3c78cd57e08160ec5ed1e2", 3_424_458),
        ("list_eval_partition.txt", "0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668", 2_836_386),
    )
)


def download_celeba(how: str, target: str | Path) -> Path:
    """Download CelebA (about 1.4 GB) and return the folder to give to `open_source`.

    Files already in `target` and right are kept; gdown and kagglehub go on where a transfer broke off.

    Args:
        how: "gdrive" (the official files, through gdown) or "kaggle" (a copy without identities, through kagglehub).

    Raises LabkitError: `LABKIT_OFFLINE` is set, the package is not installed, `target` cannot be written, or the
        files are not given; the message then ends with the steps to get them by hand.
    """
    ways = {"gdrive": _from_gdrive, "kaggle": _from_kaggle}
    if how not in ways:
        raise LabkitError(f"--download {how}: not a way to get CelebA; use gdrive or kaggle.")
    if is_offline():
        raise LabkitError(f"--download {how}: LABKIT_OFFLINE is set; unset it, or give --from PATH.")
    target = Path(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        return ways[how](target)
    except OSError as error:
        raise LabkitError(
            f"{target}: cannot be written ({error.strerror or error}); free some space or choose another folder."
        ) from error


def _from_gdrive(target: Path) -> Path:
    gdown = _package("gdown", "gdrive")
    failures: dict[DriveFile, str] = {}
    for file in DRIVE_FILES:
        path = target / file.name
        if _is_right(path, file):
            continue
        path.unlink(missing_ok=True)
        try:
            gdown.download(file.address, str(path), resume=True, timeout=SILENCE_SECONDS, retries=RETRIES)
        except Exception as error:
            failures[file] = _said(error)
            continue
        if not _is_right(path, file):
            failures[file] = _wrong_file(path)
            path.unlink(missing_ok=True)
    if failures:
        raise LabkitError(_drive_steps(failures, target))
    return target


def _from_kaggle(target: Path) -> Path:
    kagglehub = _package("kagglehub", "kaggle")
    try:
        folder = Path(kagglehub.dataset_download(KAGGLE_HANDLE, output_dir=str(target / "kaggle")))
        found = len(open_source(folder).images)
        problem = "" if found == IMAGES else f"{found:,} of {IMAGES:,} images came"
    except Exception as error:
        problem = _said(error)
    if problem:
        raise LabkitError(
            f"CelebA could not be downloaded from Kaggle ({problem.rstrip('.')}). By hand:\n"
            f"  1. Open {KAGGLE_PAGE}, log in, choose Download and save archive.zip (about 1.4 GB).\n"
            "  2. labkit data celeba --from archive.zip\n"
            "kagglehub itself may need a log-in: an API token from your Kaggle settings in ~/.kaggle/kaggle.json."
        )
    return folder


def _said(error: Exception) -> str:
    """A library's exception in a line; trouble with the disk is raised again."""
    if isinstance(error, OSError) and error.errno in DISK_TROUBLES:
        raise error
    if type(error).__name__ == "FileURLRetrievalError":
        return "Google Drive gives a page instead of the file, its quota is used up"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _wrong_file(path: Path) -> str:
    if not path.is_file():
        return "no file came"
    with open(path, "rb") as stream:
        if is_html(stream.read(1024)):
            return "an HTML page came instead of the file, most likely the quota is used up"
    return f"another file than expected came ({path.stat().st_size:,} bytes, MD5 differs)"


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
            f'--download {how}: needs the package {name} ({error}); pip install -e ".[celeba]".'
        ) from error
