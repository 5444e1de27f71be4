"""Control groups: the limit on memory and processes of everything in a sandbox together, where one can be made."""

import itertools
import os
import shlex
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labkit.course.grade.sandbox.limits import Limits

MOUNT = Path("/sys/fs/cgroup")
PREFIX = "labkit-"
# bubblewrap's own processes, of which there are up to five.
OVERHEAD = 8
_counter = itertools.count()


@dataclass(frozen=True)
class Group:
    """One control group: its folder, or one for each controller where they are mounted apart (version 1)."""

    folders: tuple[Path, ...]

    def wrap(self, command: list[str]) -> list[str]:
        """`command`, begun inside the group; it fails where the group cannot be entered."""
        enter = " && ".join(f"echo $$ > {shlex.quote(str(folder / 'cgroup.procs'))}" for folder in self.folders)
        return ["/bin/sh", "-c", f'{enter} && exec "$@"', "sh", *command]

    def remove(self, patience: float = 2.0) -> None:
        """Remove the group once its last process is gone; after `patience` seconds leave that to `make_group`."""
        deadline = time.monotonic() + patience
        for folder in self.folders:
            while folder.is_dir():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > deadline:
                        return
                    time.sleep(0.02)


def make_group(limits: Limits) -> Group | None:
    """A new control group with the limits on memory and processes; None where this user cannot make one."""
    bases = _version_2() or _version_1()
    if not bases:
        return None
    name = f"{PREFIX}{os.getpid()}-{next(_counter)}"
    group = Group(tuple(base / name for base in bases))
    try:
        for folder in group.folders:
            _sweep(folder.parent)
            folder.mkdir()
            _write_limits(folder, limits)
    except OSError:
        group.remove(patience=0)
        return None
    return group


def systemd_scope(command: list[str], limits: Limits) -> list[str]:
    """`command` in a transient scope of systemd, which holds its limits and is gone with its last process."""
    user = [] if os.geteuid() == 0 else ["--user"]
    properties = {"MemoryMax": limits.memory_bytes, "MemorySwapMax": 0, "TasksMax": limits.processes + OVERHEAD}
    settings = [text for name, value in properties.items() for text in ("-p", f"{name}={value}")]
    return ["systemd-run", *user, "--scope", "--quiet", "--collect", *settings, "--", *command]


@cache
def has_systemd() -> bool:
    """Whether systemd gives this user a scope."""
    if shutil.which("systemd-run") is None:
        return False
    try:
        trial = systemd_scope(["true"], Limits())
        return subprocess.run(trial, capture_output=True, stdin=subprocess.DEVNULL, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _version_2() -> list[Path]:
    """The folder under which a group can be made, where one hierarchy has both controllers."""
    own = _own_groups().get("")
    if own is None:
        return []
    for base in (MOUNT / own, (MOUNT / own).parent):
        with suppress(OSError):
            handed_down = (base / "cgroup.subtree_control").read_text().split()
            if {"memory", "pids"} <= set(handed_down) and os.access(base, os.W_OK):
                return [base]
    return []


def _version_1() -> list[Path]:
    """The folders under which a group can be made, one for each controller."""
    own = _own_groups()
    bases = []
    for controller in ("memory", "pids"):
        mounted = MOUNT / controller
        base = mounted / own[controller] if controller in own else mounted
        if not (base / "cgroup.procs").exists() or not os.access(base, os.W_OK):
            return []
        bases.append(base)
    return bases


def _own_groups() -> dict[str, str]:
    """This process's group by controller, relative to its hierarchy's mount; "" is the controller of version 2."""
    groups = {}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                groups[controller] = path.strip("/")
    return groups


def _write_limits(folder: Path, limits: Limits) -> None:
    settings = {
        "memory.max": limits.memory_bytes,
        "memory.swap.max": 0,
        "memory.oom.group": 1,
        "memory.limit_in_bytes": limits.memory_bytes,
        "memory.memsw.limit_in_bytes": limits.memory_bytes,
        "pids.max": limits.processes + OVERHEAD,
    }
    for name, value in settings.items():
        if (folder / name).exists():
            (folder / name).write_text(str(value))


def _sweep(base: Path) -> None:
    """Remove groups that a killed process left behind; one that still has processes refuses to go."""
    for folder in base.glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with suppress(OSError):
                folder.rmdir()
