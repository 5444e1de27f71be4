"""CelebA once and for all: decode a heap of JPEGs on all cores, and go on where a kill stopped it."""

import json
import os
import shutil
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from labkit.data.celeba.decode import UnusableError, decode
from labkit.data.celeba.journal import Done, Journal, crc
from labkit.data.celeba.shelf import Job, discard, finish, prepared_report, publish
from labkit.data.safe_zip import UnreadableEntryError
from labkit.errors import LabkitError
from labkit.files import write_json

CHUNK = 64  # images decoded as one piece of work: what a kill can cost each thread


def prepare(job: Job, *, patience: float = 0, replace: bool = False, progress: bool = True) -> dict[str, Any]:
    """Prepare one size, or go on where an earlier call was stopped; a prepared size is left as it is.

    Args:
        job: what and where.
        patience: seconds to wait while another process prepares the same folder.
        replace: throw away what the folder holds, all sizes, and begin anew.
        progress: show images/s and the time left.

    Returns:
        The report.

    Raises:
        LabkitError: no usable image; other images than the folder holds, or annotations that it lacks; the folder
            cannot be written or its disk is full (what is done stays done); another process is at it.
    """
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(job.folder / ".lock", timeout=patience):
            if replace:
                discard(job.folder)
            return _prepare(job, progress)
    except Timeout:
        raise LabkitError(
            f"{job.folder}: another process is preparing images there; wait until it is done, then try again."
        ) from None
    except OSError as error:
        raise LabkitError(
            f"{job.folder}: cannot be written ({error.strerror or error}); free some space or set LABKIT_CACHE "
            "to another folder. What is done is kept: call again to go on."
        ) from error


def _prepare(job: Job, progress: bool) -> dict[str, Any]:
    plan = job.plan()
    if (report := prepared_report(job.folder, job.size)) is not None:
        if report["plan"] != plan:
            raise LabkitError(
                f"{job.folder}: was prepared from other images ({report['source']}); use them, "
                "or prepare anew with --replace."
            )
        if new := [kind for kind in job.source.annotations if kind not in report["annotations"]]:
            raise LabkitError(
                f"{job.folder}: was prepared without {' and '.join(new)}, which {job.source.path} has; "
                "prepare anew with --replace."
            )
        shutil.rmtree(job.workshop, ignore_errors=True)
        return report
    _enter_workshop(job, plan)
    started = time.perf_counter()
    decoded = 0
    if not (job.workshop / "report.json").exists():
        done, decoded = _decode_all(job, progress)
        finish(job, plan, {name: why for each in done.values() for name, why in each.dropped.items()})
    publish(job)
    report = prepared_report(job.folder, job.size)
    assert report is not None
    return report | {"decoded": decoded, "seconds": time.perf_counter() - started}


def _enter_workshop(job: Job, plan: dict[str, Any]) -> None:
    """Make room for unfinished work, unless there is some of the same plan."""
    begun = job.workshop / "plan.json"
    try:
        if json.loads(begun.read_text(encoding="utf-8")) == plan:
            return
    except (OSError, ValueError):
        pass
    shutil.rmtree(job.workshop, ignore_errors=True)
    needed = len(job.source.images) * 3 * job.height * job.width
    if (free := shutil.disk_usage(job.folder).free) < 1.02 * needed:
        raise LabkitError(
            f"{job.folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free; "
            "free some space or set LABKIT_CACHE to another folder."
        )
    job.workshop.mkdir()
    with open(job.workshop / "pixels.npy", "wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": _shape(job)}
        np.lib.format.write_array_header_1_0(stream, header)
    write_json(begun, plan)


def _shape(job: Job) -> tuple[int, int, int, int]:
    return len(job.source.images), 3, job.height, job.width


def _decode_all(job: Job, progress: bool) -> tuple[dict[int, Done], int]:
    """Decode every chunk that is not done; all that are, and the number of images decoded now."""
    count, image_bytes = len(job.source.images), 3 * job.height * job.width
    journal, lock = Journal(job.workshop / "journal.jsonl"), threading.Lock()
    with open(job.workshop / "pixels.npy", "r+b") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        start = stream.tell()

        def pixels_of(chunk: int) -> bytes:
            stream.seek(start + chunk * CHUNK * image_bytes)
            return stream.read(min(CHUNK, count - chunk * CHUNK) * image_bytes)

        def work(chunk: int) -> Done:
            block, dropped = _decode_chunk(job, chunk)
            with lock:
                stream.seek(start + chunk * CHUNK * image_bytes)
                stream.write(block.data)
                stream.flush()
                done = Done(chunk, crc(block), dropped)
                journal.add(done)
            return done

        done = journal.read(pixels_of)
        waiting = [chunk for chunk in range(-(-count // CHUNK)) if chunk not in done]
        before = sum(min(CHUNK, count - chunk * CHUNK) for chunk in done)
        bar = tqdm(total=count, initial=before, unit=" images", desc=f"CelebA {job.size}", disable=not progress)
        with bar, ThreadPoolExecutor(_cores()) as pool:
            for finished in _in_flight(pool, work, waiting):
                done[finished.chunk] = finished
                bar.update(min(CHUNK, count - finished.chunk * CHUNK))
        os.fsync(stream.fileno())
    return done, count - before


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_flight(pool: ThreadPoolExecutor, work: Any, waiting: list[int]) -> Any:
    """Results as they come, with few chunks submitted at a time: an error or Ctrl-C then stops the rest."""
    running: set[Future[Done]] = set()
    for chunk in waiting:
        running.add(pool.submit(work, chunk))
        if len(running) >= 2 * _cores():
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    yield from (future.result() for future in running)


def _decode_chunk(job: Job, chunk: int) -> tuple[np.ndarray, dict[str, str]]:
    """The pixels of a chunk, zero where an image is left out, and name → why."""
    names = job.source.images[chunk * CHUNK : (chunk + 1) * CHUNK]
    block = np.zeros((len(names), 3, job.height, job.width), np.uint8)
    dropped = {}
    for row, name in enumerate(names):
        try:
            block[row] = decode(job.source.read(name), job.height, job.width)
        except UnusableError as fault:
            dropped[name] = str(fault)
        except UnreadableEntryError as fault:
            dropped[name] = fault.reason
    return block, dropped
