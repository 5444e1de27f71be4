"""The sandbox's command: what is in there, what is not, and that it ends with whoever started it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import labkit.grading.sandbox as module
from labkit.errors import LabkitError
from labkit.grading.cgroup import OVERHEAD, PREFIX, Group, make_group, systemd_scope
from labkit.grading.limits import MEBIBYTE, Limits
from labkit.grading.sandbox import bare, require_sandbox, sandbox_command
from labkit.grading.staging import MAX_FILES, copy_plain, replace_content, throw_away

pytest_plugins = ["kernels"]

SMALL = Limits(memory_bytes=512 * MEBIBYTE, processes=80, tmp_bytes=8 * MEBIBYTE)
# Of each process in /proc what its status says, and its environment where it can be read.
LOOK_AROUND = """
import os
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            print(open(f"/proc/{name}/environ").read().replace(chr(0), "|"))
        except OSError:
            pass
"""


@pytest.fixture
def submission(tmp_path):
    folder = tmp_path / "submission"
    folder.mkdir(mode=0o755)
    (folder / "lab.ipynb").write_text("{}")
    return folder


@pytest.fixture
def inside(sandbox, submission, tmp_path):
    """Runs Python in a sandbox; returns what it printed."""

    def run(code, limits=SMALL, environment=None, readable=()):
        command = sandbox_command(
            [sys.executable, "-c", code],
            writable=submission,
            sockets=tmp_path,
            readable=readable,
            limits=limits,
            environment=environment,
        )
        return subprocess.run(command, env=bare(), capture_output=True, text=True, timeout=60)

    return run


def test_it_is_an_ordinary_user_without_capabilities_or_a_way_to_get_any(inside):
    code = """
import os, subprocess
print(os.getuid(), os.getgid())
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
capabilities = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
print({status[name].strip() for name in capabilities}, status["NoNewPrivs"].strip())
print(subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode != 0)
"""
    done = inside(code)
    assert done.stdout.splitlines() == ["1000 1000", "{'0000000000000000'} 1", "True"], done.stderr


def test_root_outside_is_not_root_for_the_kernel(inside):
    """The owner of what the sandbox makes, as seen from outside, is nobody of this machine."""
    done = inside("print(open('/proc/self/mountinfo').read())")
    owner = int(done.stdout.split("uid=")[1].split(",")[0])
    assert owner >= module.FIRST_USER if os.geteuid() == 0 else owner == os.geteuid()


def test_nothing_of_the_callers_environment_is_inside_even_in_the_sandboxs_own_processes(inside, monkeypatch):
    monkeypatch.setenv("LABKIT_SECRET", "of-the-parent")
    done = inside(LOOK_AROUND, environment={"GIVEN": "yes"})
    assert "GIVEN=yes" in done.stdout
    assert "of-the-parent" not in done.stdout
    plain = subprocess.run([sys.executable, "-c", LOOK_AROUND], capture_output=True, text=True)
    assert "of-the-parent" in plain.stdout


def test_the_environment_is_what_was_given_and_no_more(inside, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    done = inside("import os; print(sorted(os.environ))", environment={"GIVEN": "yes"})
    assert done.stdout == "['GIVEN', 'HOME', 'LANG', 'PATH', 'PWD', 'TMPDIR', 'USER']\n"


def test_it_has_a_session_and_limits_of_its_own(inside):
    code = "import os, resource; print(os.getsid(0) > 0, resource.getrlimit(resource.RLIMIT_CORE))"
    assert inside(code).stdout == "True (0, 0)\n"


def test_no_file_of_the_caller_stays_open_inside(inside):
    assert inside("import os; print(len(os.listdir('/proc/self/fd')))").stdout == "4\n"


def test_only_the_named_places_can_be_written(inside):
    code = """
import os
places = ["/", "/dev", "/etc", "/run", "/usr/lib", "/proc", "/proc/sys/kernel", os.path.dirname(os.__file__)]
import labkit, sys
places += [sys.prefix, os.path.dirname(labkit.__file__), "/submission", "/tmp", "/dev/shm", "/run/labkit"]
for place in places:
    try:
        open(place + "/new", "w").close()
        print(place)
    except OSError:
        pass
