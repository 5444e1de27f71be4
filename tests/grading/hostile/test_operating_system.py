"""Attacks on the machine: each reaches its aim in an ordinary kernel and misses it in the sandbox.

The aims are decoys below tmp_path; what a bomb takes is bounded, so that it harms nobody where it goes off.
"""

import os
import signal
import socket
import threading
import time
import uuid
from pathlib import Path
from queue import Empty
from types import SimpleNamespace

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from kernels import SMALL
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

from labkit.grading.cgroup import make_group
from labkit.grading.limits import MEBIBYTE
from labkit.grading.provisioner import sandbox_kernel
from labkit.grading.sandbox import hidden_package

pytest_plugins = ["kernels"]

SECRET = "of-someone-else"


@pytest.fixture(scope="module")
def sandboxed(start_sandboxed):
    return start_sandboxed()


@pytest.fixture(scope="module")
def plain(start_plain):
    os.environ["LABKIT_DECOY"] = SECRET
    yield start_plain()
    del os.environ["LABKIT_DECOY"]


@pytest.fixture
def both(sandboxed, plain):
    """Runs an attack in the sandbox and, to see it bite, in an ordinary kernel; returns what was printed in each."""
    return lambda code: (sandboxed.run(code), plain.run(code))


@pytest.fixture
def course(tmp_path):
    """Decoys for all that is worth reading or changing."""
    places = {
        "submission": "submitted/bob/lab03a/03a.ipynb",
        "source": "source/lab03a/03a.ipynb",
        "gradebook": "gradebook.db",
        "outcome": "executed/bob/lab03a/outcome.json",
        "kernelspec": "jupyter/kernels/labkit-sandbox/kernel.json",
    }
    for place in places.values():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(SECRET)
    return {name: tmp_path / place for name, place in places.items()}


@pytest.mark.parametrize("aim", ["submission", "source", "gradebook", "outcome"])
def test_reading_what_belongs_to_others(both, course, aim):
    inside, outside = both(f"print(open({str(course[aim])!r}).read())")
    assert SECRET in outside
    assert SECRET not in inside and "FileNotFoundError" in inside


def test_searching_the_disk_for_the_course(both, course, tmp_path):
    inside, outside = both(f"import os; print([names for *_, names in os.walk({str(tmp_path)!r})])")
    assert "gradebook.db" in outside
    assert inside == "[]\n"


def test_reading_the_grading_room(both):
    code = f"print(open({str(Path(hidden_package()) / 'sandbox.py')!r}).read()[:40])"
    inside, outside = both(code)
    assert "The sandbox" in outside
    assert "FileNotFoundError" in inside
    inside, outside = both("import labkit.grading.sandbox as room; print(room.__name__)")
    assert outside == "labkit.grading.sandbox\n"
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


@pytest.mark.parametrize(
    "place", ["sys.prefix", "sys.prefix + '/share/jupyter/kernels'", "labkit.__path__[0]"]
)
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
    assert _soon(lambda: listener.heard == [b"the answers"])


def test_reaching_any_network(sandboxed):
    """There is no way out at all; not shown to bite, since the tests ask nobody's network."""
    assert sandboxed.run("import socket; print(socket.if_nameindex())") == "[(1, 'lo')]\n"
    unreachable = sandboxed.run("import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)")
    assert "Network is unreachable" in unreachable


def _daemon(token: str) -> str:
    """Code that leaves a process with `token` in its command line, in a session of its own and without a parent."""
    return f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(60)", {token!r}])
    os._exit(0)
os.wait()
print("left")
"""


@pytest.mark.parametrize("ending", ["shut down", "os._exit"])
def test_leaving_a_daemon(start_sandboxed, start_plain, ending):
    for start, survives in ((start_sandboxed, False), (start_plain, True)):
        session, token = start(), uuid.uuid4().hex
        assert session.run(_daemon(token)) == "left\n"
        assert _soon(lambda: _with_token(token))  # noqa: B023
        (daemon,) = _with_token(token)
        if ending == "os._exit":
            assert session.run("import os; os._exit(0)") == "died"
        session.close()
        assert _runs(daemon) if survives else _soon(lambda: not _runs(daemon))  # noqa: B023
        if survives:
            daemon.kill()


def test_links_that_lead_the_collector_outside(start_sandboxed, start_plain, course, tmp_path):
    """A link among the artefacts, a folder of artefacts that is one, and the notebook itself replaced by one."""
    code = f"""
import os
os.mkdir("artefacts")
os.symlink({str(course["source"])!r}, "artefacts/solution.npz")
os.symlink({str(course["source"].parent)!r}, "more")
os.remove("03a.ipynb")
os.symlink({str(course["source"])!r}, "03a.ipynb")
"""
    for name in ("sandboxed", "plain"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "03a.ipynb").write_text("handed in")
    plain = start_plain(tmp_path / "plain")
    assert plain.run(code) == ""
    for leak in ("artefacts/solution.npz", "more/03a.ipynb", "03a.ipynb"):
        assert (tmp_path / "plain" / leak).read_text() == SECRET
    session = start_sandboxed(tmp_path / "sandboxed")
    assert session.run(code) == ""
    session.manager.shutdown_kernel()
    assert list((tmp_path / "sandboxed").rglob("*")) == []
    assert course["source"].read_text() == SECRET


def test_a_fork_bomb(both):
    """At most 150 children, which wait and are gone at the end."""
    code = """
import os, signal, time
children = []
try:
    while len(children) < 150:
        child = os.fork()
        if child == 0:
            try:
                time.sleep(20)
            finally:
                os._exit(0)
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(len(children))
"""
    inside, outside = both(code)
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
os.makedirs({str(tmp_path)!r}, exist_ok=True)
done = 0
with open({str(tmp_path / "endless")!r}, "wb") as stream:
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


def _notebook(start_folder: Path, *sources: str, timeout: float) -> NotebookClient:
    name = sandbox_kernel(start_folder, SMALL)
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, kernel_name=name, timeout=timeout, allow_errors=True)
    specifications = KernelSpecManager(kernel_dirs=[str(start_folder / "kernels")])
    client.create_kernel_manager()
    client.km.kernel_spec_manager = specifications
    return client


def test_an_infinite_loop(sandbox, entry_points, plain, tmp_path):
    client = _notebook(tmp_path, "print('begun')\nwhile True: pass", "print('next')", timeout=2)
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
    plain = start_plain()
    interrupt = threading.Timer(1.5, os.kill, [plain.manager.provisioner.pid, signal.SIGINT])
    interrupt.start()
    assert plain.run(SWALLOW.format(seconds=2)) == "to the end\n"
    interrupt.join()
    token = uuid.uuid4().hex
    client = _notebook(tmp_path, _daemon(token), SWALLOW.format(seconds=600), timeout=3)
    begun = time.monotonic()
    with pytest.raises(CellTimeoutError):
        client.execute()
    assert time.monotonic() - begun < 60
    assert _soon(lambda: not _with_token(token))


def test_leaving_by_os_exit(sandbox, entry_points, tmp_path):
    client = _notebook(tmp_path, "print('graded')", "import os; os._exit(0)", "print('never')", timeout=20)
    with pytest.raises(DeadKernelError):
        client.execute()
    assert client.nb.cells[0].outputs[0]["text"] == "graded\n"
    assert client.nb.cells[2].outputs == []


def _with_token(token: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[-1:] == [token]:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _soon(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
