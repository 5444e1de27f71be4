"""The sandbox's command: what is in there, what is not, and that it ends with whoever started it."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from daemons import names_below, runs, soon

import labkit.course.grade.sandbox.sandbox as module
from labkit.course.grade.sandbox.limits import MEBIBYTE, Limits
from labkit.course.grade.sandbox.sandbox import bare, require_sandbox, sandbox_command
from labkit.errors import LabkitError

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
        return subprocess.run(command, env=bare(), capture_output=True, text=True, timeout=300)

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
    assert done.stdout == "['GIVEN', 'HOME', 'LANG', 'PATH', 'PWD', 'PYTHONPATH', 'TMPDIR', 'USER']\n"


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
import uuid
name = "/" + uuid.uuid4().hex  # a fixed one may be there already, as a folder
places += [sys.prefix, os.path.dirname(labkit.__file__), "/submission", "/tmp", "/dev/shm", "/run/labkit"]
for place in places:
    try:
        open(place + name, "w").close()
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
print(os.listdir(os.path.join(os.path.dirname(labkit.__file__), "course")))
import labkit.course.grade.sandbox.sandbox
"""
    done = inside(code)
    assert done.stdout == "['grade']\n"
    assert "No module named 'labkit.course.grade.sandbox'" in done.stderr


def test_the_grading_room_stays_hidden_when_a_readable_folder_holds_it(inside):
    checkout = Path(module.hidden_package()).parents[1]
    code = f"import os; print([(len(names), files) for _, names, files in os.walk({module.hidden_package()!r})][:3])"
    assert inside(code, readable=[checkout]).stdout == "[(1, []), (1, []), (1, [])]\n"


def test_a_readable_folder_is_seen_and_its_neighbour_is_not(inside, tmp_path):
    for name in ("shown", "beside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text(name)
    code = f"import os; print(open({str(tmp_path / 'shown' / 'text')!r}).read(), os.listdir({str(tmp_path)!r}))"
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
    worker = subprocess.Popen([sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"], env=bare())
    assert soon(lambda: "sleep" in names_below(worker.pid), seconds=60)
    below = psutil.Process(worker.pid).children(recursive=True)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert soon(lambda: not any(runs(process) for process in below), seconds=60)


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
    monkeypatch.setattr(module, "_options", lambda: frozenset({"--size", "--disable-userns", "--seccomp"}))
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
