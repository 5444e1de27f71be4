"""Work on a stranger's files in a separate process that can be killed; its time and memory are bounded.

One long operation of Python (a set of numbers that all collide, a regular expression) hears no signal handler and
no other thread. So the kernel of the operating system ends it: at the limit of its CPU seconds, or of its memory.
"""

import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from typing import Any

try:
    import resource
except ImportError:  # Windows, where nothing but --unsafe could run either
    resource = None

MEBIBYTE = 2**20
CPU_SECONDS = 30
MEMORY_BYTES = 320 * MEBIBYTE  # beside what the process has before its work begins
WALL_FACTOR = 10  # on a machine under load a CPU second takes longer, but hardly so much longer
PRELOADED = [
    "labkit.course.grade.execute",
    "labkit.course.grade.marks.feedback",
    "labkit.course.grade.intake.repair",
    # What a page of feedback imports only when it is drawn: most of its time, and one page is one process.
    "nbgrader.preprocessors",
    "nbgrader.server_extensions.formgrader.handlers",
]


class Overrun(Exception):  # noqa: N818 - not an error of the kit: what a stranger's work came to
    """The work took more than it may, and its process was ended; the message says of what.

    Attributes:
        certain: it was its own computing time, which no load of the machine changes.
    """

    def __init__(self, said: str, *, certain: bool = False) -> None:
        super().__init__(said)
        self.certain = certain


def run_limited(
    work: Callable[..., Any],
    *args: Any,
    cpu_seconds: float | None = CPU_SECONDS,
    wall_seconds: float | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> Any:
    """What `work(*args)` gives or raises, in another process.

    Args:
        work: a function of a module, with what it is given and gives fit to be pickled.
        cpu_seconds: the most it may compute; None leaves that to `cpu_limit` in the work itself.
        wall_seconds: the most it may take; `WALL_FACTOR` times `cpu_seconds` by default.
        memory_bytes: the most its memory may grow.

    Raises Overrun: it was ended for one of these, or ended by itself without a word.
    """
    context = _context()
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="labkit-", ignore_cleanup_errors=True) as room:
        about = (dict(os.environ), room, cpu_seconds, memory_bytes)
        process = context.Process(target=_work, args=(theirs, about, work, args), daemon=False)
        process.start()
        theirs.close()
        try:
            return _answer(process, ours, wall_seconds or (cpu_seconds or CPU_SECONDS) * WALL_FACTOR)
        finally:
            process.kill()
            process.join()
            ours.close()


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Within it this process may compute so long, and is ended by the operating system if it goes on."""
    if resource is None:
        yield
        return
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until if most < 0 else min(until, most), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))


def _context() -> Any:
    """Children are forked from a small server that has imported what they need: they start at once."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _answer(process: Any, ours: Connection, seconds: float) -> Any:
    if not wait([ours, process.sentinel], timeout=seconds):
        raise Overrun(f"it took longer than {seconds:.0f} s")
    with suppress(EOFError, OSError):
        if ours.poll(0):
            ended, value = ours.recv()
            if ended == "raised":
                raise value
            return value
    process.join(5)
    if process.exitcode == -signal.SIGXCPU:
        raise Overrun("it took more computing time than it may", certain=True)
    raise Overrun("it took more memory than it may, or was ended")


def _work(theirs: Connection, about: tuple[Any, ...], work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    environment, room, cpu_seconds, memory_bytes = about
    _end_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = room
    _limit_memory(memory_bytes)
    try:
        if cpu_seconds is None:
            answer = ("returned", work(*args))
        else:
            with cpu_limit(cpu_seconds):
                answer = ("returned", work(*args))
    except MemoryError:
        os._exit(1)
    except BaseException as error:
        answer = ("raised", error)
    try:
        theirs.send(answer)
    except OSError:  # nobody waits for it any more: Ctrl-C has reached both
        return
    except Exception:  # an error that cannot be pickled
        theirs.send(("raised", RuntimeError(repr(answer[1])[:300])))
    theirs.close()


def _limit_memory(more: int) -> None:
    """Memory as data: a limit on address space would count what torch maps and never touches."""
    if resource is None or sys.platform != "linux":
        return
    with open("/proc/self/status") as status:
        now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    # The soft limits alone: a sandbox that is started from here has its own, which may be wider.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (now + more if most < 0 else min(now + more, most), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent() -> None:
    """Let this process end with the server that forked it, which ends with the process that it serves."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
