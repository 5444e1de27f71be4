"""The attacks that a container promises to withstand, in one; skipped where no runtime has the image."""

import os
import subprocess
import sys
import uuid
from ast import literal_eval
from dataclasses import replace
from pathlib import Path

import pytest
from daemons import FORK_BOMB, daemon_code, soon, with_token
from kernels import SMALL
from small_lab import LIMITS, lab_in, share, submit

from labkit.course.grade.execute import execute
from labkit.course.grade.sandbox.container import require_container
from labkit.course.grade.sandbox.kernels import Kernel
from labkit.course.grade.sandbox.limits import MEBIBYTE
from labkit.course.grade.sandbox.sandbox import hidden_package
from labkit.errors import LabkitError

pytest_plugins = ["kernels"]

SECRET = "of-someone-else"


@pytest.fixture(scope="session")
def sandbox():
    """The runtime."""
    try:
        return require_container()
    except LabkitError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def start(sandbox, start_sandboxed):
    """A function that starts a kernel in a container."""
    os.environ["LABKIT_DECOY"] = SECRET
    yield lambda writable=None: start_sandboxed(writable, runtime=sandbox)
    del os.environ["LABKIT_DECOY"]


@pytest.fixture(scope="module")
def sandboxed(start):
    return start()


@pytest.fixture(scope="module")
def plain(start, start_plain):
    """An ordinary kernel of a process whose environment holds something."""
    return start_plain()


def test_reading_what_belongs_to_others(both, tmp_path):
    (tmp_path / "gradebook.db").write_text(SECRET)
    for code in (
        f"print(open({str(tmp_path / 'gradebook.db')!r}).read())",
        "import os; print(dict(os.environ))",
        f"import os; print([names for *_, names in os.walk({str(tmp_path)!r})], {SECRET!r})",
    ):
        inside, outside = both(code)
        assert SECRET in outside
        assert SECRET not in inside or inside.startswith("[] ")


def test_reading_the_grading_room(both):
    for code in (
        f"print(open({str(Path(hidden_package(), 'grade', 'sandbox', 'sandbox.py'))!r}).read()[:15])",
        "import labkit.course.grade.sandbox.sandbox as room; print('The sandbox', room.__name__)",
    ):
        inside, outside = both(code)
        assert "The sandbox" in outside
        assert inside.startswith(("FileNotFoundError", "ModuleNotFoundError"))


def test_reading_the_passwords_of_this_machine(sandboxed):
    found = sandboxed.run("print(open('/etc/passwd').read())")
    assert found != Path("/etc/passwd").read_text() + "\n"
    assert "PermissionError" in sandboxed.run("open('/etc/shadow')")


def test_planting_code_and_filling_a_disk(sandboxed, plain, tmp_path):
    """What takes a file is in memory, of limited size, and neither code nor another's."""
    code = """
import os, sys
def takes(place):
    try:
        open(os.path.join(place, "planted"), "w").close()
    except OSError:
        return False
    os.remove(os.path.join(place, "planted"))
    return True
places = {place for place, folders, names in os.walk("/") if not place.startswith(("/proc", "/sys")) and takes(place)}
print(sorted(places))
"""
    found = {place for place in literal_eval(sandboxed.run(code)) if not place.startswith("/tmp/")}
    expected = {"/dev/mqueue", "/dev/shm", "/run/labkit", "/submission", "/tmp"}
    assert expected <= found <= expected | {"/var/tmp"}  # podman gives that one its mode in the image
    fill = """
import os
total = 0
for number in range(16):
    try:
        with open(f"{place}/filler-{{number}}", "wb") as stream:
            for _ in range(8):
                total += stream.write(bytes(2**20))
    except OSError:
        pass
for number in range(16):
    try:
        os.remove(f"{place}/filler-{{number}}")
    except OSError:
        pass
print(total // 2**20)
"""
    assert plain.run(fill.format(place=tmp_path)) == "128\n"
    for place in found - {"/dev/mqueue"}:
        room = 64 if place == "/dev/shm" else SMALL.tmp_bytes // MEBIBYTE
        assert int(sandboxed.run(fill.format(place=place))) <= room


def test_reaching_any_network(sandboxed):
    assert sandboxed.run("import socket; print(socket.if_nameindex())") == "[(1, 'lo')]\n"
    unreachable = sandboxed.run("import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)")
    assert "Network is unreachable" in unreachable


