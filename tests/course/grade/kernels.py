"""Kernels for the grading tests: in the sandbox, and as they are, for the same code to run in both.

PYTEST_DONT_REWRITE: a module of tests names it as a plugin and imports from it, too.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import pytest
from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_client.kernelspec import KernelSpecManager

from labkit.course.grade.sandbox.limits import MEBIBYTE, Limits
from labkit.course.grade.sandbox.provisioner import sandbox_kernel
from labkit.course.grade.sandbox.sandbox import require_sandbox
from labkit.errors import LabkitError

# Small enough that an attack reaches them at once, large enough for a kernel.
SMALL = Limits(
    memory_bytes=512 * MEBIBYTE,
    processes=80,
    file_bytes=8 * MEBIBYTE,
    cpu_seconds=60,
    tmp_bytes=24 * MEBIBYTE,
)


@dataclass
class Session:
    """A kernel that runs, and the client that talks to it."""

    manager: KernelManager
    client: BlockingKernelClient

    def run(self, code: str, timeout: float = 240.0) -> str:
        """What `code` printed and raised, and "died" if the kernel did.

        Raises:
            Empty: it was not done after `timeout` seconds.
        """
        texts: list[str] = []
        request = self.client.execute(code, store_history=False)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except Empty:
                if not self.manager.is_alive():
                    return "".join([*texts, "died"])
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if content.get("execution_state") == "idle":
                return "".join(texts)
            if message["msg_type"] == "stream":
                texts.append(content["text"])
            elif message["msg_type"] == "error":
                texts.append(f"{content['ename']}: {content['evalue']}")
        raise Empty

    def close(self) -> None:
        """Kill the kernel; the second time nothing happens."""
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)


Start = Callable[..., Session]


def _session(manager: KernelManager, **settings) -> Session:
    manager.start_kernel(**settings)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=240)
    return Session(manager, client)


@pytest.fixture(scope="session")
def sandbox() -> None:
    """The test is skipped where there is no sandbox; it fails there if LABKIT_REQUIRE_SANDBOX is set."""
    try:
        require_sandbox()
    except LabkitError as error:
        if os.environ.get("LABKIT_REQUIRE_SANDBOX"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def entry_points(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path that declares the provisioner, for an installation older than its declaration."""
    folder = tmp_path_factory.mktemp("entry-points")
    metadata = folder / "labkit_sandbox-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: labkit-sandbox\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(
        "[jupyter_client.kernel_provisioners]\n"
        "labkit-sandbox = labkit.course.grade.sandbox.provisioner:SandboxProvisioner\n"
    )
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def start_sandboxed(sandbox, entry_points, tmp_path_factory) -> Iterator[Start]:
    """A function that starts a kernel in the sandbox; all are shut down after the module."""
    sessions: list[Session] = []

    def start(writable: Path | None = None, limits: Limits = SMALL, **settings) -> Session:
        folder = tmp_path_factory.mktemp("jupyter")
        name = sandbox_kernel(folder, limits, writable, **settings)
        specifications = KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
        sessions.append(_session(KernelManager(kernel_name=name, kernel_spec_manager=specifications)))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


@pytest.fixture(scope="module")
def start_plain(tmp_path_factory) -> Iterator[Start]:
    """A function that starts an ordinary kernel, as stock tools do; all are shut down after the module."""
    sessions: list[Session] = []

    def start(cwd: Path | None = None) -> Session:
        folder = cwd or tmp_path_factory.mktemp("plain")
        sessions.append(_session(KernelManager(kernel_name="python3"), cwd=str(folder), env=dict(os.environ)))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


@pytest.fixture(scope="module")
def sandboxed(start_sandboxed) -> Session:
    """A kernel in the sandbox."""
    return start_sandboxed()


@pytest.fixture(scope="module")
def plain(start_plain) -> Session:
    """An ordinary kernel."""
    return start_plain()


@pytest.fixture
def both(sandboxed, plain) -> Callable[[str], tuple[str, str]]:
    """Runs an attack in the sandbox and, to see it bite, in an ordinary kernel; returns what was printed in each."""
    return lambda code: (sandboxed.run(code), plain.run(code))


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """A folder as one is prepared, with a notebook that nobody opens."""
    folder = tmp_path / "submission"
    folder.mkdir(mode=0o755)
    (folder / "lab.ipynb").write_text("{}")
    return folder
