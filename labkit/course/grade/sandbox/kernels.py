"""The kernels that submissions run in: sandboxed, or as they are."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import psutil
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.provisioning import KernelProvisionerFactory

from labkit.course.grade.sandbox.limits import Limits
from labkit.course.grade.sandbox.processes import files_held, taken
from labkit.files import write_json

NONE = "none"
# The limits of the process that starts it are meant for the trusted side.
PLAIN = """\
import runpy
try:
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (resource.getrlimit(resource.RLIMIT_DATA)[1],) * 2)
except ImportError:
    pass
runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
"""
PROVISIONER = "labkit-sandbox"


@dataclass(frozen=True)
class Kernel:
    """How the kernel of a submission is started."""

    # "bubblewrap", "podman" or "docker", or "none": then student code can do what its caller can.
    runtime: str = "bubblewrap"
    readable: tuple[Path, ...] = ()  # what it may read beside the system and the packages
    environment: Mapping[str, str] = field(default_factory=dict)  # its environment

    @property
    def sandbox(self) -> str:
        """What outcome.json says of it."""
        return "container" if self.runtime in ("podman", "docker") else self.runtime

    def manager(self, folder: Path, work: Path, limits: Limits) -> AsyncKernelManager:
        """A manager of one kernel, not yet started.

        Args:
            folder: an empty folder for its kernelspec.
            work: the folder it starts in; what it leaves there is back when it is shut down.
        """
        if self.runtime == NONE:
            name = _plain_kernel(folder)
        else:
            from labkit.course.grade.sandbox.provisioner import sandbox_kernel

            _declare()
            settings = {"environment": self.environment, "runtime": self.runtime}
            name = sandbox_kernel(folder, limits, work, self.readable, **settings)
        specifications = KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
        return _Manager(kernel_name=name, kernel_spec_manager=specifications)

    def clock(self, manager: AsyncKernelManager, limits: Limits) -> "Clock":
        """What tells how long a kernel of this kind has computed, once it is started."""
        return Clock(manager, limits.memory_bytes)

    def start_settings(self, work: Path) -> dict[str, object]:
        """What `start_kernel` is given."""
        if self.runtime != NONE:
            return {}
        return {"cwd": str(work), "env": {**os.environ, **self.environment}}


class _Manager(AsyncKernelManager):
    """Its clients use its own context, with the limits that are set there on what is received."""

    def client(self, **settings: Any) -> AsyncKernelClient:
        return super().client(context=self.context, **settings)


class Clock:
    """Seconds that a kernel and all that it started have computed; on the clock where that cannot be seen.

    At each look it ends a kernel whose processes, with their sockets and files in memory, hold half as much again as
    `memory_bytes` together. One alone cannot, and where no control group can be made nothing else looks at their sum.

    Attributes:
        asleep: seconds that it slept when it was looked at; a look counts for a second at most, since between two of
            them a kernel may have had to wait for the trusted side.
    """

    def __init__(self, manager: AsyncKernelManager, memory_bytes: int) -> None:
        self._manager, self._memory_bytes = manager, memory_bytes
        self._begun, self._most, self.is_wall = time.monotonic(), 0.0, False
        self._seen: dict[psutil.Process, float] = {}
        self._looked, self.asleep = self._begun, 0.0

    def __call__(self) -> float:
        provisioner = self._manager.provisioner
        root = getattr(provisioner, "root_process", None) or getattr(provisioner, "pid", None)
        # In a container on another machine, such as podman's virtual one, no process can be looked at.
        found = taken(root, self._seen) if root and not getattr(provisioner, "out_of_sight", False) else None
        self.is_wall = found is None
        now = time.monotonic()
        seconds, held, asleep = (now - self._begun, 0, False) if found is None else found
        self.asleep += asleep * min(now - self._looked, 1.0)
        self._looked = now
        if held + files_held(getattr(provisioner, "written", ())) > 1.5 * self._memory_bytes:
            with suppress(psutil.Error):
                psutil.Process(root).kill()
        self._most = max(self._most, seconds)
        return self._most


def _declare() -> None:
    """Make the provisioner known also where the package was installed before it had one."""
    factory = KernelProvisionerFactory.instance()
    entry = EntryPoint(PROVISIONER, "labkit.course.grade.sandbox.provisioner:SandboxProvisioner", factory.GROUP_NAME)
    factory.provisioners.setdefault(PROVISIONER, entry)


def _plain_kernel(folder: Path) -> str:
    """Write a kernelspec of this interpreter, so that none of another environment is picked up; returns its name."""
    argv = [sys.executable, "-c", PLAIN, "-f", "{connection_file}"]
    specification = {"argv": argv, "display_name": "Python 3", "language": "python"}
    write_json(folder / "kernels" / "labkit-plain" / "kernel.json", specification)
    return "labkit-plain"
