"""The way between a conversation's two sides: a Jupyter kernel's input requests."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import zmq
from jupyter_client import BlockingKernelClient

from labkit.course.grade.talk.protocol.exchange import NoAnswer
from labkit.course.grade.talk.protocol.wire import LIMIT_BYTES
from labkit.course.grade.talk.quoting import error_name

PROTOCOL = "labkit.course.grade.talk.protocol"  # the one package that a sandboxed kernel sees of `course`
SERVE = f"__import__('{PROTOCOL}.answering', fromlist=['serve']).serve(get_ipython().user_ns, get_ipython().kernel)"
ENVELOPE_BYTES = 2**20
WAITING = 8  # messages of one socket that are held until they are read
POLL_SECONDS = 0.2
LOOK_SECONDS = 0.5  # between two looks at what the kernel has computed
CONNECT_SECONDS = 100
DYING_SECONDS = 3.0  # a kernel that ends closes its connections, and is gone some time later on a busy machine
NUMBERS = itertools.count()
PRINTED = "your code printed more than a submission may"


class Channel:
    """Talks with the answering side in a kernel that runs and is idle.

    Args:
        alive: whether the kernel still runs.
        spent: the kernel's `Clock`, which tells what it has computed so far.
        seconds: that it may compute for the whole conversation.
        asleep_seconds: that it may sleep meanwhile.
        wall_seconds: that the conversation may take.
        output_bytes: what the student's functions may print meanwhile.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        alive: Callable[[], bool],
        *,
        spent: Any,
        seconds: float,
        asleep_seconds: float,
        wall_seconds: float,
        output_bytes: int,
    ) -> None:
        self.alive, self.spent, self.output_bytes = alive, spent, output_bytes
        self.seconds, self.may_spend = seconds, spent() + seconds
        self.asleep_seconds, self.may_sleep = asleep_seconds, spent.asleep + asleep_seconds
        self.wall_seconds, self.deadline = wall_seconds, time.monotonic() + wall_seconds
        self.late = False  # whether it ended by the clock, which a machine under load may be to blame for
        context = _Context()
        context.setsockopt(zmq.RCVHWM, WAITING)
        context.setsockopt(zmq.MAXMSGSIZE, LIMIT_BYTES + ENVELOPE_BYTES)  # more is not even received
        self.client = BlockingKernelClient(context=context)
        self.client.load_connection_info(connection)
        self.client.start_channels(shell=True, iopub=True, stdin=True, hb=False, control=False)
        self._cut = self.client.iopub_channel.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED, monitor_address())
        self._request = ""

    def open(self) -> str:
        """The first text of the other side.

        Raises NoAnswer: there is none.
        """
        monitor = self.client.stdin_channel.socket.get_monitor_socket()
        if not monitor.poll(CONNECT_SECONDS * 1000):
            self.late = True
            raise NoAnswer("the kernel cannot be reached")
        self.client.stdin_channel.socket.disable_monitor()
        self._request = self.client.execute(SERVE, store_history=False, allow_stdin=True)
        return self._next()

    def send(self, text: str) -> str:
        """Send a text; the other side's next.

        Raises NoAnswer: there is none: the kernel died, took too long, printed too much, or stopped answering.
        """
        self.client.input(text)
        return self._next()

    def close(self, end: str, seconds: float = 60.0) -> bool:
        """Send the last text; whether the kernel is idle again and fit for the next cell."""
        self.client.input(end)
        self.deadline = time.monotonic() + seconds
        try:
            self._next()
        except _Idle:
            return True
        except NoAnswer:
            return False
        return False

    def stop(self) -> None:
        """Let go of the sockets."""
        self.client.context.destroy(linger=0)

    def _next(self) -> str:
        """The text of the next input request of our own execute request."""
        sockets = {each.socket: each for each in (self.client.stdin_channel, self.client.iopub_channel)}
        sockets[self.client.shell_channel.socket] = self.client.shell_channel
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        look = time.monotonic() + LOOK_SECONDS
        while True:
            ready = dict(poller.poll(POLL_SECONDS * 1000))
            for socket in ready:
                if (text := self._taken(sockets[socket])) is not None:
                    return text
            if time.monotonic() > self.deadline:
                self.late = True
                raise NoAnswer(f"no answer came within {self.wall_seconds:.0f} s")
            if time.monotonic() > look:
                look = time.monotonic() + LOOK_SECONDS
                if self._too_large():
                    raise NoAnswer(PRINTED)
                if self.spent() > self.may_spend:
                    self.late = self.spent.is_wall
                    raise NoAnswer(f"no answer came within {self.seconds:.0f} s of computing")
                if self.spent.asleep > self.may_sleep:
                    raise NoAnswer(f"no answer came within {self.asleep_seconds:.0f} s of sleep")
            if not ready and not self.alive():
                raise NoAnswer("the kernel died while it was asked")

    def _taken(self, channel: Any) -> str | None:
        """A text if one came on this channel."""
        try:
            parts = channel.socket.recv_multipart(zmq.NOBLOCK)
            if channel is self.client.iopub_channel:  # counted as it comes: what is in it is the kernel's to choose
                self._count(sum(map(len, parts)))
                return None
            message = self.client.session.deserialize(self.client.session.feed_identities(parts)[1])
            kind, content = message["msg_type"], message["content"]
            ours = message["parent_header"].get("msg_id") == self._request
        except (NoAnswer, MemoryError):
            raise
        except Exception as error:  # whatever the kernel sent, it is no message
            raise NoAnswer(f"the kernel sent no message ({type(error).__name__})") from None
        if not ours:
            return None
        if kind == "input_request" and isinstance(content, dict) and isinstance(content.get("prompt"), str):
            return content["prompt"]
        if kind == "execute_reply":
            if isinstance(content, dict) and content.get("status") == "ok":
                raise _Idle("the kernel stopped answering")
            name = error_name([content.get("ename")] if isinstance(content, dict) else [])
            raise NoAnswer(f"the kernel stopped answering ({name})")
        return None

    def _count(self, size: int) -> None:
        self.output_bytes -= size
        if self.output_bytes < 0:
            raise NoAnswer(PRINTED)

    def _too_large(self) -> bool:
        """Whether the output came in one message so large that zmq closed the connection and counted nothing."""
        if not self._cut.poll(0):
            return False
        until = time.monotonic() + DYING_SECONDS
        while self.alive():
            if time.monotonic() > until:
                return True
            time.sleep(POLL_SECONDS)
        return False


def monitor_address() -> str:
    """An address of a socket's monitor that no other has.

    pyzmq names it by the socket's file descriptor, and a new socket may get that of one that is still being closed.
    """
    return f"inproc://labkit-monitor-{next(NUMBERS)}"


class _Context(zmq.Context):
    """Its sockets tell when they are connected: a kernel's question to one that is not yet is lost."""

    def socket(self, socket_type: int, *args: Any, **settings: Any) -> Any:
        made = super().socket(socket_type, *args, **settings)
        if socket_type == zmq.DEALER:
            made.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED, monitor_address())
        return made


class _Idle(NoAnswer):
    """The execute request has come to its end."""
