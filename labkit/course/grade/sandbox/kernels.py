"""The kernels that submissions run in: sandboxed, or as they are."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.provisioning import KernelProvisionerFactory

from labkit.course.grade.sandbox.limits import Limits
from labkit.files import write_json

NONE = "none"
PROVISIONER = "labkit-sandbox"


@dataclass(frozen=True)
class Kernel:
    """How the kernel of a submission is started.

    Attributes:
        runtime: "bubblewrap", "podman" or "docker", or "none": then student code can do what its caller can.
        readable: what it may read beside the system and the packages.
        environment: its environment.
    """

    runtime: str = "bubblewrap"
    readable: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def sandbox(self) -> str:
        """What outcome.json says of it."""
        return "container" if self.runtime in ("podman", "docker") else self.runtime

    def manager(self, folder: Path, work: Path, limits: Limits) -> AsyncKernelManager:
        """A manager of one kernel, not yet started.

        Args:
            folder: an empty folder for its kernelspec.
            work: the folder it starts in; what it leaves there is back when it is shut down.
            limits: what it may take.
        """
        if self.runtime == NONE:
            name = _plain_kernel(folder)
        else:
            from labkit.course.grade.sandbox.provisioner import sandbox_kernel

            _declare()
            settings = {"environment": self.environment, "runtime": self.runtime}
            name = sandbox_kernel(folder, limits, work, self.readable, **settings)
        specifications = KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
        return AsyncKernelManager(kernel_name=name, kernel_spec_manager=specifications)

    def start_settings(self, work: Path) -> dict[str, object]:
        """What `start_kernel` is given."""
        if self.runtime != NONE:
            return {}
        return {"cwd": str(work), "env": {**os.environ, **self.environment}}


def _declare() -> None:
    """Make the provisioner known also where the package was installed before it had one."""
    factory = KernelProvisionerFactory.instance()
    entry = EntryPoint(PROVISIONER, "labkit.course.grade.sandbox.provisioner:SandboxProvisioner", factory.GROUP_NAME)
    factory.provisioners.setdefault(PROVISIONER, entry)


def _plain_kernel(folder: Path) -> str:
    """Write a kernelspec of this interpreter, so that none of another environment is picked up; returns its name."""
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": argv, "display_name": "Python 3", "language": "python"}
    write_json(folder / "kernels" / "labkit-plain" / "kernel.json", specification)
    return "labkit-plain"
