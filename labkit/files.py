"""Files that are either whole or absent."""

import errno
import hashlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError

NO_FILES = {os.devnull, "/dev/urandom", "/dev/tty"}  # which a library may open
NO_FILE = "it is a pipe, a socket or a device, and no file"
_hook: dict[str, bool] = {}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well.

    The content is flushed to disk before the rename, so a crash or a full disk leaves either the old file or
    the new one, never half of it; on any exception the temporary file is removed.

    Raises LabkitError: the folder cannot be made or written, the disk is full, or `path` is no plain file.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if path.exists() and not path.is_file():  # a rename would put a file into the place of /dev/null
            raise OSError(errno.EINVAL, NO_FILE)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "r+b") as stream:  # Windows flushes only what was opened for writing
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LabkitError(
            f"{path}: cannot be written ({reason}); free some space or choose another folder."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all (see `atomic_path`)."""
    with atomic_path(path) as temporary:
        # The name of a file need not be UTF-8; what stands for its bytes becomes "\\udcff", which JSON reads back.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with a stable key order, whole or not at all.

    Raises:
        LabkitError: see `atomic_path`.
        ValueError: `value` holds NaN or an infinity, which JSON cannot hold.
    """
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file; None where it is not there, cannot be read, or holds something else."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # the last of brackets without end
        return None


def absolute(path: str | Path) -> Path:
    """`path` from the root; ~ and ~name are home folders, as in a shell.

    Raises LabkitError: nobody here has that name.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise LabkitError(f"{path}: there is no such home folder; write the path in full.") from error


@contextmanager
def no_pipes() -> Iterator[None]:
    """Within it this process opens no pipe, socket or device that lies where a file should.

    Reading one may never end, and such a thing may lie in any folder that somebody gives. Opening one raises an
    OSError, as a file does that cannot be read.
    """
    if not _hook:
        sys.addaudithook(_refuse_pipe)  # it cannot be taken out again
    _hook["refuses"] = True
    try:
        yield
    finally:
        _hook["refuses"] = False


def _refuse_pipe(event: str, about: tuple[Any, ...]) -> None:
    if event != "open" or not _hook["refuses"] or not isinstance(about[0], str | bytes):
        return
    # A handle that nothing can be read from may be one of anything.
    if os.fsdecode(about[0]) in NO_FILES or about[2] & getattr(os, "O_PATH", 0):
        return
    try:
        mode = os.stat(about[0]).st_mode
    except (OSError, ValueError):  # who opens it will learn why
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, NO_FILE, os.fsdecode(about[0]))


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def usable_path(given: str | Path) -> Path:
    """A path as a user typed it, with `~` expanded; whether something is there is for the caller to see.

    Raises LabkitError: it cannot be looked at: an unknown ~user, a name too long, a NUL, no permission.
    """
    try:
        path = Path(given).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, RuntimeError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise LabkitError(f"{shown(given)[:200]}: cannot be looked at ({reason}); correct the path.") from error
    return path


def shown(path: str | Path) -> str:
    """A path for messages and records, which are UTF-8: what is not stands as backslash escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def relative(path: str | Path) -> str:
    """A path from the working folder where that is shorter: a path of this machine teaches nobody anything."""
    short = os.path.relpath(path)
    return short if len(short) < len(str(path)) else str(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def data_root() -> Path:
    """Folder in which downloaded data are kept.

    `LABKIT_CACHE` if set, else `data/` of the project around the current folder, else the user's cache.
    """
    if chosen := os.environ.get("LABKIT_CACHE"):
        return absolute(chosen)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "labkit" / "__init__.py").is_file():
            return folder / "data"
    import pooch  # only here: the command line reads files without it

    return Path(pooch.os_cache("labkit"))
