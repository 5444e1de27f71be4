"""The container's command; run for real only where a runtime answers and has the image."""

import itertools
import os
import subprocess

import pytest

from labkit.errors import LabkitError
from labkit.grading import container as module
from labkit.grading.container import IMAGE, PACKAGE, container_command, require_container
from labkit.grading.limits import MEBIBYTE, Limits

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
        return container_command(
            ["python", "-c", "1"], runtime=runtime, name="labkit-1", **{**given, **settings}
        )

    return make


def _values(command: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(command) if name == option]


@pytest.mark.parametrize("runtime", ["podman", "docker"])
def test_it_takes_away_network_capabilities_and_the_disk(command, runtime):
    made = command(runtime)
    assert made[:2] == [runtime, "run"] and made[-4:] == [IMAGE, "python", "-c", "1"]
    assert _values(made, "--network") == ["none"]
    assert _values(made, "--cap-drop") == ["ALL"]
    assert _values(made, "--security-opt") == ["no-new-privileges"]
    assert "--read-only" in made and "--privileged" not in made
    (user,) = _values(made, "--user")
    assert user.split(":")[0] not in ("0", "root")


def test_it_holds_the_limits(command):
    made = command()
    assert _values(made, "--memory") == _values(made, "--memory-swap") == [str(LIMITS.memory_bytes)]
    assert _values(made, "--pids-limit") == ["80"]
    assert f"fsize={LIMITS.file_bytes}:{LIMITS.file_bytes}" in _values(made, "--ulimit")
    assert "cpu=60:60" in _values(made, "--ulimit") and "core=0:0" in _values(made, "--ulimit")
    assert f"size={LIMITS.tmp_bytes}" in _values(made, "--tmpfs")[0]


def test_it_shows_only_what_is_named_and_lets_only_two_folders_be_written(command, tmp_path):
    mounts = [
        dict(part.partition("=")[::2] for part in text.split(",")) for text in _values(command(), "--mount")
    ]
    writable = {mount["target"] for mount in mounts if "readonly" not in mount}
    assert writable == {"/submission", "/run/labkit"}
    assert {mount["source"] for mount in mounts if "readonly" not in mount} == {
        str(tmp_path / "copy"),
        str(tmp_path / "run"),
    }
    assert {mount["target"] for mount in mounts if "readonly" in mount} == {
        PACKAGE,
        str(tmp_path / "cache"),
        "/run/connection.json",
    }
    assert any(text.startswith(f"{PACKAGE}/grading:ro") for text in _values(command(), "--tmpfs"))


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
    assert _values(command("docker"), "--user") == ["1234:99"]


def test_another_runtime_is_refused(command):
    with pytest.raises(LabkitError, match="no container runtime 'lxc'; choose podman or docker"):
        command("lxc")


@pytest.mark.parametrize(
    "answers, outcome",
    [
        ({}, "no container runtime here: install podman or docker"),
        ({("docker", "version")}, "docker has no image 'labkit-sandbox': build it"),
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


def test_it_runs(tmp_path):
    try:
        runtime = require_container()
    except LabkitError as error:
        pytest.skip(str(error))
    for name in ("copy", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    code = "import os, socket, labkit; print(os.getuid() != 0, os.getcwd(), socket.if_nameindex())"
    made = container_command(
        ["python", "-c", code],
        runtime=runtime,
        name=f"labkit-test-{os.getpid()}",
        writable=tmp_path / "copy",
        sockets=tmp_path,
        limits=LIMITS,
    )
    done = subprocess.run(made, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True /submission [(1, 'lo')]\n", done.stderr
