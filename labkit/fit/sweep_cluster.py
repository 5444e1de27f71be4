"""The models of a sweep trained by the workers of a dask scheduler; this file is also the program that trains one.

A cell is an idempotent task: a process of its own on some worker, which begins from the cell's checkpoint and writes
the cell's file, in the sweep's folder that all machines see. So a worker that is lost costs its cell a restart on
another one. What a lost lab has left in training is not begun a second time: whoever comes later waits for it.
"""

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import torch
from filelock import FileLock, Timeout

from labkit.errors import LabkitError
from labkit.fit.sweep import Cell, TrainOne
from labkit.scheduler import AWAY_VARIABLE, SCHEDULER_VARIABLE, connect, run_while_wanted

# Dask priority: a lab waits for its cells, and would wait for ever behind labs not yet begun.
BEFORE_LABS = 10


def train(address: str, cells: Sequence[Cell], train_one: TrainOne, tell: Callable[[str], None]) -> None:
    """Have the workers of the scheduler at `address` train cells; afterwards each cell's file is there.

    Raises LabkitError: no scheduler answers, `train_one` cannot be sent to others, or a model fails.
    """
    with connect(address, SCHEDULER_VARIABLE) as client, _parcel(cells, train_one) as parcel:
        from distributed import CancelledError, KilledWorker, as_completed

        program, tasks = ["-m", "labkit.fit.sweep_cluster", parcel], {}
        for place, cell in enumerate(cells):
            arguments = [*program, str(place)], parcel, str(cell.path.with_suffix(".log"))
            tasks[client.submit(run_while_wanted, *arguments, pure=False, priority=BEFORE_LABS)] = cell
        if said := os.environ.get(AWAY_VARIABLE):  # the worker that runs this lab may do something else besides
            Path(said).touch()
        for done, future in enumerate(as_completed(tasks, loop=client.loop), 1):
            words = tasks[future].words
            try:
                future.result()
            except LabkitError as error:
                raise LabkitError(f"grid_sweep: {words}: {error}") from error
            except KilledWorker as error:
                raise LabkitError(
                    f"grid_sweep: {words}: several workers died in training it; most often their memory is full."
                ) from error
            except CancelledError as error:
                raise LabkitError(
                    f"grid_sweep: the scheduler {address} was lost; do the same again to go on."
                ) from error
            tell(f"{done} of {len(cells)} models trained on other workers: {words}")


def main() -> None:
    """Train the cell of the parcel named by the first argument whose place is the second."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with open(sys.argv[1], "rb") as stream:
        train_one, cells, threads = pickle.load(stream)  # written by `train`, in a folder of our own
    torch.set_num_threads(threads)
    cell = cells[int(sys.argv[2])]
    with FileLock(cell.path.with_name(f".{cell.path.stem}.lock")):
        if cell.read() is None:
            cell.train(train_one)


@contextmanager
def _parcel(cells: Sequence[Cell], train_one: TrainOne) -> Iterator[str]:
    """A file with all that a cell needs, there as long as the sweep waits."""
    import cloudpickle

    folder = cells[0].path.parent
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".parcel-*.pkl"):  # by a sweep that was killed: of one that waits, the lock is held
        with suppress(Timeout), FileLock(lock := left.with_suffix(".lock"), timeout=0):
            left.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
    path = folder / f".parcel-{uuid4().hex}.pkl"
    try:
        with FileLock(path.with_suffix(".lock")):
            with open(path, "wb") as stream:
                try:
                    cloudpickle.dump((train_one, list(cells), torch.get_num_threads()), stream)
                except (TypeError, AttributeError, pickle.PicklingError) as error:
                    raise LabkitError(
                        f"grid_sweep: train_one cannot be sent to other workers ({error}); let it use plain values, "
                        f"arrays and models only, or unset {SCHEDULER_VARIABLE}."
                    ) from error
            yield str(path)
    finally:
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
