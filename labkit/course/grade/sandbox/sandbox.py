"""The sandbox: a bubblewrap command in which code of a stranger can run.

Inside there are no network, no other process, no capability, no further user namespace and no name of the caller's
environment; key rings, and calls of the operating system that no notebook makes, are out of reach (see `begin`).
Readable are the interpreter, its environment, labkit without its `course`, system libraries and fonts,
and what the caller names; writable are /tmp and a copy of one submission, both in memory and of limited size.
"""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import labkit
from labkit.course.grade.sandbox import begin
from labkit.course.grade.sandbox.limits import MEBIBYTE, Limits
from labkit.errors import LabkitError

SUBMISSION = "/submission"  # where the copy of the submission lies inside, and where commands begin
SOCKETS = "/run/labkit"  # where a kernel makes its sockets
CONNECTION = "/run/connection.json"  # the connection file, from `sockets`/connection.json
ORIGINAL = "/run/original"  # what the copy is made from
TMP = "/tmp"

HOW_TO_GET_ONE = (
    "install bubblewrap 0.8 or newer on Linux with user namespaces (Debian and Ubuntu: apt install bubblewrap), "
    "use podman or docker with --container, or run the submissions unprotected with --unsafe"
)
SYSTEM = (
    *("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/bin", "/usr/local/lib"),
    *("/usr/share/fonts", "/usr/share/fontconfig", "/usr/share/zoneinfo", "/usr/local/share/fonts"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/fonts"),
    "/etc/localtime",
)
# Links into /usr on most systems, folders of their own on the others.
TOP = ("/bin", "/lib", "/lib32", "/lib64")
# Every sandbox that root starts has a user of its own, from a range that nothing else hands out.
FIRST_USER, USERS = 1_900_000_000, 10_000_000
FILTER = "99"  # the file descriptor from which bubblewrap loads the filter of system calls
# From the copy's original to the copy, before the command begins.
START = f'cp -R {ORIGINAL}/. {SUBMISSION} && exec "$@"'

Mount = tuple[str, str]


def sandbox_command(
    argv: Sequence[str],
    *,
    writable: Path,
    sockets: Path,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """The command that runs `argv` in a sandbox, with /submission as its working folder.

    Args:
        argv: the command inside; the interpreter is `sys.executable`.
        writable: a folder of plain files, readable for everyone; the sandbox starts with a copy of it at
            /submission and never touches the folder itself.
        sockets: a private folder; its connection.json, if any, is shown at /run/connection.json.
        readable: folders or files that are shown, at their own path, read-only.
        limits: what the sandbox may take; `Limits()` if None.
        environment: the whole environment inside, beside PATH, HOME, TMPDIR, LANG and USER.

    Everything dies with the thread that started the command, so also with its process: use one that lasts.

    Raises LabkitError: a readable path is missing or holds so much that showing it would show other people's work.
    """
    limits = limits or Limits()
    inner = ["/bin/sh", "-c", START, "sh", *limits.as_prlimit(), *argv]
    mounts = [*_mounts(readable), (str(writable), ORIGINAL)]
    if (Path(sockets) / "connection.json").exists():
        mounts.append((str(Path(sockets) / "connection.json"), CONNECTION))
    outer = [sys.executable, "-I", "-S", begin.__file__, FILTER]
    if os.geteuid() == 0:
        outer += _as_another_user(mounts)
        mounts = [(inside, inside) for _, inside in mounts]
    return [*outer, *_bubblewrap(mounts, limits, environment or {}), "--", *inner]


@cache
def require_sandbox() -> None:
    """Try the sandbox once.

    Raises LabkitError: there is none on this machine; says why and what to do.
    """
    if shutil.which("bwrap") is None:
        raise LabkitError(f"There is no sandbox here (bubblewrap is not installed): {HOW_TO_GET_ONE}.")
    if missing := {"--size", "--disable-userns", "--seccomp"} - _options():
        raise LabkitError(f"There is no sandbox here (bwrap has no {sorted(missing)[0]}): {HOW_TO_GET_ONE}.")
    with TemporaryDirectory(prefix="labkit-") as name:
        Path(name, "empty").mkdir()
        Path(name).chmod(0o755)
        command = sandbox_command(["true"], writable=Path(name, "empty"), sockets=Path(name))
        trial = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=bare())
    if trial.returncode != 0:
        reason = (trial.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LabkitError(f"There is no sandbox here ({reason}): {HOW_TO_GET_ONE}.")


def bare() -> dict[str, str]:
    """The environment that the sandbox's own command gets: nothing in it is a secret."""
    kept = ("PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
    return {name: os.environ[name] for name in kept if name in os.environ}


def hidden_package() -> str:
    """The folder of labkit.course, which no sandbox shows but for `shown_package`."""
    return str(Path(labkit.__file__).resolve().parent / "course")


def shown_package() -> str:
    """The one part of labkit.course that a kernel needs: its side of the talk with the grader."""
    return str(Path(hidden_package(), "grade", "talk", "protocol"))


@cache
def _options() -> frozenset[str]:
    shown = subprocess.run(["bwrap", "--help"], capture_output=True, text=True)
    return frozenset((shown.stdout + shown.stderr).split())


def _mounts(readable: Sequence[Path]) -> list[Mount]:
    """(path outside, path inside) of everything that is shown read-only."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix} - {"/usr", "/usr/local"}
    package = str(Path(labkit.__file__).resolve().parent)
    named = {str(path) for path in (*prefixes, package, *readable)}
    for path in sorted(named):
        if not Path(path).exists():
            raise LabkitError(f"{path}: is to be readable in the sandbox but is not there; check the path.")
        if Path(path).resolve() in (Path("/"), Path.home(), *Path.home().parents):
            raise LabkitError(f"{path}: too wide to be shown in the sandbox; name the folders inside it.")
    system = [path for path in SYSTEM if Path(path).exists()]
    system += [path for path in TOP if Path(path).is_dir() and not Path(path).is_symlink()]
    both = {*named, *(str(Path(path).resolve()) for path in named)}
    return [(path, path) for path in (*system, *sorted(both))]


def _links() -> list[str]:
    """The links of the top folder, such as /bin → usr/bin."""
    return [text for path in TOP if Path(path).is_symlink() for text in ("--symlink", os.readlink(path), path)]


def _bubblewrap(mounts: Sequence[Mount], limits: Limits, environment: Mapping[str, str]) -> list[str]:
    """bubblewrap and all its options; folders come before what is mounted inside them."""
    small, large = str(MEBIBYTE), str(limits.tmp_bytes)
    command = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
    command += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    command += ["--die-with-parent", "--new-session", "--seccomp", FILTER]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(64 * MEBIBYTE), "--tmpfs", "/dev/shm"]
    command += ["--size", large, "--tmpfs", TMP, "--size", large, "--tmpfs", SUBMISSION]
    command += ["--size", small, "--tmpfs", SOCKETS]
    for outside, inside in mounts:
        command += ["--ro-bind", outside, inside]
    hidden = hidden_package()
    if any(Path(hidden).is_relative_to(inside) for _, inside in mounts):
        command += ["--size", small, "--tmpfs", hidden, "--ro-bind", shown_package(), shown_package()]
        command += ["--remount-ro", hidden]
    command += [*_links(), "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", SUBMISSION, "--clearenv"]
    usual = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": TMP,
        "TMPDIR": TMP,
        "PYTHONPATH": str(Path(labkit.__file__).resolve().parents[1]),  # also where another checkout is installed
    }
    for name, value in {**usual, "LANG": "C.UTF-8", "USER": "student", **environment}.items():
        command += ["--setenv", name, value]
    return command


def _as_another_user(mounts: Sequence[Mount]) -> list[str]:
    """For root: the command in front of bubblewrap that makes it run as an ordinary user of its own.

    To the kernel, root inside a user namespace is still root outside: limits on processes do not hold, and files
    of root are its own. Ordinary users may not enter every folder that leads to what is mounted, so this layer shows
    the same files, and nothing else, below folders that everyone may enter. It has a process namespace because
    bubblewrap could not otherwise end what has become another user's.
    """
    user = str(FIRST_USER + secrets.randbelow(USERS))
    command = ["bwrap", "--unshare-pid", "--die-with-parent", "--dir", TMP]
    command += ["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev"]
    for folder in sorted({str(above) for _, inside in mounts for above in Path(inside).parents} - {"/"}):
        command += ["--dir", folder]
    for outside, inside in mounts:
        command += ["--ro-bind", outside, inside]
    command += _links()
    for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
        command += ["--cap-add", capability]
    command += ["--", "setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
    return [*command, "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
