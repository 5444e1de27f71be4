"""A kernel that executes the cells of one submission, is asked its exercises, and is watched to its limits.

Whatever it does is a result: what was asked before keeps its own, and what comes after gets the reason.
"""

import asyncio
import math
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from labkit.checking import salted
from labkit.course.grade.exercises import Exercise
from labkit.course.grade.limited import Overrun, cpu_limit
from labkit.course.grade.sandbox.kernels import Kernel
from labkit.course.grade.sandbox.limits import MEBIBYTE, WALL_FACTOR, Limits
from labkit.course.grade.talk.channel import DYING_SECONDS, Channel, monitor_address
from labkit.course.grade.talk.conversation import Conversation
from labkit.course.grade.talk.protocol.exchange import NoAnswer
from labkit.errors import LabkitError
from labkit.files import write_json

START_SECONDS = 120
LAST_OUTPUT_SECONDS = 30
LOOK_SECONDS = 0.5
WAITING = 16  # messages that a socket holds until they are read
HEAD_BYTES = 4000  # of a message, beside what it says


@dataclass
class Result:
    """What became of a submission so far."""

    status: str = "ok"
    reason: str = ""
    exercises: dict[str, dict[str, Any]] = field(default_factory=dict)
    again: bool = False  # what stopped it may have been the load of the machine, and it should be run again, alone
    checks: str = ""  # state of the instructor's notebook and its checks

    def stop(self, status: str, reason: str, *, again: bool = False) -> None:
        """The first reason to stop is the one that counts."""
        if self.status == "ok":
            self.status, self.reason, self.again = status, reason, again


class Stopped(Exception):  # noqa: N818 - not an error: the submission's own end
    """The notebook goes no further; the result says why."""


