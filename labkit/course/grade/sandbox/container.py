"""The sandbox for machines without bubblewrap: the same submission, folders and limits in podman or docker."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import labkit
from labkit.course.grade.sandbox import relay
from labkit.course.grade.sandbox.limits import MEBIBYTE, Limits
from labkit.course.grade.sandbox.sandbox import (
    CONNECTION,
    ORIGINAL,
    SOCKETS,
    START,
    SUBMISSION,
    TMP,
    hidden_package,
    shown_package,
)
from labkit.errors import LabkitError

RUNTIMES = ("podman", "docker")
IMAGE = "labkit-sandbox"
# By its path: jupyter_client puts its own interpreter in the place of the name.
PYTHON = "/usr/local/bin/python"
# labkit comes from the instructor's installation, so that the image need not be built anew with each version.
PACKAGES = "/opt/labkit"
RELAY = "/run/relay.py"
# What podman makes writable for everyone, without a limit, in a container that is to be read-only.
PODMANS_OWN = ("/run", "/var/tmp")
RECIPE = """\
FROM python:3.12-slim
COPY . /build
RUN pip install --no-cache-dir -c /build/constraints.txt /build && pip uninstall --yes labkit-faces && rm -r /build
"""
INGREDIENTS = ("constraints.txt", "pyproject.toml", "README.md", "LICENSE")
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

    As `sandbox_command`, but for these: `argv` names programs of the image (made from
    `RECIPE`), and killing the command leaves the container: see `remove_container`.

    Raises LabkitError: `runtime` is neither podman nor docker.
    """
    if runtime not in RUNTIMES:
        raise LabkitError(f"There is no container runtime {runtime!r}; choose {' or '.join(RUNTIMES)}.")
    limits = limits or Limits()
    command = [runtime, "run", "--rm", "--interactive", "--name", name, "--hostname", "sandbox"]
    command += ["--network", "none", "--ipc", "private"]
    command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"]
    command += [*_limits(limits, runtime), *_user(runtime), "--workdir", SUBMISSION]
    mounts = [*_package(), (Path(writable), ORIGINAL), (Path(relay.__file__), RELAY)]
    mounts += [(Path(path), str(path)) for path in readable]
    if (Path(sockets) / "connection.json").exists():
        mounts.append((Path(sockets) / "connection.json", CONNECTION))
    for outside, inside in mounts:
        command += ["--mount", f"type=bind,source={outside},target={inside},readonly"]
    usual = {"HOME": TMP, "TMPDIR": TMP, "LANG": "C.UTF-8", "USER": "student"}
    usual["PYTHONPATH"] = PACKAGES
    for key, value in {**usual, **(environment or {})}.items():
        command += ["--env", f"{key}={value}"]
    return [*command, image, "/bin/sh", "-c", START, "sh", *argv]


def with_relay(argv: Sequence[str]) -> list[str]:
    """The command inside that runs `argv` and carries its sockets out: see `relay.Relay`."""
    return [PYTHON, "-I", RELAY, SOCKETS, *argv]


def remove_container(runtime: str, name: str) -> None:
    """Kill and remove the container, if it is still there."""
    subprocess.run([runtime, "rm", "--force", name], capture_output=True, timeout=PATIENCE)


def container_process(runtime: str, name: str) -> int:
    """The first process of a container as seen from here; 0 where it cannot be seen."""
    with suppress(OSError, subprocess.TimeoutExpired, ValueError):
        asked = [runtime, "inspect", "--format", "{{.State.Pid}}", name]
        number = int(subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE).stdout)
        # Elsewhere, in a virtual machine, the same number is another process or none.
        if name in Path(f"/proc/{number}/cgroup").read_text() or Path(f"/proc/{number}/root{RELAY}").exists():
            return number
    return 0


def require_container(runtime: str | None = None, image: str = IMAGE) -> str:
    """The runtime to use: `runtime`, else the first that answers and has the image.

    Raises LabkitError: none does; says what to do.
    """
    answers = _answering(runtime)
    for name in answers:
        if _asks(name, "image", "inspect", image):
            return name
    raise LabkitError(f"{answers[0]} has no image {image!r}: build it with `labkit grade image`.")


def build_image(project: Path) -> str:
    """Build the image in which submissions run, with the packages that the constraints in `project` name.

    Returns the runtime that has it: podman where it answers, else docker.

    Raises LabkitError: no runtime answers, or the build failed; its own output says why.
    """
    runtime = _answering()[0]
    with TemporaryDirectory(prefix="labkit-") as folder:
        Path(folder, "Dockerfile").write_text(RECIPE)
        for name in INGREDIENTS:
            shutil.copy(project / name, folder)
        done = subprocess.run([runtime, "build", "--tag", IMAGE, folder])
    if done.returncode != 0:
        raise LabkitError(f"{runtime} could not build the image {IMAGE!r}; what it printed above says why.")
    return runtime


def _answering(runtime: str | None = None) -> list[str]:
    """The runtimes that answer, of which there is at least one."""
    answers = [name for name in ([runtime] if runtime else RUNTIMES) if _asks(name, "version")]
    if not answers:
        raise LabkitError(
            f"There is no container runtime here: install {runtime or ' or '.join(RUNTIMES)}, start its service, "
            "and see that this user may use it."
        )
    return answers


def _asks(runtime: str, *question: str) -> bool:
    if shutil.which(runtime) is None:
        return False
    try:
        return subprocess.run([runtime, *question], capture_output=True, timeout=PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _package() -> list[tuple[Path, str]]:
    """What a kernel needs of labkit, one by one: podman fills what is mounted over a folder with its content."""
    package, hidden = Path(labkit.__file__).resolve().parent, (Path(hidden_package()).name, "__pycache__")
    shown = [path for path in sorted(package.iterdir()) if path.name not in hidden]
    places = [*shown, Path(shown_package())]
    return [(path, f"{PACKAGES}/labkit/{path.relative_to(package).as_posix()}") for path in places]


def _limits(limits: Limits, runtime: str) -> list[str]:
    options = ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    options += ["--pids-limit", str(limits.processes), "--shm-size", str(64 * MEBIBYTE)]
    ulimits = {
        "data": limits.memory_bytes,
        "fsize": limits.file_bytes,
        "cpu": limits.cpu_seconds,
        "nofile": 1024,
        "core": 0,
    }
    if _keeps_user(runtime):
        # Without a control group it leaves --memory and --pids-limit out. Processes are counted in the container's
        # user namespace here; elsewhere they would be all that the caller has.
        ulimits["nproc"] = limits.processes
    for name, value in ulimits.items():
        options += ["--ulimit", f"{name}={value}:{value}"]
    rooms = {TMP: limits.tmp_bytes, SUBMISSION: limits.tmp_bytes, SOCKETS: MEBIBYTE}
    for place, size in rooms.items():
        options += ["--tmpfs", f"{place}:rw,nosuid,nodev,size={size},mode=1777"]
    for place in PODMANS_OWN:
        options += ["--tmpfs", f"{place}:rw,nosuid,nodev,size={MEBIBYTE},mode=755"]
    return options


def _keeps_user(runtime: str) -> bool:
    """Whether the container has a user namespace of its own, in which the caller is called the same."""
    return runtime == "podman" and os.geteuid() != 0


def _user(runtime: str) -> list[str]:
    """The caller's own user, who may read what is shown; a nameless one instead of root."""
    if os.geteuid() == 0:
        return ["--user", "65534:65534"]
    keep = ["--userns", "keep-id"] if _keeps_user(runtime) else []
    return [*keep, "--user", f"{os.geteuid()}:{os.getegid()}"]
