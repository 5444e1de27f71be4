"""Bombs, endless loops and sudden ends: each does its harm in an ordinary kernel and none in the sandbox.

What a bomb takes is bounded, so that it harms nobody where it goes off.
"""

import subprocess
import sys
import time
import uuid
from pathlib import Path
from queue import Empty
from types import SimpleNamespace

import pytest
from daemons import FORK_BOMB, QUIET, daemon_code, soon, with_token
from jupyter_client.kernelspec import KernelSpecManager
from kernels import SMALL
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

from labkit.course.grade.sandbox import kernels, processes, provisioner
from labkit.course.grade.sandbox.cgroup import make_group
from labkit.course.grade.sandbox.kernels import Clock
from labkit.course.grade.sandbox.limits import MEBIBYTE
from labkit.course.grade.sandbox.processes import taken
from labkit.course.grade.sandbox.provisioner import sandbox_kernel

pytest_plugins = ["kernels"]


def test_a_fork_bomb(both):
    inside, outside = both(FORK_BOMB)
    assert int(outside) == 150
    assert 0 < int(inside) < SMALL.processes


def test_a_memory_bomb_of_the_heap(both):
    code = """
blocks = []
for _ in range(40):
    blocks.append(bytearray(16 * 2**20))
print(len(blocks))
del blocks
"""
    inside, outside = both(code)
    assert outside == "40\n"
    assert inside == "MemoryError: "


def test_a_memory_bomb_of_shared_memory(start_sandboxed, plain):
    """A limit on data does not count it; a control group does, and its kernel dies."""
    trial = make_group(SMALL)
    if trial is None:
        pytest.skip("this user can make no control group")
    trial.remove()
    code = """
import mmap
blocks = []
for _ in range(40):
    blocks.append(mmap.mmap(-1, 16 * 2**20))
    blocks[-1].write(bytes(16 * 2**20))
print(len(blocks))
del blocks
"""
    assert plain.run(code) == "40\n"
    assert start_sandboxed().run(code) == "died"


def test_a_memory_bomb_that_no_process_holds(both):
    """Files in memory, and segments, stay when nothing maps them: no look at processes finds them."""
    code = """
import ctypes, os
segments = [ctypes.CDLL(None).shmget(0, 2**20, 0o1600) for _ in range(5)]
print(sum(each >= 0 for each in segments))
files = []
for _ in range(40):
    files.append(os.memfd_create("bomb"))
    os.write(files[-1], bytes(16 * 2**20))
print(len(files))
for each in files:
    os.close(each)
"""
    inside, outside = both(code)
    assert outside == "5\n40\n"
    assert inside.startswith("0\nPermissionError")


def test_memory_of_queues_and_semaphores(both):
    """It is the operating system's: no process has it, and no file."""
    code = """
import ctypes
libc = ctypes.CDLL(None)
message = ctypes.create_string_buffer(b"\\1" + bytes(8000))
queues = [queue for queue in (libc.msgget(0, 0o1600) for _ in range(20)) if queue >= 0]
sent = sum(libc.msgsnd(queue, message, 7000, 0o4000) == 0 for queue in queues)
semaphores = [each for each in (libc.semget(0, 100, 0o1600) for _ in range(3)) if each >= 0]
print(len(queues), sent, len(semaphores))
for queue in queues:
    libc.msgctl(queue, 0, None)
for each in semaphores:
    libc.semctl(each, 0, 0)
"""
    inside, outside = both(code)
    assert outside == "20 20 3\n"
    assert inside == "0 0 0\n"


UNHELD = {
    "files": """
import os
open("/tmp/one", "w").close()
for number in range(250_000):
    os.link("/tmp/one", f"/tmp/{number}")
print("made")
""",
    "sockets": """
import socket
pairs = [socket.socketpair() for _ in range(250)]
for one, other in pairs:
    for each in (one, other):
        each.setblocking(False)
        try:
            while True:
                each.send(bytes(50_000))
        except BlockingIOError:
            pass
print("made")
""",
}


@pytest.mark.parametrize("kind", UNHELD)
def test_a_memory_bomb_of_what_is_no_processs_memory(start_sandboxed, monkeypatch, kind):
    """A place in memory has a size, which a file without content leaves as it is; a socket has no place."""
    monkeypatch.setattr(provisioner, "make_group", lambda limits: None)
    monkeypatch.setattr(provisioner, "has_systemd", lambda: False)
    session = start_sandboxed()
    clock = Clock(session.manager, 100 * MEBIBYTE)
    with monkeypatch.context() as off:
        off.setattr(kernels, "files_held", lambda places: 0)
        off.setattr(processes, "SOCKET_BYTES", 0)
        assert session.run(UNHELD[kind]) == "made\n"
        assert clock() > 0 and session.run("print(1)") == "1\n"
    assert soon(lambda: clock() and not session.manager.is_alive())


