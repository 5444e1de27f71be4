"""The sandbox's command: what is in there, what is not, and that it ends with whoever started it."""

import errno
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from daemons import names_below, runs, soon

import labkit.course.grade.sandbox.sandbox as module
from labkit.course.grade.sandbox import begin
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


# In the machine's own numbers; each call with arguments that would be refused for another reason or do nothing.
CALL_EACH = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for name, number in {numbers!r}.items():
    ctypes.set_errno(0)
    done = libc.syscall(number, 0, 0, 0, 0, 0, 0)
    print(name, errno.errorcode.get(ctypes.get_errno(), "done") if done < 0 else "done")
"""
KEYS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall({add}, b"user", {name!r}, b"secret", 6, {session}) > 0)
print(libc.syscall({ctl}, 10, {session}, b"user", {theirs!r}, 0) > 0)
"""


def unfiltered(command):
    """The sandbox's command with its filter and its key ring left out."""
    at = command.index(begin.__file__)
    plain = command[: at - 3] + command[at + 2 :]
    at = plain.index("--seccomp")
    return plain[:at] + plain[at + 2 :]


@pytest.fixture
def both_ways(sandbox, submission, tmp_path):
    """Runs Python in a sandbox with the filter and without; returns what it printed in each."""

    def run(code):
        command = sandbox_command([sys.executable, "-c", code], writable=submission, sockets=tmp_path, limits=SMALL)
        commands = (command, unfiltered(command))
        return [
            subprocess.run(each, env=bare(), capture_output=True, text=True, timeout=300).stdout for each in commands
        ]

    return run


def test_every_denied_call_is_refused_and_most_would_be_answered_otherwise(both_ways):
    place = begin.MACHINES[platform.machine()][0]
    numbers = {
        name: each[place] for name, each in begin.DENIED.items() if each[place] is not None and name != "reboot"
    }
    filtered, plain = (
        dict(line.split() for line in out.splitlines()) for out in both_ways(CALL_EACH.format(numbers=numbers))
    )
    assert filtered == dict.fromkeys(numbers, "EPERM")
    for name in ("keyctl", "add_key", "request_key", "io_uring_setup", "ptrace", "bpf", "userfaultfd", "kcmp"):
        assert name in filtered
    assert sum(each != "EPERM" for each in plain.values()) > 10, plain


def test_no_socket_leaves_by_a_family_that_knows_no_network_namespace(both_ways):
    code = """
import socket
for family in (1, 2, 10, 16, 38, 40, 17, 15, 29):
    try:
        socket.socket(family, socket.SOCK_DGRAM if family != 38 else socket.SOCK_SEQPACKET, 0).close()
        print(family, "made")
    except OSError as error:
        print(family, error.errno)
"""
    filtered = dict(line.split() for line in both_ways(code)[0].splitlines())
    assert {filtered[each] for each in ("1", "2", "10", "16")} == {"made"}
    assert {filtered[each] for each in ("38", "40", "17", "15", "29")} == {str(errno.EAFNOSUPPORT)}


@pytest.mark.skipif(sys.platform != "linux", reason="key rings are of Linux")
def test_no_key_crosses_the_border(sandbox, submission, tmp_path):
    """A key of the caller's session is not read inside, and one that is added inside is not there outside."""
    place, session = begin.MACHINES[platform.machine()][0], -3
    add, ctl = begin.DENIED["add_key"][place], begin.DENIED["keyctl"][place]
    ours, theirs = (name + os.urandom(4).hex().encode() for name in (b"of-the-caller-", b"of-inside-"))
    inside = KEYS.format(add=add, ctl=ctl, name=theirs, theirs=ours, session=session)
    found = []
    for strip in (lambda command: command, unfiltered):
        command = strip(
            sandbox_command([sys.executable, "-c", inside], writable=submission, sockets=tmp_path, limits=SMALL)
        )
        # A caller with a session of its own, and a key in it; afterwards it looks for the key from inside.
        caller = f"""
import ctypes, subprocess
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall({ctl}, 1, None) > 0
key = libc.syscall({add}, b"user", {ours!r}, b"secret", 6, {session})
libc.syscall({ctl}, 5, key, 0x3F3F3F3F)
print(subprocess.run({command!r}, env={bare()!r}, capture_output=True, text=True).stdout.split())
print(libc.syscall({ctl}, 10, {session}, b"user", {theirs!r}, 0) > 0)
"""
        done = subprocess.run([sys.executable, "-c", caller], capture_output=True, text=True, timeout=300)
        if "assert" in done.stderr:
            pytest.skip("this kernel has no key rings")
        found.append(done.stdout.splitlines())
    assert found[0] == ["['False', 'False']", "False"]
    assert found[1] != found[0], "without the defence a key crosses"


def test_a_machine_whose_calls_are_not_known_gets_no_sandbox(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SystemExit, match="riscv64"):
        begin.main(99, ["true"])


@pytest.mark.parametrize("machine", begin.MACHINES)
def test_the_filter_denies_what_is_listed_and_lets_all_else_through(machine):
    """The program itself, run here step by step, for machines that are not at hand."""
    place, architecture = begin.MACHINES[machine]
    text = begin.filter_program(machine)
    program = [struct.unpack("=HBBI", text[n : n + 8]) for n in range(0, len(text), 8)]

    def answer(number, arguments=(0, 0), architecture=architecture):
        shown, step, value = {0: number, 4: architecture, 16: arguments[0], 24: arguments[1]}, 0, 0
        while True:
            code, true, false, k = program[step]
            step += 1
            if code == begin.GIVE:
                return k
            if code == begin.LOAD:
                value = shown[k]
            else:
                step += true if (value == k if code == begin.EQUAL else value >= k) else false

    denied = {each[place] for each in begin.DENIED.values()} - {None}
    refused = begin.REFUSE | errno.EPERM
    for number in range(460):
        if number not in (begin.SOCKET[place], begin.IOCTL[place]):
            assert answer(number) == (refused if number in denied else begin.ALLOW), number
    assert [answer(begin.SOCKET[place], (each, 0)) for each in begin.FAMILIES] == [begin.ALLOW] * 4
    assert answer(begin.SOCKET[place], (40, 0)) == begin.REFUSE | errno.EAFNOSUPPORT
    assert [answer(begin.SCHEDULER[place], (0, policy)) for policy in (1, 2, 3, 5, 6)] == [refused] * 5
    assert answer(begin.IOCTL[place], (0, begin.TIOCSTI)) == refused and answer(begin.IOCTL[place]) == begin.ALLOW
    assert answer(0, architecture=0x40000003) == refused
    assert answer(0x40000000) == (refused if place == 0 else begin.ALLOW)
