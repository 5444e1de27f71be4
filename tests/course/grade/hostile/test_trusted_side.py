"""Attacks on the process that grades: its time, its memory, its sockets, its reading of what a kernel sends."""

import json
import os
import platform
import resource
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import zmq
import zmq.asyncio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from daemons import soon
from small_lab import FIRST, LIMITS, PLAIN, SECOND, lab_in, share, submit

from labkit.checking import evaluate
from labkit.course.grade.execute import execute
from labkit.course.grade.executor import Executor
from labkit.course.grade.limited import MEBIBYTE, run_limited
from labkit.course.grade.marks.neutral import neutral_outputs, safe_html
from labkit.course.grade.run import Task, do
from labkit.course.grade.sandbox import processes
from labkit.course.grade.sandbox.limits import Limits
from labkit.course.grade.sandbox.processes import open_sockets, taken
from labkit.course.grade.sandbox.sandbox import SOCKETS
from labkit.course.grade.talk import conversation
from labkit.course.grade.talk.channel import _Context
from labkit.course.grade.talk.conversation import Conversation
from labkit.course.grade.talk.protocol.exchange import NoAnswer
from labkit.course.grade.talk.protocol.wire import LIMIT_BYTES, WireError, decode

pytest_plugins = ["kernels"]
COLLIDING = [k * (2**61 - 1) for k in range(6_000)]


@pytest.mark.parametrize("form", ["set", "frozenset", "dict"])
def test_numbers_whose_hashes_all_collide(form):
    payload = [[each, 0] for each in COLLIDING] if form == "dict" else COLLIDING
    begun = time.process_time()
    with pytest.raises(WireError, match="collide"):
        decode({form: payload})
    mine, begun = time.process_time() - begun, time.process_time()
    set(COLLIDING)
    assert time.process_time() - begun > 4 * mine
    many = list(range(50_000))
    assert len(decode({form: [[each, 0] for each in many] if form == "dict" else many})) == 50_000


