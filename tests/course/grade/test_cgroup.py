"""A control group takes a sandbox's limits, and goes with it."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from labkit.course.grade.sandbox import cgroup as module
from labkit.course.grade.sandbox.cgroup import OVERHEAD, PREFIX, Group, has_systemd, make_group, systemd_scope
from labkit.course.grade.sandbox.limits import MEBIBYTE, Limits
from labkit.errors import LabkitError

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


FILES = {
    "unified": ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cgroup.procs"),
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cgroup.procs"),
    "pids": ("pids.max", "cgroup.procs"),
}


class Tree:
    """A folder that behaves as control groups do: a new group has its files, one with processes stays."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._patch, self.kind = root, monkeypatch, {}
        self.read_only: set[str] = set()
        self._mkdir, self._rmdir = Path.mkdir, Path.rmdir
        monkeypatch.setattr(module, "MOUNT", root)
        monkeypatch.setattr(Path, "mkdir", lambda path, *args, **settings: self._make(path, *args, **settings))
        monkeypatch.setattr(Path, "rmdir", lambda path: self._take_away(path))
        monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in self.read_only)

    def version_1(self, **own: str) -> list[Path]:
        self._patch.setattr(module, "_own_groups", lambda: own | {"": ""})
        return [
            self.group(controller, f"{controller}/{own.get(controller, '')}") for controller in ("memory", "pids")
        ]

    def version_2(self, own: str) -> Path:
        self._patch.setattr(module, "_own_groups", lambda: {"": own})
        return self.group("unified", own)

    def group(self, kind: str, path: str) -> Path:
        """A group that is there."""
        folder = self.root / path
        self.kind[folder] = kind
        os.makedirs(folder, exist_ok=True)
        (folder / "cgroup.procs").write_text("")
        return folder

    def _make(self, path: Path, *args, **settings) -> None:
        self._mkdir(path, *args, **settings)
        for name in FILES[self.kind[path.parent]]:
            (path / name).write_text("")

    def _take_away(self, path: Path) -> None:
        if (path / "cgroup.procs").read_text():
            raise OSError(16, "busy")
        shutil.rmtree(path)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    return Tree(tmp_path, monkeypatch)


def _held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != "cgroup.procs"}


@pytest.mark.parametrize("place", ["session", ""])
def test_version_2_has_one_group_with_every_limit(tree, place):
    """Below the process's own, or beside it where that hands nothing down."""
    own = tree.version_2("user/session")
    base = tree.group("unified", f"user/{place}".rstrip("/"))
    (own / "cgroup.subtree_control").write_text("")
    (base / "cgroup.subtree_control").write_text("cpu memory pids\n")
    group = make_group(SMALL)
    (folder,) = group.folders
    assert folder.parent == base and folder.name.startswith(f"{PREFIX}{os.getpid()}-")
    assert _held(folder) == {
        "memory.max": str(SMALL.memory_bytes),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(SMALL.processes + OVERHEAD),
    }
    assert make_group(SMALL).folders != group.folders
    group.remove()
    assert not folder.exists()


@pytest.mark.parametrize("handed_down", ["", "memory", "cpu pids"])
def test_version_2_without_both_controllers_is_no_group(tree, handed_down):
    own = tree.version_2("user")
    (own / "cgroup.subtree_control").write_text(handed_down)
    assert make_group(SMALL) is None and not list(tree.root.rglob(f"{PREFIX}*"))


def test_version_2_of_someone_else_is_no_group(tree):
    own = tree.version_2("user")
    (own / "cgroup.subtree_control").write_text("memory pids")
    tree.read_only = {str(own)}
    assert make_group(SMALL) is None


