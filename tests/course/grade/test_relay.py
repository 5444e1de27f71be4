"""The relay between two ends that are processes here; what it carries, and how it ends."""

import itertools
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from daemons import soon, with_token

from labkit.course.grade.sandbox import fetch
from labkit.course.grade.sandbox import relay as module
from labkit.course.grade.sandbox.fetch import fetch_files
from labkit.course.grade.sandbox.relay import DATA, FILE, FRAME, HELLO, OPEN, Relay
from labkit.course.grade.sandbox.staging import MAX_DEPTH

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


def test_the_files_come_out_and_links_do_not(inside, tmp_path):
    work = tmp_path / "work"
    (work / "artefacts").mkdir(parents=True)
    (work / "lab.ipynb").write_bytes(b"handed in")
    (work / "artefacts" / "faces.npz").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "secret").write_text("of someone else")
    (work / "leak").symlink_to(tmp_path / "secret")
    (work / "more").symlink_to(tmp_path)
    relay, _ = inside()
    assert relay.begun(20)
    fetch_files(tmp_path / "outside", tmp_path / "out", MEBIBYTE)
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"lab.ipynb", "artefacts/faces.npz"}
    assert (tmp_path / "out" / "artefacts" / "faces.npz").read_bytes() == bytes(range(256)) * 1000
    assert (tmp_path / "out" / "lab.ipynb").read_bytes() == b"handed in"


def test_a_file_that_is_cut_while_it_is_sent_keeps_its_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * (3 * module.CHUNK))
    pieces = module.plain_files(tmp_path)
    said = b"".join(itertools.islice(pieces, 2))
    (tmp_path / "a").write_bytes(b"")
    said += b"".join(pieces)
    second = FILE.size + 1 + 3 * module.CHUNK
    assert len(said) == 2 * second
    assert said[second : second + FILE.size + 1] == FILE.pack(1, 3 * module.CHUNK) + b"b"


@pytest.fixture
def given(tmp_path):
    """A function that fetches the files which a hostile inner end gives."""

    def fetch(*pieces: bytes, limit: int = MEBIBYTE, seconds: float = 20.0, then: float = 0.0) -> Path:
        def answer() -> None:
            with server.accept()[0] as line:
                for piece in pieces:
                    line.sendall(piece)
                time.sleep(then)

        server = module._listen(tmp_path / "files")
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            fetch_files(tmp_path, tmp_path / "room" / "out", limit, seconds)
        finally:
            server.close()
        return tmp_path / "room" / "out"

    (tmp_path / "room").mkdir()
    return fetch


def _file(name: bytes, content: bytes = b"x") -> bytes:
    return FILE.pack(len(name), len(content)) + name + content


DEEP = b"/".join([b"d"] * (MAX_DEPTH + 2))


@pytest.mark.parametrize(
    "name", [b"../up", b"a/../../up", b"/tmp/up", b"", b".", b"a\0b", DEEP, b"first", b"first/in"]
)
def test_a_file_without_a_place_is_refused(given, tmp_path, name):
    with pytest.raises(OSError):
        given(_file(b"first"), _file(name))
    assert not (tmp_path / "room" / "up").exists() and not Path("/tmp/up").exists()


def test_what_is_more_than_the_limit_is_left_out(given):
    out = given(_file(b"a", bytes(600)), _file(b"b", bytes(600)), _file(b"c", bytes(1)), limit=1000)
    assert [path.name for path in out.iterdir()] == ["a"]


def test_no_more_files_than_a_submission_may_have(given, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_FILES", 2)
    out = given(*(_file(name) for name in (b"a", b"b", b"c")))
    assert sorted(path.name for path in out.iterdir()) == ["a", "b"]


def test_files_that_never_end_are_not_waited_for(given):
    with pytest.raises(TimeoutError):
        given(FILE.pack(1, 100) + b"a" + b"x", seconds=0.2, then=5.0)


@pytest.mark.timeout(20)  # the grader must not wait for what a student's end never sends
@pytest.mark.parametrize(("size", "sent"), [(100, 1), (100, 90), (FILE.size, 0)])
def test_a_file_that_ends_too_early_is_an_error(given, size, sent):
    with pytest.raises(OSError, match="in the middle"):
        given(FILE.pack(1, size) + b"a" + bytes(sent))


def test_a_name_that_never_comes_is_an_error(given):
    with pytest.raises(OSError, match="in the middle"):
        given(FILE.pack(FILE.size, 0))