"""
    done = inside(code)
    assert done.stdout.split() == ["/submission", "/tmp", "/dev/shm", "/run/labkit"], done.stderr


def test_it_starts_in_a_copy_and_leaves_the_original_alone(inside, submission):
    code = "import os; print(os.listdir()); open('lab.ipynb', 'w').write('changed'); open('more', 'w')"
    assert inside(code).stdout == "['lab.ipynb']\n"
    assert (submission / "lab.ipynb").read_text() == "{}"
    assert [path.name for path in submission.iterdir()] == ["lab.ipynb"]


def test_labkit_is_there_without_the_grading_room(inside):
    code = """
import labkit.errors
import os
print(os.listdir(os.path.join(os.path.dirname(labkit.__file__), "grading")))
import labkit.grading.sandbox
"""
    done = inside(code)
    assert done.stdout == "[]\n"
    assert "No module named 'labkit.grading.sandbox'" in done.stderr


def test_the_grading_room_stays_hidden_when_a_readable_folder_holds_it(inside):
    checkout = Path(module.hidden_package()).parents[1]
    assert (
        inside(f"import os; print(os.listdir({module.hidden_package()!r}))", readable=[checkout]).stdout
        == "[]\n"
    )


def test_a_readable_folder_is_seen_and_its_neighbour_is_not(inside, tmp_path):
    for name in ("shown", "beside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text(name)
    code = (
        f"import os; print(open({str(tmp_path / 'shown' / 'text')!r}).read(), os.listdir({str(tmp_path)!r}))"
    )
    assert inside(code, readable=[tmp_path / "shown"]).stdout == "shown ['shown']\n"


def test_the_processors_time_is_limited(inside):
    done = inside("while True: pass", limits=replace(SMALL, cpu_seconds=1))
    assert done.returncode != 0


def test_the_number_of_processes_is_limited_without_a_control_group_too(inside):
    """For root as well, whom such a limit does not hold by itself."""
    code = """
import os, signal
children = []
try:
    while len(children) < 150:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError as error:
    print(error.strerror)
print(len(children))
"""
    refusal, children = inside(code).stdout.splitlines()
    assert refusal == "Resource temporarily unavailable"
    assert SMALL.processes - 10 < int(children) < SMALL.processes


def test_memory_is_limited_without_a_control_group_too(inside):
    code = "block = bytearray({size} * 2**20); print(len(block))"
    assert "MemoryError" in inside(code.format(size=520)).stderr
    assert inside(code.format(size=400)).stdout != ""


def test_a_file_cannot_grow_past_its_limit(inside):
    code = "open('large', 'wb').write(bytes(3 * 2**20))"
    assert inside(code).returncode == 0
    assert "File too large" in inside(code, limits=replace(SMALL, file_bytes=2 * MEBIBYTE)).stderr


def test_no_place_takes_more_than_its_size(inside):
    code = """
for place in ("/submission", "/tmp", "/dev/shm", "/run/labkit"):
    done = 0
    try:
        with open(place + "/filler", "wb", buffering=0) as stream:
            while done < 100:
                done += stream.write(bytes(2**20)) // 2**20
    except OSError:
        pass
    print(place, done)