def test_a_memory_bomb_of_many_processes(start_sandboxed, monkeypatch):
    """Each of them keeps to its limit; where no control group can be made none holds for their sum."""
    monkeypatch.setattr(provisioner, "make_group", lambda limits: None)
    monkeypatch.setattr(provisioner, "has_systemd", lambda: False)
    code = f"""{QUIET}
import os, time
for _ in range(20):
    if os.fork() == 0:
        try:
            mine = bytearray(60 * 2**20)
            mine[::4096] = b"x" * len(mine[::4096])
            time.sleep(600)
        finally:
            os._exit(0)
time.sleep(3)
print("all there")
"""
    session = start_sandboxed()
    clock = Clock(session.manager, SMALL.memory_bytes)
    assert clock() > 0 and session.run("print(1)") == "1\n"
    assert session.run(code) == "all there\n"
    assert soon(lambda: clock() and not session.manager.is_alive())


UNCOUNTED = """
import os, signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = 0
for _ in sys.stdin:
    if child:
        os.kill(child, signal.SIGKILL)
    if not (child := os.fork()):
        while time.process_time() < 0.5:
            pass
        print("spent", flush=True)
        time.sleep(600)
"""


def test_computing_in_children_that_nobody_waits_for():
    """What they computed counts towards no parent, so that one after another would compute without end."""
    begins = [sys.executable, "-c", UNCOUNTED]
    with subprocess.Popen(begins, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        clock = Clock(SimpleNamespace(provisioner=process), 2**40)
        for number in range(1, 4):
            print(file=process.stdin, flush=True)
            assert process.stdout.readline() == "spent\n"
            assert clock() > 0.45 * number
        assert taken(process.pid, {})[0] < 1, "which is all that can be seen of them at once"
        process.kill()


def test_filling_the_disk(sandboxed, plain, tmp_path):
    """Every place that can be written, with as many files as they take; nothing of it is on a disk."""
    code = """
import os, shutil
total = 0
for place in {places}:
    folder = os.path.join(place, "filler")
    os.makedirs(folder)
    try:
        for number in range(16):
            with open(os.path.join(folder, str(number)), "wb") as stream:
                for _ in range(8):
                    total += stream.write(bytes(2**20))
    except OSError:
        pass
    shutil.rmtree(folder)
print(total // 2**20)
"""
    assert plain.run(code.format(places=[str(tmp_path)])) == "128\n"
    for place in ("/submission", "/tmp", "/dev/shm", "/run/labkit"):
        room = 64 if place == "/dev/shm" else SMALL.tmp_bytes // MEBIBYTE
        assert int(sandboxed.run(code.format(places=[place]))) <= room


def test_one_endless_file(both, tmp_path):
    """With a file that is deleted and still open, which no count of a folder's content would find."""
    code = f"""
import os
place = "/tmp" if os.getcwd() == "/submission" else {str(tmp_path)!r}
done = 0
with open(place + "/endless", "wb") as stream:
    os.remove(stream.name)
    try:
        while done < 32:
            done += os.write(stream.fileno(), bytes(2**20)) // 2**20
    except OSError as error:
        print(error.strerror)
print(done)
"""
    inside, outside = both(code)
    assert outside == "32\n"
    assert inside == "File too large\n8\n"


def _notebook(start_folder: Path, *sources: str, timeout: float | None) -> NotebookClient:
    name = sandbox_kernel(start_folder, SMALL)
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, kernel_name=name, timeout=timeout, allow_errors=True)
    specifications = KernelSpecManager(kernel_dirs=[str(start_folder / "kernels")])
    client.create_kernel_manager()
    client.km.kernel_spec_manager = specifications
    return client


def test_an_infinite_loop(sandbox, entry_points, plain, tmp_path):
    client = _notebook(tmp_path, "print('begun')\nwhile True: pass", "print('next')", timeout=None)
    client.timeout_func = lambda cell: 5 if "while" in cell.source else 240
    client.interrupt_on_timeout = True
    client.execute()
    first, second = client.nb.cells
    assert first.outputs[-1]["ename"] == "KeyboardInterrupt"
    assert second.outputs[0]["text"] == "next\n"
    with pytest.raises(Empty):
        plain.run("import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass", timeout=0.5)


SWALLOW = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    pass
print("to the end")
"""


def test_a_loop_that_swallows_interrupts(sandbox, entry_points, start_plain, tmp_path):
    interrupted = SWALLOW.format(seconds=0).replace("end =", "signal.raise_signal(signal.SIGINT)\nend =")
    assert start_plain().run(interrupted) == "to the end\n"
    token = uuid.uuid4().hex
    client = _notebook(tmp_path, daemon_code(token), SWALLOW.format(seconds=600), timeout=3)
    begun = time.monotonic()
    with pytest.raises(CellTimeoutError):
        client.execute()
    assert time.monotonic() - begun < 500
    assert soon(lambda: not with_token(token))


def test_leaving_by_os_exit(sandbox, entry_points, tmp_path):
    client = _notebook(tmp_path, "print('graded')", "import os; os._exit(0)", "print('never')", timeout=240)
    with pytest.raises(DeadKernelError):
        client.execute()
    assert client.nb.cells[0].outputs[0]["text"] == "graded\n"
    assert client.nb.cells[2].outputs == []