def test_version_1_has_a_group_for_each_controller(tree):
    bases = tree.version_1(memory="mine", pids="")
    group = make_group(SMALL)
    assert [folder.parent for folder in group.folders] == bases
    memory, pids = (str(SMALL.memory_bytes), str(SMALL.processes + OVERHEAD))
    assert _held(group.folders[0]) == {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}
    assert _held(group.folders[1]) == {"pids.max": pids}
    group.remove()
    assert not any(folder.exists() for folder in group.folders)


@pytest.mark.parametrize("lacking", ["memory", "pids"])
def test_version_1_without_one_controller_is_no_group(tree, lacking):
    bases = dict(zip(("memory", "pids"), tree.version_1()))
    tree.read_only = {str(bases[lacking])}
    assert make_group(SMALL) is None
    tree.read_only = set()
    (bases[lacking] / "cgroup.procs").unlink()
    assert make_group(SMALL) is None
    assert not list(tree.root.rglob(f"{PREFIX}*"))


def test_a_group_whose_limits_cannot_be_written_does_not_stay(tree, monkeypatch):
    tree.version_1()

    def refuse(folder, limits):
        raise OSError(22, "invalid")

    monkeypatch.setattr(module, "_write_limits", refuse)
    assert make_group(SMALL) is None and not list(tree.root.rglob(f"{PREFIX}*"))


def test_only_groups_of_dead_processes_are_swept(tree):
    memory, _ = tree.version_1()
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {
        f"{PREFIX}{dead.pid}-0": False,
        f"{PREFIX}1-0": True,
        f"{PREFIX}mine": True,
        f"other-{dead.pid}-0": True,
        f"{dead.pid}-0": True,
    }
    for name in names:
        (memory / name).mkdir()
    make_group(SMALL)
    assert {name: (memory / name).is_dir() for name in names} == names


def test_a_group_is_removed_when_its_last_process_is_gone(tree):
    tree.version_1()
    group = make_group(SMALL)
    processes = group.folders[0] / "cgroup.procs"
    processes.write_text("1")
    group.remove(patience=0)
    assert group.folders[0].is_dir()
    threading.Timer(0.1, processes.write_text, [""]).start()
    group.remove()
    assert not any(folder.exists() for folder in group.folders)


def test_a_command_enters_every_folder_before_it_begins(tmp_path):
    folders = [tmp_path / "of memory", tmp_path / "of pids"]
    for folder in folders:
        folder.mkdir()
    done = subprocess.run(
        Group(tuple(folders)).wrap(["sh", "-c", 'echo $$ "$1"', "sh", "two words"]),
        capture_output=True,
        text=True,
    )
    number = (folders[0] / "cgroup.procs").read_text().strip()
    assert done.stdout == f"{number} two words\n"
    assert (folders[1] / "cgroup.procs").read_text().strip() == number


def test_the_own_group_is_read_for_both_versions(monkeypatch):
    text = "9:cpu,cpuacct:/a\n4:memory:/process/b:c\n0::/user.slice\n"
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    assert module._own_groups() == {"cpu": "a", "cpuacct": "a", "memory": "process/b:c", "": "user.slice"}


@pytest.mark.parametrize("user, words", [(0, []), (1000, ["--user"])])
def test_systemd_gets_the_same_limits(monkeypatch, user, words):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    settings = [
        f"MemoryMax={SMALL.memory_bytes}",
        "MemorySwapMax=0",
        f"TasksMax={SMALL.processes + OVERHEAD}",
    ]
    settings = [text for each in settings for text in ("-p", each)]
    begin = ["systemd-run", *words, "--scope", "--quiet", "--collect"]
    assert systemd_scope(["true", "-x"], SMALL) == [*begin, *settings, "--", "true", "-x"]


@pytest.mark.parametrize("script, answer", [(None, False), ("exit 0", True), ("exit 1", False)])
def test_systemd_counts_only_where_it_gives_a_scope(monkeypatch, tmp_path, script, answer):
    has_systemd.cache_clear()
    if script is not None:
        (tmp_path / "systemd-run").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert has_systemd() is answer
    has_systemd.cache_clear()
