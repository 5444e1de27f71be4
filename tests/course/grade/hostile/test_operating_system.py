"""Attacks on the machine: each reaches its aim in an ordinary kernel and misses it in the sandbox.

The aims are decoys below tmp_path.
"""

import ctypes
import os
import signal
import socket
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from daemons import QUIET, daemon_code, runs, soon, with_token

from labkit.course.grade.sandbox.sandbox import hidden_package

pytest_plugins = ["kernels"]

SECRET = "of-someone-else"


@pytest.fixture(scope="module")
def plain(start_plain):
    """An ordinary kernel of a process whose environment holds something."""
    os.environ["LABKIT_DECOY"] = SECRET
    yield start_plain()
    del os.environ["LABKIT_DECOY"]


@pytest.fixture
def course(tmp_path):
    """Decoys for all that is worth reading or changing."""
    places = {
        "submission": "submitted/bob/lab03a/03a.ipynb",
        "source": "source/lab03a/03a.ipynb",
        "gradebook": "gradebook.db",
        "salt of hidden inputs": ".grading-salt",
        "outcome": "executed/bob/lab03a/outcome.json",
        "kernelspec": "jupyter/kernels/labkit-sandbox/kernel.json",
    }
    for place in places.values():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(SECRET)
    return {name: tmp_path / place for name, place in places.items()}


@pytest.mark.parametrize("aim", ["submission", "source", "gradebook", "salt of hidden inputs", "outcome"])
def test_reading_what_belongs_to_others(both, course, aim):
    inside, outside = both(f"print(open({str(course[aim])!r}).read())")
    assert SECRET in outside
    assert SECRET not in inside and "FileNotFoundError" in inside


def test_searching_the_disk_for_the_course(both, course, tmp_path):
    inside, outside = both(f"import os; print([names for *_, names in os.walk({str(tmp_path)!r})])")
    assert "gradebook.db" in outside
    assert inside == "[]\n"


def test_reading_the_grading_room(both):
    code = f"print(open({str(Path(hidden_package(), 'grade', 'sandbox', 'sandbox.py'))!r}).read()[:40])"
    inside, outside = both(code)
    assert "The sandbox" in outside
    assert "FileNotFoundError" in inside
    inside, outside = both("import labkit.course.grade.sandbox.sandbox as room; print(room.__name__)")
    assert outside == "labkit.course.grade.sandbox.sandbox\n"
    assert "ModuleNotFoundError" in inside


def test_reading_the_environment_of_the_grader(both):
    """Its own, and that of every process it can see."""
    code = """
import os
seen = [str(dict(os.environ))]
for name in os.listdir("/proc"):
    try:
        seen.append(open(f"/proc/{name}/environ").read())
    except OSError:
        pass
print(any("LABKIT_DECOY" in text for text in seen), len([name for name in os.listdir("/proc") if name.isdigit()]) > 4)
"""
    inside, outside = both(code)
    assert outside == "True True\n"
    assert inside == "False False\n"


def test_reading_the_passwords(both):
    inside, outside = both("print(len(open('/etc/shadow').read()) > 0)")
    assert outside == "True\n" if os.access("/etc/shadow", os.R_OK) else "PermissionError" in outside
    assert "FileNotFoundError" in inside
    inside, outside = both("print(len(open('/etc/passwd').read()) > 0)")
    assert outside == "True\n" and "FileNotFoundError" in inside


@pytest.mark.parametrize("aim", ["submission", "source", "gradebook", "outcome", "kernelspec"])
def test_changing_what_belongs_to_others(sandboxed, plain, course, aim):
    path = course[aim]
    code = f"""
import os
os.makedirs({str(path.parent)!r}, exist_ok=True)
open({str(path)!r}, "w").write("full marks")
"""
    sandboxed.run(code)
    assert path.read_text() == SECRET
    plain.run(code)
    assert path.read_text() == "full marks"


@pytest.mark.parametrize("place", ["sys.prefix", "sys.prefix + '/share/jupyter/kernels'", "labkit.__path__[0]"])
def test_planting_code_where_it_would_be_run(sandboxed, plain, place):
    name = f"decoy-{uuid.uuid4().hex}"
    code = f"import labkit, sys; open({place} + '/{name}', 'w').close(); print({place})"
    assert "Read-only file system" in sandboxed.run(code)
    said = plain.run(code)
    planted = Path(said.strip()) / name
    if "PermissionError" in said:
        pytest.skip("this user's own kernel may not write there either")
    assert planted.exists()
    planted.unlink()


def test_becoming_root_of_a_user_namespace_of_ones_own(both):
    """By clone3, whose flags no filter of system calls can read; within it, mounts and networks could be made."""
    code = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
about = (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, signal.SIGCHLD)
child = libc.syscall(435, about, 64)
if child == 0:
    os._exit(0)
print("made" if child > 0 else os.strerror(ctypes.get_errno()))
"""
    inside, outside = both(code)
    assert outside == "made\n" or os.geteuid() != 0  # a system may forbid it to everybody but root
    assert inside in ("No space left on device\n", "Operation not permitted\n")


def test_reading_and_changing_the_graders_memory(both):
    """Of the process that started the kernel; where its number is known, too."""
    decoy = ctypes.create_string_buffer(SECRET.encode())
    place = ctypes.addressof(decoy)
    code = f"""
