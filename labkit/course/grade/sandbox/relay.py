"""Carries a kernel's sockets through the two pipes of the command that runs its container.

A socket in a mounted folder cannot be reached where containers run in a virtual machine (macOS, Windows), and a
container without network has no port. So the container's first process is this file, of the standard library alone:
it starts the kernel and connects to its sockets, while `Relay` listens outside on sockets of the same names.

Both ends write frames: connection (4 bytes), kind (1), length (4), data. OPEN names a socket, DATA carries its bytes,
END closes it, HELLO says that the inner end has begun. What is malformed ends the relay: the inner end belongs to the
student.
"""

import asyncio
import os
import signal
import socket
import struct
import sys
import threading
from asyncio import StreamReader, StreamReaderProtocol, StreamWriter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

FRAME = struct.Struct("!IBI")
OPEN, DATA, END, HELLO = range(4)
NAMES = ("kernel-1", "kernel-2", "kernel-3", "kernel-4", "kernel-5")
CHUNK = 2**16
BACKLOG = 64 * 2**20  # bytes that a connection may leave unread before it is closed


class Relay:
    """The outer end, in a thread of its own; it ends with the container's command.

    Args:
        folder: where the sockets appear.
        to_inside: the standard input of the container's command.
        from_inside: its standard output.

    Raises OSError: no socket can be made in `folder`.
    """

    def __init__(self, folder: Path, to_inside: IO[bytes], from_inside: IO[bytes]) -> None:
        self._pipes = (from_inside, to_inside)
        self._listening = {name: _listen(folder / name) for name in NAMES}
        self._hello = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()

    def begun(self, seconds: float) -> bool:
        """Whether the inner end has begun, waiting for it at most so long."""
        return self._hello.wait(seconds)

    def ended(self, seconds: float) -> bool:
        """Whether it is over, waiting for that at most so long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    async def _serve(self) -> None:
        end = _End(*await _streams(*self._pipes), hello=self._hello.set)
        for name, listening in self._listening.items():
            await asyncio.start_unix_server(partial(end.accept, name), sock=listening)
        await end.deliver()
        for listening in self._listening.values():
            listening.close()


class _End:
    """One end: its connections by number, and the pipe that they share."""

    def __init__(
        self, reader: StreamReader, writer: StreamWriter, *, folder: str = "", hello: Callable = lambda: None
    ) -> None:
        self.reader, self.writer, self.folder, self.hello = reader, writer, folder, hello
        self.connections: dict[int, StreamWriter] = {}
        self.tasks: set[asyncio.Task] = set()
        self.count = 0

    def send(self, number: int, kind: int, data: bytes = b"") -> None:
        """Write one frame; what comes after the pipe's end is lost."""
        if not self.writer.is_closing():
            self.writer.write(FRAME.pack(number, kind, len(data)) + data)

    async def deliver(self) -> None:
        """Hand on what comes through the pipe until it ends, or carries what is no frame."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                number, kind, length = FRAME.unpack(await self.reader.readexactly(FRAME.size))
                if kind > HELLO or length > CHUNK or (kind == OPEN and not self.folder):
                    break
                await self._take(number, kind, await self.reader.readexactly(length))
        for writer in (*self.connections.values(), self.writer):
            writer.close()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=1)

    async def _take(self, number: int, kind: int, data: bytes) -> None:
        if kind == HELLO:
            self.hello()
        elif kind == OPEN:
            await self._reach(number, data.decode())
        elif kind == END:
            self._drop(number)
        elif kind == DATA and (writer := self.connections.get(number)):
            writer.write(data)
            if writer.transport.get_write_buffer_size() > BACKLOG:
                writer.transport.abort()

    async def _reach(self, number: int, name: str) -> None:
        """Connect to the kernel's socket; where it is not there yet, zeromq tries again."""
        try:
            reader, writer = await asyncio.open_unix_connection(f"{self.folder}/{name}")
        except OSError:
            self.send(number, END)
        else:
            self.carry(number, reader, writer)

    def accept(self, name: str, reader: StreamReader, writer: StreamWriter) -> None:
        """Have the other end connect to socket `name`."""
        self.count += 1
        self.send(self.count, OPEN, name.encode())
        self.carry(self.count, reader, writer)

    def carry(self, number: int, reader: StreamReader, writer: StreamWriter) -> None:
        """Begin to carry what a connection says, both ways."""
        self.connections[number] = writer
        self._start(self._send_all(number, reader))

    async def _send_all(self, number: int, reader: StreamReader) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                self.send(number, DATA, data)
                await self.writer.drain()
        self._drop(number)
        self.send(number, END)

    def _start(self, work: Coroutine) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _drop(self, number: int) -> None:
        if writer := self.connections.pop(number, None):
            writer.close()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


async def _streams(source: IO[bytes], target: IO[bytes]) -> tuple[StreamReader, StreamWriter]:
    """A reader and a writer of two pipes."""
    loop = asyncio.get_running_loop()
    reader = StreamReader()
    await loop.connect_read_pipe(lambda: StreamReaderProtocol(reader), source)
    protocol = StreamReaderProtocol(StreamReader())
    transport, _ = await loop.connect_write_pipe(lambda: protocol, target)
    return reader, StreamWriter(transport, protocol, None, loop)


async def _inside(folder: str, command: list[str]) -> int:
    """Be the inner end while `command` runs, or until the pipe ends; the command's status."""
    end = _End(*await _streams(sys.stdin.buffer, sys.stdout.buffer), folder=folder)
    end.send(0, HELLO)
    none = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=none, stdout=none)
    ends = [asyncio.create_task(process.wait()), asyncio.create_task(end.deliver())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if process.returncode is None:
        process.kill()
    return process.returncode or 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))  # which a first process would not hear
    os._exit(abs(asyncio.run(_inside(sys.argv[1], sys.argv[2:]))))
