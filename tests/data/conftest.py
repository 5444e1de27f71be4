"""A local server that misbehaves as told."""

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest


@dataclass(frozen=True)
class Reply:
    """What the server answers: `sent` bytes of `body` (all if None), with `pause` seconds before each byte."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    sent: int | None = None
    pause: float = 0.0
    chunked: bool = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        replies = server.replies[self.path]
        asked = server.asked.get(self.path, 0)
        server.asked[self.path] = asked + 1
        reply = replies[min(asked, len(replies) - 1)]
        self.close_connection = True
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # The client may hang up first.
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        body = reply.body[: reply.sent]
        if reply.chunked:
            for block in (body[:5], body[5:]):
                self.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif reply.pause:
            for byte in body:
                if self.server.stopping:
                    return
                time.sleep(reply.pause)
                self.wfile.write(bytes([byte]))
        else:
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class LocalServer(ThreadingHTTPServer):
    """Answers on 127.0.0.1: the n-th request of an address gets its n-th reply, later ones the last."""

    daemon_threads = True
    block_on_close = False
    reply = Reply

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: dict[str, tuple[Reply, ...]] = {}
        self.asked: dict[str, int] = {}
        self.stopping = False

    def address(self, *replies: Reply) -> str:
        """A new address with these replies."""
        path = f"/file{len(self.replies)}"
        self.replies[path] = replies
        return f"http://127.0.0.1:{self.server_port}{path}"

    def times_asked(self, address: str) -> int:
        return self.asked.get("/" + address.rsplit("/", 1)[1], 0)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """A `LocalServer`; replies are made with `server.reply(...)`, addresses with `server.address(reply, ...)`."""
    local = LocalServer()
    thread = Thread(target=functools.partial(local.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    yield local
    local.stopping = True
    local.shutdown()
    local.server_close()