@pytest.mark.parametrize(
    "data",
    [
        {"strings": [[900], ["a" * 10**6] + [""] * 899]},
        {"strings": [[2, 2], ["a" * (LIMIT_BYTES // 8), "", "", ""]]},
        {"tensor": ["float32", [0, 2**40], "", False]},
        {"array": ["<f8", [2**40, 0], ""]},
    ],
)
def test_a_small_message_that_becomes_large(data):
    with pytest.raises(WireError):
        decode(data)
    assert np.array(["a" * 1000] + [""] * 899).nbytes > 2 * 10**6, "each takes the room of the longest"


def test_tensors_that_are_only_named_have_a_limit_together():
    handles = iter(range(10**6))

    def hidden(count):
        return [["leaf", f"k{next(handles)}", "float64", [2**20]] for _ in range(count)]

    side = Conversation(lambda text: text)
    shared = {"share": ["inner", "kx", ["float32", [], "AAAAAA=="], [], hidden(100)]}
    with pytest.raises(WireError, match="too large"):
        side.decode(shared)


@pytest.mark.parametrize(
    "question",
    [
        {"do": "product", "with": ["t1", {"tensor": ["float32", [], "AAAAAA==", False]}, True]},
        {"do": "attribute", "with": [{"known": "t1"}, "nothing"]},
        {"do": "length", "with": [3]},
    ],
)
def test_questions_without_end(question):
    """Each was answered, with what had been raised kept for ever: 62 s and 1.7 GB."""
    asked, text = iter(range(10**6)), json.dumps(question)
    side = Conversation(lambda _: (next(asked) and text) or text)
    begun = time.process_time()
    (found,) = side.ask(lambda f: evaluate({"holds": lambda: f(np.zeros(10_000)) and None}), ["f"])
    assert not found.passed and "too many" in side.broken and time.process_time() - begun < 20
    assert next(asked) < 3_000
    assert all(each.__traceback__ is None for each in side._raised)


def test_answers_that_take_too_long_to_be_looked_at():
    side = Conversation(lambda text: json.dumps({"return": list(range(1000))}), seconds=0.3)
    (found,) = side.ask(lambda f: evaluate({"holds": lambda: [f(1) for _ in range(100_000)] and None}), ["f"])
    assert not found.passed and "too long to be looked at" in side.broken


@pytest.mark.parametrize(
    "text",
    ["<style " * 20_000, "<script" * 20_000, "<style>" * 20_000 + "</style", "<" * 100_000, "</style" * 20_000],
)
def test_html_on_which_a_pattern_backtracks(text):
    output = {"output_type": "display_data", "data": {"text/html": text, "text/plain": "x"}}
    begun = time.process_time()
    neutral_outputs([output])
    safe_html(text)
    assert time.process_time() - begun < 15
    assert "style" not in safe_html("a<style>b{}</style>c<STYLE x>d</style >e") and safe_html("a<script>x") == "a"


# In a kernel, from a cell: what each ends as.
CELLS = {
    "an output of a kind that none has": (
        "from IPython.display import display\ndisplay({'text/html': {'a': 1}}, raw=True)\n"
        "display({'x/y': [1]}, raw=True)",
        "ok",
    ),
    "messages that are none": (
        "k = get_ipython().kernel\n"
        "for content in ({}, {'name': 3}, {'data': 3, 'metadata': None}, {'execution_state': 3}):\n"
        "    for kind in ('stream', 'display_data', 'error', 'update_display_data', 'clear_output', 'what'):\n"
        "        k.session.send(k.iopub_socket, kind, content, parent=k.get_parent())",
        "ok",
    ),
    "one print of more than may be received": ("print('x' * 60_000_000)", "output flood"),
    "messages of no cell, with all in their heads": (
        "k = get_ipython().kernel\n"
        "for _ in range(40):\n"
        "    parent = {'header': {'msg_id': 'none', 'more': 'x' * 400_000}}\n"
        "    k.session.send(k.iopub_socket, 'stream', {'name': 'stdout', 'text': ''}, parent=parent)\n"
        "import time; time.sleep(3)",
        "output flood",
    ),
    "one message of many parts": (
        "k = get_ipython().kernel\n"
        "k.iopub_thread.socket.send_multipart([bytes(10**6)] * 700, copy=False)\n"
        "import time; time.sleep(3)",
        "output flood",
    ),
    "buffers beside a message": (
        "k = get_ipython().kernel\n"
        "for _ in range(100):\n"
        "    k.session.send(k.iopub_socket, 'comm_msg', {'comm_id': 'x', 'data': {}}, parent=k.get_parent(),\n"
        "                   buffers=[bytes(500_000)])\n"
        "import time; time.sleep(3)",
        "output flood",
    ),
}


def peak(task):
    """What the grading process took at most, in MB."""
    do(task)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def graded(root, between):
    """What it took to grade a submission with this code between its exercises, in MB; and where its outcome lies."""
    lab = lab_in(root)
    folder, out = submit(root, lab, "eve", between=between), root / "out"
    limits = replace(LIMITS, output_bytes=8 * MEBIBYTE)
    taken = run_limited(peak, Task(folder, out, lab, PLAIN, limits, 11), cpu_seconds=None, wall_seconds=500)
    return taken, out


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """That of an honest one: torch alone takes 0.2 GB more where it is built for GPUs."""
    return graded(tmp_path_factory.mktemp("honest"), "pass")[0]


@pytest.mark.parametrize("name", CELLS)
def test_what_a_cell_sends_costs_its_own_submission_at_most(tmp_path, name, base):
    between, status = CELLS[name]
    taken, out = graded(tmp_path, between)
    outcome = json.loads((out / "outcome.json").read_text())
    assert outcome["status"] == status, outcome["reason"]
    assert share(outcome, FIRST) == 1 and share(outcome, SECOND) == (status == "ok")
    assert taken < base + 200


def test_a_connection_does_not_fail_because_another_is_still_being_closed():
    """pyzmq's own names of monitors, by file descriptor, were in use where a descriptor was used again."""
    with _Context() as context:
        taken = context.socket(zmq.PAIR)
        for number in range(1000):
            taken.bind(f"inproc://monitor.s-{number}")
        context.socket(zmq.DEALER)
        context.destroy(linger=0)


def test_what_is_received_of_a_kernel_is_limited_by_its_managers_context(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    manager = PLAIN.manager(tmp_path, work, LIMITS)
    manager.context = zmq.asyncio.Context()
    assert manager.client().context is manager.context
    manager.context.destroy(linger=0)


def test_a_sleeper_is_ended_by_the_clock_and_said_to_be_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(Executor, "_wall_left", lambda _, cell: 3.0 if "sleep" in cell.source else 600.0)
    lab = lab_in(tmp_path)
    folder = submit(tmp_path, lab, "eve", between="import time; time.sleep(10_000)")
    outcome = execute(folder, tmp_path / "out", lab, kernel=PLAIN, limits=Limits(), salt=1)
    assert outcome["status"] == "time-out" and "took longer than 600 s" in outcome["reason"] and outcome["again"]


SLEEPERS = {
    "a cell": {"between": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"},
    "an exercise": {"density": "import time\ndef log_density(x):\n    time.sleep(10_000)"},
}


@pytest.mark.parametrize("where", SLEEPERS)
def test_a_sleeper_is_not_waited_for_until_the_clock_and_not_run_again(tmp_path, where):
    """Who waits for a core does not sleep, so that no load is to blame."""
    lab = lab_in(tmp_path)
    folder = submit(tmp_path, lab, "eve", **SLEEPERS[where])
    limits = replace(Limits(), asleep_seconds=4)
    outcome = execute(folder, tmp_path / "out", lab, kernel=PLAIN, limits=limits, salt=1)
    assert outcome["status"] == "time-out" and "4 s" in outcome["reason"] and not outcome["again"]
    assert outcome["seconds"] < limits.wall_seconds


THREAD = """
import sys, threading, time
def compute():
    until = time.process_time() + 3
    while time.process_time() < until:
        pass
    print("done", flush=True)
threading.Thread(target=compute).start()
time.sleep(600)
"""


def test_a_process_whose_threads_compute_does_not_sleep():
    with subprocess.Popen([sys.executable, "-c", THREAD], stdout=subprocess.PIPE, text=True) as process:
        looks = []
        while taken(process.pid, {})[0] < 2:
            looks.append(taken(process.pid, {})[2])
        assert process.stdout.readline() == "done\n"
        assert sum(looks) < len(looks) / 2
        assert soon(lambda: taken(process.pid, {})[2])
        process.kill()


SEEMS_TO_WAIT = """
import ctypes, signal, threading, time
libc = ctypes.CDLL(None)
stack = ctypes.create_string_buffer(2**16)
top, pause = ctypes.c_void_p((ctypes.addressof(stack) + 2**16) & ~15), ctypes.cast(libc.pause, ctypes.c_void_p)
shared_memory, until_it_ends = 0x100, 0x4000
flags = shared_memory | until_it_ends | signal.SIGCHLD
threading.Thread(target=libc.clone, args=(pause, top, flags, None), daemon=True).start()
print("begun", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(platform.machine() not in processes.VFORK, reason="its calls are not known")
def test_who_waits_for_a_child_that_shares_its_memory_sleeps(monkeypatch):
    """As a disk would let it wait: a sleeper with such a thread was left until the clock, and then run again."""
    with subprocess.Popen([sys.executable, "-S", "-c", SEEMS_TO_WAIT], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            assert soon(lambda: "D" in {_state_of(each) for each in Path(f"/proc/{process.pid}/task").iterdir()})
            assert soon(lambda: taken(process.pid, {})[2])
            monkeypatch.setattr(processes, "VFORK", {})
            assert not taken(process.pid, {})[2]
        finally:
            for each in (*psutil.Process(process.pid).children(), process):
                each.kill()


def _state_of(thread):
    return (thread / "stat").read_text().rpartition(") ")[2][:1]


ENDLESS = {"return": {"object": ["ko1", "list", ["iterate", "next"]]}}


@pytest.mark.parametrize("most", [2_000, 10**9])
def test_an_iterator_without_end(monkeypatch, most):
    """The check's own loop over what a student's function gave would never end."""
    monkeypatch.setattr(conversation, "MESSAGES", most)
    asked = []

    def send(text):
        asked.append(text)
        if len(asked) > 4_000:
            raise NoAnswer("enough")
        return json.dumps({"return": 1} if '"next"' in text else ENDLESS)

    side = Conversation(send)
    (found,) = side.ask(lambda f: evaluate({"holds": lambda: list(f(1)) and None}), ["f"])
    assert not found.passed
    assert (len(asked), "too many" in side.broken) == ((2_001, True) if most < 4_000 else (4_001, False))


def test_a_kernels_sockets_are_not_reached_through_a_link(start_sandboxed, tmp_path):
    """Whoever owns the folder may put a link in a socket's place, to any socket on the grader's side."""
    session = start_sandboxed()
    target = tmp_path / "s"
    elsewhere = socket.socket(socket.AF_UNIX)
    elsewhere.bind(str(target))
    elsewhere.listen()
    elsewhere.settimeout(2)
    name = f"{SOCKETS}/kernel-1"
    assert session.run(f"import os; os.unlink({name!r}); os.symlink({str(target)!r}, {name!r})") == ""
    provisioner = session.manager.provisioner
    for path, reached in (
        (provisioner._folder / "run" / "kernel-1", False),
        (Path(f"/proc/{provisioner._inside}/root{name}"), True),
    ):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(path))
            if reached:
                elsewhere.accept()[0].close()
            else:
                with pytest.raises(TimeoutError):
                    elsewhere.accept()
    assert open_sockets(Path(f"/proc/{provisioner._inside}/root{SOCKETS}"), ["kernel-1"]) == {}
    elsewhere.close()


def test_what_is_no_socket_is_not_taken_for_one(tmp_path):
    (tmp_path / "a").write_text("")
    before = len(os.listdir("/proc/self/fd"))
    assert open_sockets(tmp_path, ["a"]) == open_sockets(tmp_path, ["none"]) == {}
    assert len(os.listdir("/proc/self/fd")) == before