"""
    done = dict(line.split() for line in inside(code).stdout.splitlines())
    assert {place: int(size) for place, size in done.items()} == {
        "/submission": 7,  # what is left beside the submission itself
        "/tmp": 8,
        "/dev/shm": 64,
        "/run/labkit": 1,
    }


def test_a_readable_path_that_is_missing_or_holds_everything_is_refused(submission, tmp_path):
    for path, words in (
        (tmp_path / "none", "is not there"),
        (Path("/"), "too wide"),
        (Path.home(), "too wide"),
    ):
        with pytest.raises(LabkitError, match=words):
            sandbox_command(["true"], writable=submission, sockets=tmp_path, readable=[path])


def test_it_ends_with_the_process_that_started_it(sandbox, submission, tmp_path):
    command = sandbox_command(["sleep", "60"], writable=submission, sockets=tmp_path)
    worker = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"], env=bare()
    )
    assert _wait(
        lambda: "sleep" in [child.name() for child in psutil.Process(worker.pid).children(recursive=True)]
    )
    below = psutil.Process(worker.pid).children(recursive=True)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert _wait(lambda: not any(_runs(process) for process in below))


def test_without_bubblewrap_it_says_how_to_get_a_sandbox(monkeypatch, tmp_path):
    require_sandbox.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(
        LabkitError, match=r"bubblewrap is not installed.*apt install bubblewrap.*--container.*--unsafe"
    ):
        require_sandbox()


def test_without_user_namespaces_it_hands_on_the_reason(monkeypatch):
    require_sandbox.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/bwrap")
    monkeypatch.setattr(module, "_options", lambda: frozenset({"--size", "--disable-userns"}))
    failing = ["sh", "-c", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1"]
    monkeypatch.setattr(module, "sandbox_command", lambda *args, **settings: failing)
    with pytest.raises(LabkitError, match=r"No permissions to create new namespace.*user namespaces"):
        require_sandbox()
    require_sandbox.cache_clear()


def test_an_old_bubblewrap_is_refused(monkeypatch):
    require_sandbox.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/bwrap")
    monkeypatch.setattr(module, "_options", lambda: frozenset({"--tmpfs"}))
    with pytest.raises(LabkitError, match="bwrap has no --disable-userns"):
        require_sandbox()


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


def test_copies_hold_plain_files_only(tmp_path):
    source, secret = tmp_path / "source", tmp_path / "other" / "secret"
    secret.parent.mkdir()
    secret.write_text("of someone else")
    (source / "artefacts").mkdir(parents=True)
    (source / "artefacts" / "array.npz").write_bytes(b"array")
    (source / "link").symlink_to(secret)
    (source / "folder").symlink_to(secret.parent)
    os.mkfifo(source / "pipe")
    left_out = copy_plain(source, tmp_path / "target", 1000)
    assert left_out == ["folder", "link", "pipe"]
    assert [
        path.relative_to(tmp_path / "target").as_posix() for path in (tmp_path / "target").rglob("*.*")
    ] == ["artefacts/array.npz"]
    assert (
        shutil.copytree(source / "folder", tmp_path / "naive") / "secret"
    ).read_text() == "of someone else"


def test_copies_stop_at_their_limits(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name, size in (("a", 600), ("b", 600), ("c", 300)):
        (source / name).write_bytes(b"x" * size)
    with open(source / "sparse", "wb") as stream:
        stream.truncate(10**7)
    assert copy_plain(source, tmp_path / "target", 1000) == ["b", "sparse"]
    deep = source.joinpath(*["deeper"] * 12)
    deep.mkdir(parents=True)
    for number in range(MAX_FILES + 5):
        (source / f"many-{number}").touch()
    left_out = copy_plain(source, tmp_path / "again", 10**6)
    assert "/".join(["deeper"] * 9) in left_out
    assert len(list((tmp_path / "again").iterdir())) <= MAX_FILES


def test_a_folder_gets_new_content_without_following_its_links(tmp_path):
    folder, fresh, outside = tmp_path / "folder", tmp_path / "fresh", tmp_path / "outside"
    for path in (folder, fresh, outside):
        path.mkdir()
    (outside / "kept").write_text("kept")
    (folder / "link").symlink_to(outside)
    (folder / "old").write_text("old")
    (fresh / "new").write_text("new")
    replace_content(folder, fresh)
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert (outside / "kept").read_text() == "kept"


def test_only_a_throw_away_folder_gets_new_content(tmp_path, monkeypatch):
    (tmp_path / "fresh").mkdir()
    (tmp_path / "work" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work" / "below")
    refused = [tmp_path / "work", tmp_path / "link", tmp_path / "none"]
    for folder in (*refused, Path(""), Path.cwd(), Path.home(), Path("/")):
        with pytest.raises(LabkitError, match="no throw-away copy"):
            throw_away(folder)
    with pytest.raises(LabkitError, match="no throw-away copy"):
        replace_content(tmp_path / "work", tmp_path / "fresh")
    assert (tmp_path / "work" / "below").is_dir()


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _wait(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
