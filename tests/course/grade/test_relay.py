"""The relay between two ends that are processes here; what it carries, and how it ends."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from daemons import soon, with_token

from labkit.course.grade.sandbox import relay as module
from labkit.course.grade.sandbox.relay import DATA, FRAME, HELLO, OPEN, Relay

MEBIBYTE = 2**20
# In the place of a kernel: says back what it hears on its first socket, on its second in capitals, and never reads
# its third.
ECHO = """
import socket, sys, threading, time
def answer(line, name):
    while data := line.recv(2**16):
        line.sendall(data.upper() if name == "kernel-2" else data)
    line.close()
def serve(name):
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{sys.argv[1]}/{name}")
    server.listen()
    while True:
        line = server.accept()[0]
        if name == "kernel-3":
            time.sleep(60)
        threading.Thread(target=answer, args=[line, name]).start()
for name in ("kernel-1", "kernel-2", "kernel-3"):
    threading.Thread(target=serve, args=[name]).start()
"""


@pytest.fixture
def begin(tmp_path):
    """A function that starts a relay and, as its inner end, a program; all are ended after the test."""
    started: list[subprocess.Popen] = []

    def start(*command: str) -> tuple[Relay, subprocess.Popen]:
        for name in ("outside", "inside", "work"):
            (tmp_path / name).mkdir(exist_ok=True)
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=tmp_path / "work"))
        return Relay(tmp_path / "outside", started[-1].stdin, started[-1].stdout), started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def inside(begin, tmp_path):
    """A function that starts a relay whose inner end runs a program of Python."""

    def start(code: str = ECHO, *words: str) -> tuple[Relay, subprocess.Popen]:
        folder = str(tmp_path / "inside")
        program = [sys.executable, "-S", "-c", code, folder, *words]
        return begin(sys.executable, "-I", module.__file__, folder, *program)

    return start


def _reach(folder: Path, name: str) -> socket.socket:
    """A connection that is answered: as zeromq does, this comes again until the other side is there."""
    for _ in range(500):
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(20)
        line.connect(str(folder / name))
        try:
            line.sendall(b"?")
            if line.recv(1) == b"?":
                return line
        except ConnectionError:
            pass
        line.close()
        time.sleep(0.02)
    raise AssertionError(f"{name} was never reached")


def _saying(*frames: tuple[int, int, bytes | int]) -> str:
    """A program of Python that writes frames, or the heads of frames of a length, and stays."""
    said = b""
    for number, kind, data in frames:
        said += (
            FRAME.pack(number, kind, data) if isinstance(data, int) else FRAME.pack(number, kind, len(data)) + data
        )
    return f"import sys, time; sys.stdout.buffer.write({said!r}); sys.stdout.flush(); time.sleep(60)"


def test_what_goes_in_comes_out_of_each_connection(inside, tmp_path):
    relay, _ = inside()
    assert relay.begun(20)
    lines = [_reach(tmp_path / "outside", name) for name in ("kernel-1", "kernel-2", "kernel-1")]
    messages = [letter * (100_000 * number + 7) for number, letter in enumerate((b"a", b"b", b"c"), 1)]
    for line, message in zip(lines, messages):
        threading.Thread(target=line.sendall, args=[message]).start()
    for line, message in zip(reversed(lines), reversed(messages)):
        received = b""
        while len(received) < len(message) and (more := line.recv(2**16)):
            received += more
        assert received == (message.upper() if line is lines[1] else message)


def test_a_socket_that_is_not_there_yet_is_refused_until_it_is(inside, tmp_path):
    inside()
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(tmp_path / "outside" / "kernel-5"))
        assert line.recv(1) == b""


def test_a_connection_that_nobody_reads_stops_no_other(inside, tmp_path):
    inside()
    assert soon((tmp_path / "inside" / "kernel-3").exists)
    line = _reach(tmp_path / "outside", "kernel-1")
    with socket.socket(socket.AF_UNIX) as ignored:
        ignored.connect(str(tmp_path / "outside" / "kernel-3"))
        ignored.settimeout(20)
        sent = 0
        with pytest.raises(OSError):  # once its backlog is full, it is closed
            while sent < 2 * module.BACKLOG:
                sent += ignored.send(bytes(MEBIBYTE))
    assert sent > module.BACKLOG / 2
    line.sendall(b"!")
    assert line.recv(1) == b"!"


def test_connections_end_with_the_command(inside, tmp_path):
    _, process = inside()
    line = _reach(tmp_path / "outside", "kernel-1")
    process.kill()
    assert line.recv(1) == b""


def test_it_ends_with_the_command_and_with_its_status(inside, tmp_path):
    relay, process = inside("raise SystemExit(7)")
    assert process.wait(20) == 7
    assert relay.ended(20)
    with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as line:
        line.connect(str(tmp_path / "outside" / "kernel-1"))


def test_the_command_ends_when_whoever_grades_is_gone(inside):
    token = "of-the-relay"
    relay, process = inside("import time; time.sleep(60)", token)
    assert relay.begun(20) and soon(lambda: with_token(token))
    process.stdin.close()
    assert process.wait(20) is not None
    assert soon(lambda: not with_token(token))


@pytest.mark.parametrize(
    "frames",
    [
        [(1, OPEN, b"kernel-1")],  # only the outer end opens
        [(1, 9, b"")],
        [(1, DATA, module.CHUNK + 1)],
    ],
)
def test_what_is_no_frame_ends_the_relay(begin, frames):
    relay, process = begin(sys.executable, "-c", _saying((0, HELLO, b""), *frames))
    assert relay.begun(20)
    assert relay.ended(20) and process.poll() is None


def test_data_of_a_connection_that_nobody_opened_goes_nowhere(begin):
    relay, _ = begin(sys.executable, "-c", _saying((5, DATA, b"hello"), (0, HELLO, b"")))
    assert relay.begun(20)