def test_gaining_rights(both):
    """An ordinary user, without capabilities, who gains none by a program that would give them."""
    code = """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
import os
print(os.getuid() != 0, status["CapEff"].strip(), status["CapBnd"].strip(), status["NoNewPrivs"].strip())
"""
    inside, outside = both(code)
    assert inside == f"True {'0' * 16} {'0' * 16} 1\n" != outside


def test_one_endless_file(both, tmp_path):
    code = f"""
import os
place = "/tmp" if os.getcwd() == "/submission" else {str(tmp_path)!r}
with open(place + "/endless", "wb") as stream:
    try:
        for _ in range(32):
            stream.write(bytes(2**20)), stream.flush()
    except OSError as error:
        print(error.strerror)
    print(os.path.getsize(stream.name) // 2**20)
"""
    inside, outside = both(code)
    assert outside == "32\n"
    assert inside == "File too large\n8\n"


def test_a_fork_bomb(both):
    inside, outside = both(FORK_BOMB)
    assert int(outside) == 150
    assert 0 < int(inside) < SMALL.processes


@pytest.mark.parametrize("kind", ["bytearray(16 * 2**20)", "mmap.mmap(-1, 16 * 2**20)"])
def test_a_memory_bomb(start, plain, kind):
    code = f"""
import mmap
blocks = []
for _ in range(40):
    blocks.append({kind})
    blocks[-1][:] = bytes(16 * 2**20)
print(len(blocks))
del blocks
"""
    assert plain.run(code) == "40\n"
    session = start()
    assert session.run(code) in ("MemoryError: ", "died")
    session.close()


@pytest.mark.parametrize("ending", ["shut down", "os._exit"])
def test_leaving_a_daemon(start, ending):
    session, token = start(), uuid.uuid4().hex
    assert session.run(daemon_code(token)) == "left\n"
    assert soon(lambda: with_token(token))
    if ending == "os._exit":
        assert session.run("import os; os._exit(0)") == "died"
    session.close()
    assert soon(lambda: not with_token(token))


def test_garbage_in_the_way_out(start, tmp_path):
    """The relay's own pipe is the student's to write into: it costs the student's kernel and nothing else."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "lab.ipynb").write_text("handed in")
    session = start(tmp_path / "work")
    session.client.execute("open('/proc/1/fd/1', 'wb').write(b'\\xff' * 100_000)")
    assert session.manager.provisioner._relay.ended(20)
    session.close()
    assert (tmp_path / "work" / "lab.ipynb").read_text() == "handed in"


@pytest.mark.parametrize(
    "cells, status",
    [
        ({}, "ok"),
        ({"between": "import os; os._exit(0)"}, "kernel died"),
        ({"between": "import signal; signal.signal(2, signal.SIG_IGN)\nwhile True: pass"}, "time-out"),
        ({"between": "while True: print('x' * 10_000)"}, "output flood"),
    ],
)
def test_a_submission_ends_as_in_any_sandbox(sandbox, tmp_path, cells, status):
    lab = lab_in(tmp_path / "course")
    submission = submit(tmp_path / "course", lab, "ada", **cells)
    limits = replace(LIMITS, cell_seconds=12) if status == "time-out" else LIMITS
    kernel = Kernel(sandbox, (), {"LABKIT_PROFILE": "smoke", "LABKIT_OFFLINE": "1", "OMP_NUM_THREADS": "1"})
    outcome = execute(submission, tmp_path / "out", lab, kernel=kernel, limits=limits, salt=5)
    assert (outcome["status"], outcome["sandbox"]) == (status, "container"), outcome["reason"]
    assert share(outcome, "density-test") == 1
    assert share(outcome, "phi-test") == (status == "ok")


def test_a_grader_that_is_killed_leaves_no_container(sandbox, tmp_path):
    token = uuid.uuid4().hex
    code = f"""
import os, signal
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager
from pathlib import Path
from labkit.course.grade.sandbox.kernels import Kernel
from labkit.course.grade.sandbox.limits import Limits
manager = Kernel({sandbox!r}).manager(Path({str(tmp_path)!r}), Path({str(tmp_path / "work")!r}), Limits())
from jupyter_client.utils import run_sync
run_sync(manager.start_kernel)()
client = manager.client()
client.start_channels()
run_sync(client.wait_for_ready)(timeout=60)
client.execute({daemon_code(token)!r})
print("begun", flush=True)
signal.pause()
"""
    (tmp_path / "work").mkdir()
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parent)
    assert grader.stdout.readline() == b"begun\n"
    assert soon(lambda: with_token(token))
    grader.kill()
    grader.wait()
    assert soon(lambda: not with_token(token), seconds=20)
    grader.stdout.close()
