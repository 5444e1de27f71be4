"""A Jupyter kernel provisioner that starts the kernel in a sandbox, and the kernelspec that asks for it.

The same kernelspec serves nbclient, papermill and nbval: they talk to the kernel through sockets that the kernel
makes inside its sandbox. Under bubblewrap these lie in its own memory file system, so that they cannot fill the disk,
and are reached from outside through /proc; from a container they are carried by `labkit.course.grade.sandbox.relay`.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner
from traitlets import Dict, List, Unicode

from labkit.course.grade.sandbox.cgroup import Group, has_systemd, make_group, systemd_scope
from labkit.course.grade.sandbox.container import (
    IMAGE,
    PYTHON,
    container_command,
    container_process,
    remove_container,
    require_container,
    with_relay,
)
from labkit.course.grade.sandbox.limits import Limits
from labkit.course.grade.sandbox.processes import LastWords, open_sockets, second_process
from labkit.course.grade.sandbox.relay import Relay
from labkit.course.grade.sandbox.sandbox import (
    CONNECTION,
    SOCKETS,
    SUBMISSION,
    TMP,
    bare,
    require_sandbox,
    sandbox_command,
)
from labkit.course.grade.sandbox.staging import copy_plain
from labkit.errors import LabkitError
from labkit.files import write_json

KERNEL = "labkit-sandbox"
SHARED = "/dev/shm"
BUBBLEWRAP = "bubblewrap"
START_SECONDS = 100.0  # until a kernel has its sockets, also on a machine under load
SOCKET_NAMES = tuple(f"kernel-{number}" for number in range(1, 6))
CONTAINER_START_SECONDS = 60.0
END_SECONDS = 2.0


def sandbox_kernel(
    folder: Path,
    limits: Limits,
    writable: Path | None = None,
    readable: Sequence[Path] = (),
    *,
    environment: Mapping[str, str] | None = None,
    runtime: str = BUBBLEWRAP,
) -> str:
    """Write a kernelspec whose kernels start in a sandbox; returns its name.

    Put `folder` into JUPYTER_PATH, or hand `folder`/kernels to a `KernelSpecManager`: nothing is installed elsewhere.

    Args:
        writable: a folder in whose copy the kernel begins; it stays as it is.
        readable: what else the kernel may read.
        environment: the kernel's environment; nothing of the caller's is handed on.
        runtime: "bubblewrap", "podman" or "docker".
    """
    python = sys.executable if runtime == BUBBLEWRAP else PYTHON
    config = {
        "limits": limits.as_dict(),
        "writable": str(Path(writable).resolve()) if writable else "",
        "readable": [str(Path(path).resolve()) for path in readable],
        "runtime": runtime,
    }
    specification = {
        "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3 (sandbox)",
        "language": "python",
        "interrupt_mode": "message",
        "env": dict(environment or {}),
        "metadata": {"kernel_provisioner": {"provisioner_name": KERNEL, "config": config}},
    }
    write_json(Path(folder) / "kernels" / KERNEL / "kernel.json", specification)
    return KERNEL


class SandboxProvisioner(LocalProvisioner):
    """Starts a kernel under bubblewrap, or in a container; see `sandbox_kernel` for its settings."""

    runtime = Unicode(BUBBLEWRAP, config=True, help="bubblewrap, podman or docker")
    image = Unicode(IMAGE, config=True, help="the container's image")
    writable = Unicode("", config=True, help="the folder whose copy the kernel may change")
    readable = List(Unicode(), config=True, help="what else the kernel may read")
    limits = Dict(config=True, help="labkit.course.grade.sandbox.limits.Limits by name")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._private: TemporaryDirectory[str] | None = None
        self._group: Group | None = None
        self._inside: int | None = None  # the kernel's process number, as seen from here
        self._name = f"labkit-{secrets.token_hex(8)}"
        self._relay: Relay | None = None
        self._words: LastWords | None = None
        self._contained: int | None = None  # 0 where it cannot be seen
        self._sockets: dict[str, int] = {}  # name → open handle

    @property
    def root_process(self) -> int | None:
        """The process under which all of the kernel is seen from here."""
        if self.runtime == BUBBLEWRAP:
            return self.pid
        if self._contained is None and self.pid is not None:
            self._contained = container_process(self.runtime, self._name)
        return self._contained

    @property
    def written(self) -> list[Path]:
        """The places in memory that the kernel may fill, as they are reached from here; none that cannot be seen."""
        number = self._inside or self._contained
        return [Path(f"/proc/{number}/root{each}") for each in (TMP, SUBMISSION, SOCKETS, SHARED)] if number else []

    @property
    def out_of_sight(self) -> bool:
        """Whether the kernel's processes are on another machine."""
        return self.runtime != BUBBLEWRAP and not self.root_process

    async def pre_launch(self, **settings: Any) -> dict[str, Any]:
        """Choose sockets in a private folder and write the connection file that the kernel sees.

        Raises LabkitError: there is no sandbox on this machine.
        """
        if self.runtime == BUBBLEWRAP:
            require_sandbox()
        else:
            require_container(self.runtime, self.image)
        if self._private is None:
            self._private = TemporaryDirectory(prefix="labkit-")
        manager = self.parent
        manager.transport, manager.ip = "ipc", str(self._folder / "run" / "kernel")
        settings = await super().pre_launch(**settings)
        key = self.connection_info["key"].decode()
        shown = {**self.connection_info, "ip": f"{SOCKETS}/kernel", "key": key}
        write_json(self._folder / "connection.json", shown)
        (self._folder / "connection.json").chmod(0o644)
        real = str(Path(manager.connection_file).resolve())
        settings["cmd"] = [CONNECTION if word == real else word for word in settings["cmd"]]
        return settings

    async def launch_kernel(self, cmd: list[str], **settings: Any) -> KernelConnectionInfo:
        """Start the sandbox; nothing of `settings` (environment, working folder) reaches it.

        Raises LabkitError: the sandbox ended at once; says its last words.
        """
        contained = self.runtime != BUBBLEWRAP
        command = self._command(cmd)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if contained else subprocess.DEVNULL,
            stdout=subprocess.PIPE if contained else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=bare(),
            cwd="/",
            start_new_session=True,
        )
        self.pid = self.pgid = self.process.pid
        self._words = LastWords(self.process.stderr)
        await (self._reach_container() if contained else self._reach_inside())
        return self.connection_info

    async def kill(self, restart: bool = False) -> None:
        await super().kill(restart)
        self._remove_container()

    async def terminate(self, restart: bool = False) -> None:
        await super().terminate(restart)
        self._remove_container()

    async def cleanup(self, restart: bool = False) -> None:
        await super().cleanup(restart)
        self._remove_container()
        self._let_go()
        if self._relay is not None:
            self._relay.ended(END_SECONDS)
        if self._group is not None:
            self._group.remove()
            self._group = None
        if self._private is not None and not restart:
            self._private.cleanup()
            self._private = None

    def last_words(self) -> str:
        """The end of what the sandbox wrote to stderr."""
        return self._words.text() if self._words else ""

    @property
    def _folder(self) -> Path:
        assert self._private is not None
        return Path(self._private.name)

    def _command(self, cmd: list[str]) -> list[str]:
        limits = Limits.of(self.limits)
        given: dict[str, Any] = {
            "writable": self._stage(limits),
            "sockets": self._folder,
            "readable": [Path(path) for path in self.readable],
            "limits": limits,
            "environment": self.kernel_spec.env,
        }
        if self.runtime != BUBBLEWRAP:
            given |= {"runtime": self.runtime, "name": self._name, "image": self.image}
            return container_command(with_relay(cmd), **given)
        command = sandbox_command(cmd, **given)
        self._group = make_group(limits)
        if self._group is not None:
            return self._group.wrap(command)
        return systemd_scope(command, limits) if has_systemd() else command

    def _stage(self, limits: Limits) -> Path:
        """A copy of `writable` that holds plain files alone."""
        staged = self._folder / "submission"
        shutil.rmtree(staged, ignore_errors=True)
        if self.writable:
            copy_plain(Path(self.writable), staged, limits.tmp_bytes)
        else:
            staged.mkdir()
        return staged

    async def _reach_inside(self) -> None:
        """Make `run` a folder of links to the kernel's sockets, as they are before any code of a student runs."""
        (run := self._folder / "run").mkdir(exist_ok=True)
        self._let_go()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            self._inside = self._inside or second_process(self.process.pid)
            if self._inside is not None:
                self._sockets = open_sockets(Path(f"/proc/{self._inside}/root{SOCKETS}"), SOCKET_NAMES)
            if self._sockets:
                for name, handle in self._sockets.items():
                    (run / name).unlink(missing_ok=True)
                    (run / name).symlink_to(f"/proc/{os.getpid()}/fd/{handle}")
                return
            await asyncio.sleep(0.02)
        self._fail()

    def _let_go(self) -> None:
        self._inside = None
        for handle in self._sockets.values():
            os.close(handle)
        self._sockets = {}

    async def _reach_container(self) -> None:
        """Put sockets into `run` that lead into the container."""
        (self._folder / "run").mkdir(exist_ok=True)
        self._relay = Relay(self._folder / "run", self.process.stdin, self.process.stdout)
        deadline = time.monotonic() + CONTAINER_START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._relay.begun(0):
                return
            await asyncio.sleep(0.02)
        self._fail()

    def _fail(self) -> NoReturn:
        self.process.kill()
        self._words.finish()
        self._remove_container()
        raise LabkitError(f"The sandbox did not start: {self.last_words() or 'it gave no reason'}")

    def _remove_container(self) -> None:
        if self.runtime != BUBBLEWRAP and self.pid is not None:
            with suppress(OSError, subprocess.TimeoutExpired):
                remove_container(self.runtime, self._name)