class Executor(NotebookClient):
    """nbclient, which after each test cell asks that cell's exercise, and ends at the limits."""

    def __init__(
        self,
        cells: NotebookNode,
        room: Path,
        work: Path,
        asked: dict[str, list[Exercise]],
        kernel: Kernel,
        limits: Limits,
        salt: int,
        result: Result,
        progress: Path,
    ) -> None:
        manager = kernel.manager(room / "jupyter", work, limits)
        # What is larger is not even received, and the connection ends: see `_watch`.
        manager.context = self._context = zmq.asyncio.Context()
        self._context.setsockopt(zmq.MAXMSGSIZE, limits.output_bytes + MEBIBYTE)
        self._context.setsockopt(zmq.RCVHWM, WAITING)
        settings = {"allow_errors": True, "store_widget_state": False, "startup_timeout": START_SECONDS}
        settings["iopub_timeout"] = LAST_OUTPUT_SECONDS
        super().__init__(cells, km=manager, timeout_func=self._wall_left, **settings)
        self._start = kernel.start_settings(work)
        self._spent = kernel.clock(manager, limits)
        self._asked, self._limits, self._salt = asked, limits, salt
        self._result, self._progress = result, progress
        self._ends = time.monotonic() + WALL_FACTOR * limits.notebook_seconds
        self._output_left = limits.output_bytes
        # Seconds that one cell or exercise has computed, infinite if it cannot be seen, and slept at most.
        self.dearest = self.asleep = 0.0
        self._monitors: list[zmq.Socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Execute all cells; how it ended is in the result."""
        try:
            self.execute(cleanup_kc=True, **self._start)
        except Stopped:
            pass
        except CellTimeoutError:
            self._result.stop("time-out", self._too_long(), again=True)
        except DeadKernelError:
            self._result.stop("kernel died", "the kernel died; most often its memory was full, or it was ended.")
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, LabkitError) and self._loop is not None:
                raise
            if self._loop is None:  # the probe has started one: this machine is busy or full, which may pass
                raise Overrun(f"its kernel did not start: {type(error).__name__}: {str(error)[:200]}") from error
            said = f"{type(error).__name__}: {str(error)[:200]}"
            self._result.stop("kernel died", f"the kernel could not be talked to any more ({said}).")
        finally:
            if self.km is not None:
                self._cleanup_kernel()
            self._context.destroy(linger=0)  # one left to the garbage collector may wait for its sockets for ever

    async def async_execute_cell(self, cell: NotebookNode, cell_index: int, **settings: Any) -> NotebookNode:
        """Execute a cell; where it is a test cell, ask its exercise."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            for each in (signal.SIGINT, signal.SIGTERM):  # nbclient's end the kernel, as if the submission had
                with suppress(RuntimeError):
                    self._loop.remove_signal_handler(each)
            channels = (self.kc.iopub_channel, self.kc.shell_channel)
            of = zmq.EVENT_DISCONNECTED
            made = [each.socket.get_monitor_socket(of, monitor_address()) for each in channels]
            self._monitors = [zmq.Socket.shadow(each.underlying) for each in made]
            self.kc.iopub_channel.get_msg = self._counted(self.kc.iopub_channel.get_msg)
        if time.monotonic() > self._ends:
            self._result.stop("time-out", self._too_long(), again=True)
            raise Stopped
        watch, before = asyncio.create_task(self._watch()), self._so_far()
        try:
            cell = await super().async_execute_cell(cell, cell_index, **settings)
        finally:
            watch.cancel()
            self._note(before)
        if self._result.status != "ok":
            raise Stopped
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in self._asked and name not in self._result.exercises:
            await asyncio.to_thread(self._ask, name)
        return cell

    async def _watch(self) -> None:
        """End the kernel when a cell has computed too long, or has sent more than is received."""
        before, slept = self._spent(), self._spent.asleep
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._spent()
            if await self._cut_off():
                self._result.stop("output flood", self._flood())
            elif now - before > self._limits.cell_seconds:
                said = f"a cell computed longer than {self._limits.cell_seconds:.0f} s."
                self._result.stop("time-out", said, again=self._spent.is_wall)
            elif self._spent.asleep - slept > self._limits.asleep_seconds:
                self._result.stop("time-out", f"a cell slept longer than {self._limits.asleep_seconds:.0f} s.")
            elif now > self._limits.notebook_seconds:
                said = f"the notebook computed longer than {self._limits.notebook_seconds:.0f} s."
                self._result.stop("time-out", said, again=self._spent.is_wall)
            else:
                continue
            self._kill()
            return

    async def _cut_off(self) -> bool:
        """Whether the connection ended, as by a message too large to be received, and the kernel did not."""
        if not any(each.poll(0) for each in self._monitors):
            return False
        await asyncio.sleep(DYING_SECONDS)
        return bool(await self.km.is_alive())

    def process_message(self, message: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """Take an output of this cell; of a flood nothing, and what is no message is left out."""
        try:
            if self._output_left < 0 and message["msg_type"] != "status":
                return None
            return super().process_message(message, cell, cell_index)
        except (CellExecutionComplete, MemoryError):
            raise
        except Exception:  # of the message's readers, which take it for one of ipykernel's
            return None

    def _counted(self, receive: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """`receive`, which ends a kernel that sends too much, whatever its messages say that they belong to."""

        async def counted(**settings: Any) -> Any:
            message = await receive(**settings)
            if self._output_left >= 0:
                heads = len(str(message.get("header"))) + len(str(message.get("parent_header")))
                beside = sum(len(each) for each in message.get("buffers", ())) + len(str(message.get("metadata")))
                self._output_left -= len(str(message.get("content"))) + beside + max(0, heads - HEAD_BYTES)
                if self._output_left < 0:
                    self._result.stop("output flood", self._flood())  # at once: the kernel may compute on a while
                    self._kill()
            return message

        return counted

    def _kill(self) -> None:
        asyncio.run_coroutine_threadsafe(self.km.shutdown_kernel(now=True), self._loop)

    def _flood(self) -> str:
        return f"it printed more than {self._limits.output_bytes / MEBIBYTE:.0f} MB."

    def _wall_left(self, cell: NotebookNode) -> float:
        return max(0.1, min(self._limits.wall_seconds, self._ends - time.monotonic()))

    def _too_long(self) -> str:
        if time.monotonic() > self._ends:
            return f"the notebook took longer than {WALL_FACTOR * self._limits.notebook_seconds:.0f} s."
        return f"a cell took longer than {self._limits.wall_seconds:.0f} s."

    def _so_far(self) -> tuple[float, float]:
        return self._spent(), self._spent.asleep

    def _note(self, before: tuple[float, float]) -> None:
        spent, asleep = (now - then for now, then in zip(self._so_far(), before, strict=True))
        self.dearest = max(self.dearest, math.inf if self._spent.is_wall else spent)
        self.asleep = max(self.asleep, asleep)

    def _alive(self) -> bool:
        alive = asyncio.run_coroutine_threadsafe(self.km.is_alive(), self._loop)
        return bool(alive.result(60))

    def _ask(self, name: str) -> None:
        """Hold the conversation of one exercise in a separate thread, while nbclient waits."""
        channel = Channel(
            self.km.get_connection_info(),
            self._alive,
            spent=self._spent,
            seconds=max(1.0, min(self._limits.cell_seconds, self._limits.notebook_seconds - self._spent())),
            asleep_seconds=self._limits.asleep_seconds,
            wall_seconds=max(1.0, min(self._limits.wall_seconds, self._ends - time.monotonic())),
            output_bytes=self._output_left,
        )
        before = self._so_far()
        write_json(self._progress, {"asking": name, "exercises": clean(self._result.exercises)})
        try:
            with salted(self._salt), cpu_limit(self._limits.check_seconds):
                found, broken = ask(channel, self._asked[name], self._limits.check_seconds)
        finally:
            channel.stop()
            self._note(before)
        self._result.exercises[name] = found
        if broken:
            status = "time-out" if "within" in broken else "kernel died"
            status = "output flood" if "printed" in broken else status
            self._result.stop(status, f"{broken}.", again=channel.late)
            raise Stopped


def ask(channel: Channel, checks: Sequence[Exercise], seconds: float) -> tuple[dict[str, Any], str]:
    """Properties and reason of one test cell, and why the kernel can be asked no more, or ""."""
    modules = sorted({"labkit.checking", *(each.module for each in checks)})
    conversation = Conversation(channel.send, modules, seconds=0.8 * seconds)
    found: list[dict[str, Any]] = []
    try:
        conversation.take(channel.open())
        for each in checks:
            found += [asdict(one) for one in conversation.ask(each.load(), each.functions)]
        if not conversation.broken and not channel.close(conversation.end()):
            conversation.broken = "the kernel did not come to an end with its answers"
    except (LabkitError, MemoryError):
        raise
    except NoAnswer as error:
        conversation.broken = str(error)
    except Exception as error:  # an answer that a check was not made for must not stop this for ever
        conversation.broken = f"the check stopped with {type(error).__name__}, look at it by hand"
    reason = conversation.broken or _missing(found, checks)
    return {"properties": found, "reason": f"{reason}." if reason else ""}, conversation.broken


def _missing(found: list[dict[str, Any]], checks: Sequence[Exercise]) -> str:
    names = [name for each in checks for name in each.functions]
    hints = " ".join(each["hint"] for each in found if not each["passed"])
    gone = [name for name in names if f"NameError: name '{name}' is not defined" in hints]
    return f"the notebook defines no {' and no '.join(gone)}" if gone else ""


def clean(value: Any) -> Any:
    """The value with texts that UTF-8 can hold."""
    if isinstance(value, dict):
        return {clean(key): clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [clean(each) for each in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
