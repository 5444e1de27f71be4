"""The container's command and its kernel's relay, without a container; hostile/test_in_a_container.py has one."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernels import Session
from typer.testing import CliRunner

import labkit
from labkit.course.grade.command import grade_app
from labkit.course.grade.sandbox import container as module
from labkit.course.grade.sandbox import provisioner, relay
from labkit.course.grade.sandbox.container import (
    IMAGE,
    PACKAGES,
    PYTHON,
    RECIPE,
    build_image,
    container_command,
    remove_container,
    require_container,
)
from labkit.course.grade.sandbox.limits import MEBIBYTE, Limits
from labkit.course.grade.sandbox.sandbox import CONNECTION, START
from labkit.errors import LabkitError

pytest_plugins = ["kernels"]

LIMITS = Limits(memory_bytes=512 * MEBIBYTE, processes=80, file_bytes=8 * MEBIBYTE, cpu_seconds=60)


@pytest.fixture
def command(tmp_path):
    (tmp_path / "connection.json").write_text("{}")

    def make(runtime="podman", **settings):
        given = {
            "writable": tmp_path / "copy",
            "sockets": tmp_path,
            "readable": [tmp_path / "cache"],
            "limits": LIMITS,
        }
        return container_command(["python", "-c", "1"], runtime=runtime, name="labkit-1", **{**given, **settings})

    return make


def _values(command: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(command) if name == option]


@pytest.mark.parametrize("runtime", ["podman", "docker"])
def test_it_takes_away_network_capabilities_and_the_disk(command, runtime):
    made = command(runtime)
    assert made[:4] == [runtime, "run", "--rm", "--interactive"] and made[-3:] == ["python", "-c", "1"]
    assert made[made.index(IMAGE) :][1:4] == ["/bin/sh", "-c", START]
    assert _values(made, "--workdir") == ["/submission"]
    assert _values(made, "--network") == ["none"] and _values(made, "--ipc") == ["private"]
    assert _values(made, "--cap-drop") == ["ALL"]
    assert _values(made, "--security-opt") == ["no-new-privileges"]
    assert "--read-only" in made and "--privileged" not in made
    (user,) = _values(made, "--user")
    assert user.split(":")[0] not in ("0", "root")


def test_it_holds_the_limits(command):
    made = command("docker")
    assert _values(made, "--memory") == _values(made, "--memory-swap") == [str(LIMITS.memory_bytes)]
    assert _values(made, "--pids-limit") == ["80"]
    ulimits = {"data": LIMITS.memory_bytes, "fsize": LIMITS.file_bytes, "cpu": 60, "nofile": 1024, "core": 0}
    assert set(_values(made, "--ulimit")) == {f"{name}={value}:{value}" for name, value in ulimits.items()}


def test_every_place_that_can_be_written_is_in_memory_and_limited(command):
    made = command()
    places = dict(text.split(":") for text in _values(made, "--tmpfs"))
    sizes = {place: set(options.split(",")) for place, options in places.items()}
    for place, size in {
        "/tmp": LIMITS.tmp_bytes,
        "/submission": LIMITS.tmp_bytes,
        "/run/labkit": MEBIBYTE,
    }.items():
        assert {f"size={size}", "mode=1777", "nosuid", "nodev"} <= sizes[place]
    for place in ("/run", "/var/tmp"):
        assert f"size={MEBIBYTE}" in sizes[place]
    assert _values(made, "--shm-size") == [str(64 * MEBIBYTE)]


def _mounts(made: list[str]) -> dict[str, str]:
    """target → source; each is read-only."""
    parts = [dict(part.partition("=")[::2] for part in text.split(",")) for text in _values(made, "--mount")]
    assert all("readonly" in mount and mount["type"] == "bind" for mount in parts)
    return {mount["target"]: mount["source"] for mount in parts}


def test_it_shows_only_what_is_named_and_nothing_to_be_written(command, tmp_path):
    made = command()
    mounts = _mounts(made)
    package = {target: source for target, source in mounts.items() if target.startswith(f"{PACKAGES}/labkit/")}
    assert {target: source for target, source in mounts.items() if target not in package} == {
        "/run/original": str(tmp_path / "copy"),
        "/run/connection.json": str(tmp_path / "connection.json"),
        "/run/relay.py": relay.__file__,
        str(tmp_path / "cache"): str(tmp_path / "cache"),
    }
    assert not {"--volume", "-v", "--volumes-from", "--device", "--env-file"} & set(made)


def test_it_shows_labkit_without_the_grading_room(command):
    """The room is not covered up, since podman fills a file system in memory with what it covers."""
    package, protocol = Path(labkit.__file__).parent, "course/grade/talk/protocol"
    shown = {target: source for target, source in _mounts(command()).items() if target.startswith(PACKAGES)}
    assert shown == {
        f"{PACKAGES}/labkit/{path.name}": str(path)
        for path in package.iterdir()
        if path.name not in ("course", "__pycache__")
    } | {f"{PACKAGES}/labkit/{protocol}": str(package / protocol)}
    assert f"{PACKAGES}/labkit/labs" in shown


def test_its_environment_is_what_was_given(command, monkeypatch):
    monkeypatch.setenv("LABKIT_SECRET", "of-the-parent")
    made = command(environment={"LABKIT_OFFLINE": "1"})
    names = {text.split("=")[0] for text in _values(made, "--env")}
    assert names == {"HOME", "TMPDIR", "LANG", "USER", "PYTHONPATH", "LABKIT_OFFLINE"}
    assert all("=" in text for text in _values(made, "--env")), "a bare name would hand on the caller's value"


def test_rootless_podman_keeps_the_callers_user(command, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 99)
    assert _values(command("podman"), "--userns") == ["keep-id"]
    assert _values(command("docker"), "--userns") == []
    for runtime in ("podman", "docker"):
        assert _values(command(runtime), "--user") == ["1234:99"]


def test_root_is_nobody_inside(command, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for runtime in ("podman", "docker"):
        assert _values(command(runtime), "--user") == ["65534:65534"]
        assert _values(command(runtime), "--userns") == []
        assert not any(text.startswith("nproc") for text in _values(command(runtime), "--ulimit"))


def test_rootless_podman_counts_processes_itself(command, monkeypatch):
    """It drops --pids-limit where it has no control group; in docker's the caller's own would be counted, too."""
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    assert "nproc=80:80" in _values(command("podman"), "--ulimit")
    assert not any(text.startswith("nproc") for text in _values(command("docker"), "--ulimit"))


def test_another_runtime_is_refused(command):
    with pytest.raises(LabkitError, match="no container runtime 'lxc'; choose podman or docker"):
        command("lxc")


@pytest.mark.parametrize(
    "answers, outcome",
    [
        ({}, "no container runtime here: install podman or docker"),
        ({("docker", "version")}, "docker has no image 'labkit-sandbox': build it with `labkit grade image`"),
        ({("docker", "version"), ("docker", "image", "inspect", IMAGE)}, None),
    ],
)
def test_it_says_how_to_get_a_container(monkeypatch, answers, outcome):
    monkeypatch.setattr(module, "_asks", lambda *question: question in answers)
    if outcome is None:
        assert require_container() == "docker"
    else:
        with pytest.raises(LabkitError, match=outcome):
            require_container()


def test_the_first_runtime_that_has_the_image_is_used(monkeypatch):
    answers = {("podman", "version"), ("docker", "version"), ("docker", "image", "inspect", IMAGE)}
    monkeypatch.setattr(module, "_asks", lambda *question: question in answers)
    assert require_container() == "docker"
    with pytest.raises(LabkitError, match="podman has no image"):
        require_container("podman")


@pytest.fixture
def built(monkeypatch, tmp_path):
    """What a build is given, where docker alone answers; `status` is how it ends."""
    seen = {}

    def build(command, **settings):
        folder = Path(command[-1])
        seen.update(command=command, files={path.name: path.read_text() for path in folder.iterdir()})
        return subprocess.CompletedProcess(command, seen.get("status", 0))

    monkeypatch.setattr(module, "_asks", lambda *question: question == ("docker", "version"))
    monkeypatch.setattr(subprocess, "run", build)
    for name in ("constraints.txt", "pyproject.toml", "README.md", "LICENSE", "private.txt"):
        (tmp_path / name).write_text(name)
    return seen


def test_the_image_is_built_from_the_recipe_and_nothing_private(built, tmp_path):
    assert build_image(tmp_path) == "docker"
    assert built["command"][:-1] == ["docker", "build", "--tag", IMAGE]
    names = ("constraints.txt", "pyproject.toml", "README.md", "LICENSE")
    assert built["files"] == {name: name for name in names} | {"Dockerfile": RECIPE}


def test_an_image_that_cannot_be_built_is_said(built, tmp_path):
    built["status"] = 1
    with pytest.raises(LabkitError, match="docker could not build the image"):
        build_image(tmp_path)


def test_the_command_line_builds_it_from_the_project(built):
    done = CliRunner().invoke(grade_app, ["image"])
    assert (done.exit_code, done.output) == (0, f"docker has the image {IMAGE}\n")
    assert "torch" in built["files"]["constraints.txt"]


def test_a_container_that_is_gone_is_no_error(monkeypatch):
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, **settings: asked.append(command))
    remove_container("podman", "labkit-1")
    assert asked == [["podman", "rm", "--force", "labkit-1"]]


@pytest.fixture
def without_container(monkeypatch, tmp_path):
    """The provisioner's containers are processes here: the relay's inner end, beside this test."""

    def command(argv, *, sockets, writable, name, **settings):
        inside = tmp_path / name
        shutil.rmtree(inside, ignore_errors=True)
        shutil.copytree(writable, inside / "submission")
        connection = json.loads((sockets / "connection.json").read_text())
        (inside / "connection.json").write_text(json.dumps(connection | {"ip": str(inside / "kernel")}))
        python, isolated, _, _, kernel, *words = argv
        assert python == kernel == PYTHON and isolated == "-I"
        words = [str(inside / "connection.json") if word == CONNECTION else word for word in words]
        begin = f'cd {inside}/submission && exec "$@"'
        command = [sys.executable, isolated, relay.__file__, str(inside), sys.executable, *words]
        return ["/bin/sh", "-c", begin, "sh", *command]

    removed = []
    monkeypatch.setattr(provisioner, "container_command", command)
    monkeypatch.setattr(provisioner, "require_container", lambda *settings: "docker")
    monkeypatch.setattr(provisioner, "remove_container", lambda *settings: removed.append(settings))
    return removed


@pytest.fixture(scope="session")
def sandbox():
    """None is needed here."""


@pytest.fixture
def start(without_container, start_sandboxed):
    """A function that starts a kernel behind a relay."""
    started = []

    def begin(writable: Path | None = None) -> Session:
        started.append(start_sandboxed(writable, LIMITS, runtime="docker"))
        return started[-1]

    yield begin
    for session in started:
        session.close()


def test_a_kernel_is_reached_through_the_relay(start, without_container, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "lab.ipynb").write_text("handed in")
    session = start(tmp_path / "work")
    assert session.run("import os; code = 1; print(sorted(os.listdir()))") == "['lab.ipynb']\n"
    assert len(session.run("print('x' * 3_000_000)")) == 3_000_001
    session.manager.restart_kernel(now=True)
    session.client.stop_channels()
    session.client = session.manager.client()
    session.client.start_channels()
    session.client.wait_for_ready(timeout=240)
    assert session.run("print('code' in globals())") == "False\n"
    private = session.manager.provisioner._folder
    session.manager.shutdown_kernel()
    assert not private.exists()
    assert without_container and set(without_container) == {("docker", session.manager.provisioner._name)}


def test_a_container_that_does_not_start_says_why(start, without_container, monkeypatch):
    failing = ["sh", "-c", "sleep 0.5; echo 'docker: no such image' >&2; exit 125"]
    monkeypatch.setattr(provisioner, "container_command", lambda *args, **settings: failing)
    with pytest.raises(LabkitError, match="did not start: docker: no such image"):
        start()
    assert without_container, "it may be there and hang"
