"""Whether a lab's record is still what running it again would give."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from labkit.course.run.labs import Lab
from labkit.errors import LabkitError
from labkit.files import sha256, usable_path, write_json
from labkit.record import NOTEBOOK, PAGE, RECORD_FILES, STATE, read_record, versions

PACKAGE = Path(__file__).parents[2]
CHECKPOINTS = "checkpoints"
DEPTH = 4  # folders within folders: three, in one called celeba
NO_DATA = ("README.md", "reference", "synthetic")  # the last is drawn, by what the hash of the package stands for
TABLES = ("list_*", "[iI]dentity_*")  # of CelebA, which may lie beside the images
MADE_OF = "made_of.json"
LEFT = ("figures/*.png", "explorer/*.js", "*.safetensors")  # by a lab, for the page, the site and other labs
DECIDING = (".py", ".j2", ".safetensors")  # kinds of files in the package that a record depends on


def fingerprint(lab: Lab, parameters: dict[str, Any], data_folders: list[Path]) -> dict[str, Any]:
    """All that a lab's results depend on, in parts, so that it can be said which part changed."""
    return {
        "notebook": sha256(lab.path),
        "labkit": _package_hash(),
        "parameters": {name: value for name, value in parameters.items() if name != "OUT"},
        "versions": versions(),
        "data": data_identity(data_folders),
        "reference": _reference_hash(lab) if _takes_reference(lab, parameters) else "none",
    }


def data_identity(folders: list[Path]) -> str:
    """Hash of names, sizes and times of the data files, as deep as the loaders look."""
    entries = []
    for folder in folders:
        for path in sorted(_files(folder)):
            with suppress(OSError):  # a pipe's or a socket's, of another user, gone by now
                about = os.stat(path)
                entries.append(f"{os.path.relpath(path, folder)} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(entries).encode(errors="surrogateescape")).hexdigest()


def _files(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        yield str(folder)
    for place, inner, names in os.walk(folder, followlinks=True):
        known = {name for name in (*inner, *names) if not name.startswith(".") and name not in NO_DATA}
        deep = len(Path(place).relative_to(folder).parts) >= DEPTH
        inner[:] = [] if deep else known.intersection(inner)
        yield from (os.path.join(place, name) for name in known.intersection(names))


def data_folders(data: Path | None, root: Path) -> list[Path]:
    """Where the loaders look: the path given, else `LABKIT_DATA`; tables beside it; and the cache of downloads."""
    given = data or os.environ.get("LABKIT_DATA")
    cache = os.environ.get("LABKIT_CACHE") or root / "data"
    homes = Path(os.path.abspath(usable_path(given))).parents[:2] if given else ()
    beside = [
        file for home in homes for sub in ("", "Anno/", "Eval/") for each in TABLES for file in home.glob(sub + each)
    ]
    return [usable_path(folder) for folder in (given, cache) if folder] + sorted(beside)


def record_hashes(folder: Path) -> dict[str, str]:
    """File → SHA-256 of all that a lab has left in its folder but logs, checkpoints and sweeps."""
    paths = [folder / name for name in (NOTEBOOK, PAGE, *RECORD_FILES)]
    for pattern in LEFT:
        paths += sorted(folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths if path.is_file()}


def why_stale(folder: Path, now: dict[str, Any]) -> str:
    """Why a lab must be run, e.g. "its labkit changed"; "" where it ended well and nothing has changed since."""
    state = read_record(folder, STATE, {})
    if state.get("state") != "ok":
        return "it has not ended well before"
    if parts := [name for name, value in now.items() if state["fingerprint"].get(name) != value]:
        return f"its {' and '.join(parts)} changed"
    left, here = state["record"], record_hashes(folder)
    # A record that lacks a file would be believed by all who read the page.
    damaged = [name for name in {NOTEBOOK: "", **left} if left.get(name) != here.get(name, "is not there")]
    return f"{', '.join(damaged)} of its record changed or went missing" if damaged else ""


def drop_stale_checkpoints(folder: Path, now: dict[str, Any], force: bool) -> None:
    """Remove a lab's checkpoints and sweeps unless all that decides a result is what it was when they were begun.

    What a training left that was killed is worth going on from; what other code left is not the same training.

    Raises LabkitError: something cannot be removed.
    """
    checkpoints = folder / CHECKPOINTS
    if force or read_record(checkpoints, MADE_OF, None) != now:
        for path in folder.glob("*/"):
            try:  # what stays would be gone on from
                path.unlink() if path.is_symlink() else shutil.rmtree(path)
            except OSError as error:
                raise LabkitError(
                    f"{path}: holds what other code has trained and cannot be removed ({error.strerror}); delete it."
                ) from error
        write_json(checkpoints / MADE_OF, now)


def _takes_reference(lab: Lab, parameters: dict[str, Any]) -> bool:
    """Whether models of a run may come from the reference; what a study finds does not depend on it, but makes it."""
    return parameters["PROFILE"] == "cpu" and bool(parameters.get("REFERENCE", "REFERENCE" in lab.parameters))


def _reference_hash(lab: Lab) -> str:
    folder = PACKAGE / "reference" / lab.stem
    return _hash(folder, (path for path in folder.rglob("*") if path.is_file()))


def _package_hash() -> str:
    return _hash(PACKAGE, (path for path in PACKAGE.rglob("*") if path.suffix in DECIDING))


def _hash(folder: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()
