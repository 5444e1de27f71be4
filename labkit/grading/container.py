"""The sandbox for machines without bubblewrap: the same submission, folders and limits in podman or docker."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import labkit
from labkit.errors import LabkitError
from labkit.grading.limits import MEBIBYTE, Limits
from labkit.grading.sandbox import CONNECTION, SOCKETS, SUBMISSION, TMP

RUNTIMES = ("podman", "docker")
IMAGE = "labkit-sandbox"
# labkit comes from the instructor's installation, so that the image need not be built anew with each version.
PACKAGE = "/opt/labkit/labkit"
RECIPE = """\
FROM python:3.12-slim
COPY constraints.txt pyproject.toml README.md LICENSE /build/
COPY labkit /build/labkit
RUN pip install --no-cache-dir -c /build/constraints.txt /build && pip uninstall --yes labkit && rm -r /build
"""
PATIENCE = 20.0


def container_command(
    argv: Sequence[str],
    *,
    runtime: str,
    name: str,
    writable: Path,
    sockets: Path,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
    image: str = IMAGE,
) -> list[str]:
    """The command that runs `argv` in a container called `name`, with /submission as its working folder.

    As `labkit.grading.sandbox.sandbox_command`, but for these: `argv` names programs of the image (made from
    `RECIPE`); `writable` is mounted itself, so hand in a throw-away copy, and of its size only each file's is
    limited; sockets appear in `sockets`/run. Killing the command leaves the container: see `remove_container`.

    Raises:
        LabkitError: `runtime` is neither podman nor docker.
    """
    if runtime not in RUNTIMES:
        raise LabkitError(f"There is no container runtime {runtime!r}; choose {' or '.join(RUNTIMES)}.")
    limits = limits or Limits()
    command = [runtime, "run", "--rm", "--name", name, "--hostname", "sandbox"]
    command += ["--network", "none", "--ipc", "private"]
    command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"]
    command += [*_limits(limits), *_user(runtime), "--workdir", SUBMISSION]
    package = Path(labkit.__file__).resolve().parent
    mounts = [(package, PACKAGE), *((Path(path), str(path)) for path in readable)]
    if (Path(sockets) / "connection.json").exists():
        mounts.append((Path(sockets) / "connection.json", CONNECTION))
    for outside, inside in mounts:
        command += ["--mount", f"type=bind,source={outside},target={inside},readonly"]
    command += ["--mount", f"type=bind,source={writable},target={SUBMISSION}"]
    command += ["--mount", f"type=bind,source={Path(sockets) / 'run'},target={SOCKETS}"]
    command += ["--tmpfs", f"{PACKAGE}/grading:ro,size={MEBIBYTE}"]
    usual = {"HOME": TMP, "TMPDIR": TMP, "LANG": "C.UTF-8", "USER": "student"}
    usual["PYTHONPATH"] = str(Path(PACKAGE).parent)
    for key, value in {**usual, **(environment or {})}.items():
        command += ["--env", f"{key}={value}"]
    return [*command, image, *argv]


def remove_container(runtime: str, name: str) -> None:
    """Kill and remove the container, if it is still there."""
    subprocess.run([runtime, "rm", "--force", name], capture_output=True, timeout=PATIENCE)


def require_container(runtime: str | None = None, image: str = IMAGE) -> str:
    """The runtime to use: `runtime`, else the first that answers and has the image.

    Raises:
        LabkitError: none does; says what to do.
    """
    answers = [name for name in ([runtime] if runtime else RUNTIMES) if _asks(name, "version")]
    if not answers:
        raise LabkitError(
            f"There is no container runtime here: install {runtime or ' or '.join(RUNTIMES)}, start its service, "
            "and see that this user may use it."
        )
    for name in answers:
        if _asks(name, "image", "inspect", image):
            return name
    raise LabkitError(
        f"{answers[0]} has no image {image!r}: build it in the project's folder from "
        f"labkit.grading.container.RECIPE with `{answers[0]} build --tag {image} --file - .`."
    )


def _asks(runtime: str, *question: str) -> bool:
    if shutil.which(runtime) is None:
        return False
    try:
        return subprocess.run([runtime, *question], capture_output=True, timeout=PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _limits(limits: Limits) -> list[str]:
    options = ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    options += ["--pids-limit", str(limits.processes), "--shm-size", str(64 * MEBIBYTE)]
    ulimits = {"fsize": limits.file_bytes, "cpu": limits.cpu_seconds, "nofile": 1024, "core": 0}
    for name, value in ulimits.items():
        options += ["--ulimit", f"{name}={value}:{value}"]
    return [*options, "--tmpfs", f"{TMP}:rw,nosuid,nodev,size={limits.tmp_bytes},mode=1777"]


def _user(runtime: str) -> list[str]:
    """The caller's own user, so that the caller owns the files that come out; a nameless one instead of root."""
    if os.geteuid() == 0:
        return ["--user", "65534:65534"]
    keep = ["--userns", "keep-id"] if runtime == "podman" else []
    return [*keep, "--user", f"{os.geteuid()}:{os.getegid()}"]
