"""Calls that the sandbox's filter denies, and what would pass the border without it."""

import errno
import os
import platform
import struct
import subprocess
import sys

import pytest
from kernels import SMALL

from labkit.course.grade.sandbox import begin
from labkit.course.grade.sandbox.sandbox import bare, sandbox_command

pytest_plugins = ["kernels"]

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
