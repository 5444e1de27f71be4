"""A control group takes a sandbox's limits, and goes with it."""

import subprocess

import pytest

from labkit.errors import LabkitError
from labkit.grading.cgroup import OVERHEAD, PREFIX, Group, make_group, systemd_scope
from labkit.grading.limits import MEBIBYTE, Limits

SMALL = Limits(memory_bytes=512 * MEBIBYTE, processes=80, tmp_bytes=8 * MEBIBYTE)


def test_limits_survive_json_and_refuse_nonsense():
    assert Limits.of(SMALL.as_dict()) == SMALL
    with pytest.raises(LabkitError, match="no limit 'memory'"):
        Limits.of({"memory": 1})
    with pytest.raises(LabkitError, match="processes is 0"):
        Limits(processes=0)


def test_a_group_takes_its_limits_and_is_gone_afterwards():
    group = make_group(SMALL)
    if group is None:
        pytest.skip("this user can make no control group")
    try:
        files = [path for folder in group.folders for path in folder.iterdir()]
        names = ("memory.max", "memory.limit_in_bytes", "pids.max")
        held = {path.name.split(".")[0]: path.read_text().strip() for path in files if path.name in names}
        assert held == {"memory": str(SMALL.memory_bytes), "pids": str(SMALL.processes + OVERHEAD)}
        done = subprocess.run(group.wrap(["cat", "/proc/self/cgroup"]), capture_output=True, text=True)
        assert done.stdout.count(group.folders[0].name) == len(group.folders), done.stderr
    finally:
        group.remove()
    assert not any(folder.exists() for folder in group.folders)


def test_a_group_left_by_a_dead_process_is_swept_away():
    first = make_group(SMALL)
    if first is None:
        pytest.skip("this user can make no control group")
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = Group(tuple(folder.with_name(f"{PREFIX}{dead.pid}-0") for folder in first.folders))
    for folder in left.folders:
        folder.mkdir()
    make_group(SMALL).remove()
    assert not any(folder.exists() for folder in left.folders)
    assert all(folder.exists() for folder in first.folders)
    first.remove()


def test_a_command_that_cannot_enter_its_group_does_not_run(tmp_path):
    done = subprocess.run(Group((tmp_path / "none",)).wrap(["echo", "ran"]), capture_output=True, text=True)
    assert done.returncode != 0 and "ran" not in done.stdout


def test_systemd_gets_the_same_limits():
    command = systemd_scope(["true"], SMALL)
    assert command[0] == "systemd-run" and command[-2:] == ["--", "true"]
    assert f"MemoryMax={SMALL.memory_bytes}" in command and "MemorySwapMax=0" in command