import os
for number in (os.getppid(), {os.getpid()}):
    try:
        with open(f"/proc/{{number}}/mem", "r+b", buffering=0) as memory:
            memory.seek({place})
            print(memory.read({len(SECRET)}))
            memory.seek({place})
            memory.write(b"full")
    except OSError as error:
        print(error.strerror)
"""
    inside, outside = both(code)
    if "Permission denied" in outside:
        pytest.skip("this system lets nobody but root look into a parent")
    assert SECRET in outside and decoy.value == b"full" + SECRET[4:].encode()
    assert inside == "Input/output error\nNo such file or directory\n"


def test_a_first_process_that_could_be_taken_over_for_what_a_kernel_may_not(sandboxed, plain):
    """All that runs in there has the filter of system calls, no right, and no way to get one."""
    code = """
import os
for number in sorted(filter(str.isdigit, os.listdir("/proc"))):
    about = dict(line.split(":", 1) for line in open(f"/proc/{number}/status"))
    print(number, about["Seccomp"].strip(), about["NoNewPrivs"].strip(), int(about["CapBnd"], 16))
"""
    assert sandboxed.run(code) == "1 2 1 0\n2 2 1 0\n"
    (own,) = [line for line in plain.run(code).splitlines() if line.startswith(f"{plain.manager.provisioner.pid} ")]
    assert not own.endswith(" 2 1 0")


def test_signals_to_the_grader(sandboxed, plain):
    code = f"""
import os, signal
for number in (os.getppid(), {os.getpid()}):
    try:
        os.kill(number, signal.SIGWINCH)
        print("sent")
    except OSError as error:
        print(error.strerror)
"""
    heard: list[int] = []
    before = signal.signal(signal.SIGWINCH, lambda number, _: heard.append(number))
    try:
        assert sandboxed.run(code) == "sent\nNo such process\n"  # the first is bubblewrap's own
        assert heard == []
        assert plain.run(code) == "sent\nsent\n"
        assert soon(lambda: heard)
    finally:
        signal.signal(signal.SIGWINCH, before)


def test_another_place_in_the_queue_for_a_core(both):
    """Behind all others, who never gets one looks as if the machine were busy; before them the grader gets none."""
    code = f"""{QUIET}
import os
def child(change):
    number = os.fork()
    if number == 0:
        try:
            change()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
print(child(lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))), child(lambda: os.nice(19)))
"""
    inside, outside = both(code)
    assert outside == "0 0\n"
    assert inside == "1 1\n"


@pytest.fixture
def listener(tmp_path):
    """Servers outside, on localhost and on a socket of the file system, and what they were told."""
    heard: list[bytes] = []
    servers = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)]
    servers[1].bind(str(tmp_path / "s"))
    servers[1].listen()
    abstract = f"\0labkit-{uuid.uuid4().hex}"
    servers.append(socket.socket(socket.AF_UNIX))
    servers[2].bind(abstract)
    servers[2].listen()

    def serve(server: socket.socket) -> None:
        while True:
            try:
                with server.accept()[0] as connection:
                    heard.append(connection.recv(100))
            except OSError:
                return

    threads = [threading.Thread(target=serve, args=[server], daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    addresses = {"tcp": servers[0].getsockname(), "file": str(tmp_path / "s"), "abstract": abstract}
    yield SimpleNamespace(heard=heard, addresses=addresses)
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.parametrize("kind", ["tcp", "file", "abstract"])
def test_sending_answers_to_a_server_outside(sandboxed, plain, listener, kind):
    family = "AF_INET" if kind == "tcp" else "AF_UNIX"
    code = f"""
import socket
with socket.socket(socket.{family}) as line:
    line.connect({listener.addresses[kind]!r})
    line.send(b"the answers")
print("sent")
"""
    assert "sent" not in sandboxed.run(code)
    assert listener.heard == []
    assert plain.run(code) == "sent\n"
    assert soon(lambda: listener.heard == [b"the answers"])


def test_reaching_any_network(sandboxed):
    """There is no way out at all; not shown to bite, since the tests ask nobody's network."""
    assert sandboxed.run("import socket; print(socket.if_nameindex())") == "[(1, 'lo')]\n"
    unreachable = sandboxed.run("import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)")
    assert "Network is unreachable" in unreachable


@pytest.mark.parametrize("ending", ["shut down", "os._exit"])
def test_leaving_a_daemon(start_sandboxed, start_plain, ending):
    for start, survives in ((start_sandboxed, False), (start_plain, True)):
        session, token = start(), uuid.uuid4().hex
        assert session.run(daemon_code(token)) == "left\n"
        assert soon(lambda: with_token(token))  # noqa: B023
        (daemon,) = with_token(token)
        if ending == "os._exit":
            assert session.run("import os; os._exit(0)") == "died"
        session.close()
        assert runs(daemon) if survives else soon(lambda: not runs(daemon))  # noqa: B023
        if survives:
            daemon.kill()
