"""`fit`: the one training loop of the course."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from torch import nn

from labkit.errors import LabkitError
from labkit.fit.callbacks import Callback, Looks
from labkit.fit.checkpoint import Checkpoints
from labkit.fit.compiled import Recorded, recorder_for
from labkit.fit.forecast import Forecast
from labkit.fit.group import Group, join, shared_statistics
from labkit.fit.identity import describe_model, describe_run
from labkit.fit.interrupt import Interruptible
from labkit.fit.progress import Progress, say
from labkit.fit.rng import preserved_rng, rng_state, seed_everything
from labkit.fit.state import TrainingState
from labkit.fit.step import GuardedStep, Update, resolve_precision, trained_parameters

SKIPS_BEFORE_STOP = 50
Monitor = Callable[[TrainingState, dict[str, float]], None]


class TrainingDiverged(LabkitError):  # noqa: N818
    """Too many steps in a row had a non-finite loss or gradient; the weights are the last finite ones."""


class Batches(Protocol):
    """What `fit` needs of data; `labkit.data.ResidentBatches` has it."""

    count: int

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int) -> Iterator[Any]:
        """The batches of that epoch, the same whenever asked: tensors (N, …), or tuples that begin with one."""


@dataclass(frozen=True)
class FitResult:
    """What a run came to.

    Attributes:
        model: the trained model, in eval mode; with `watch`, its best weights.
        history: one row per epoch: `epoch` (from 1), the mean of each update's loss under its name, logged
            terms, `lr` (`lr_<name>` where there are several updates), `skipped` steps, `seconds`,
            `items_per_second`, and what `validate` returned (NaN between). Each item weighs the same in a mean.
        kept: callback name → {epoch: what the callback returned}, also of epochs trained before a resume.
        stopped: "finished" or "early".
        best_epoch: epoch of the best watched value, None without one.
        skipped: update name → steps skipped for a non-finite loss or gradient.
        seconds: spent on training.
    """

    model: nn.Module
    history: pd.DataFrame
    kept: dict[str, dict[int, Any]]
    stopped: str
    best_epoch: int | None
    skipped: dict[str, int]
    seconds: float


def fit(
    model: nn.Module,
    updates: Update | Sequence[Update],
    batches: Batches,
    *,
    epochs: int,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    validate_every: int = 1,
    watch: str | None = None,
    patience: int | None = None,
    callbacks: Sequence[Callback] = (),
    monitor: Monitor | None = None,
    clip: float | None = None,
    precision: str = "float32",
    seed: int = 0,
    run_dir: str | Path | None = None,
    checkpoint_seconds: float = 10.0,
    config: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> FitResult:
    """Train `model`: for every batch of every epoch, perform every update in turn.

    The global random generators are seeded from `seed` and afterwards put back, so what follows `fit` does
    not depend on whether it trained, resumed, or found the work done. `validate` and `callbacks` run in eval
    mode without gradients, and what they draw does not move training either.

    Started by `torchrun`, the processes train one model together, each on its rows of every batch: a loss must be the
    mean over its batch. Process 0 alone looks, shows and writes. Noise is drawn by each process for its own rows.

    With `run_dir`, the state is written to `run_dir/checkpoint.pt` from time to time, on an interrupt and at
    the end. Called again the same way, `fit` goes on from there and ends with the weights of a run that was
    never stopped (bit for bit on the CPU); a finished run returns at once, and larger `epochs` prolong it.
    The code of losses is not compared: name in `config` what else makes the run.

    Args:
        model: holds everything that is trained, on the device where it is trained.
        updates: one, or several performed in order on each batch (a GAN's two).
        batches: the data; their order may depend on the epoch and must not on global random generators.
        epochs: passes over the data.
        validate: model → {name: number}, called after every `validate_every` epochs.
        watch: name of a validated number, lower is better; the model ends with the weights of its best epoch.
        patience: stop when `watch` has not improved for this many epochs.
        callbacks: `every(n, f)` and `at([…], f)`; what f returns is kept in the result and in the checkpoint.
        monitor: called with the run's state and row after all other looks at an epoch. It may put back an earlier
            state or set `stopped_early`; what it must remember goes into `state.monitored`, which is checkpointed.
        clip: largest gradient norm of an update.
        precision: "float32"; "bf16" for autocast around the losses; "auto" for that where the device is fast at it.
        seed: of noise drawn by losses and layers.
        run_dir: folder of this run, None to write nothing.
        checkpoint_seconds: least time between two checkpoints.
        config: further settings of this run, as JSON values.
        progress: show a progress line, with throughput and time left.

    Raises:
        TrainingDiverged: 50 steps of an update in a row were skipped.
        Interrupted: Ctrl-C or a kernel's stop button; the checkpoint is written.
        LabkitError: arguments that do not fit together, a foreign or damaged checkpoint, a folder or disk
            that cannot be written.
    """
    updates = [updates] if isinstance(updates, Update) else list(updates)
    group = join()
    _check(model, updates, batches, epochs, precision)
    computed_in = resolve_precision(precision, trained_parameters(updates[0])[0].device)
    looks = Looks(validate, validate_every, watch, patience, callbacks)
    run = TrainingState(model, [GuardedStep(update, model, clip, computed_in, group) for update in updates])
    settings = {"clip": clip, "precision": precision, "seed": seed, "watch": watch, "patience": patience}
    settings |= {"validate_every": validate_every, "config": config or {}}
    about = {} if run_dir is None else describe_run(model, updates, batches, settings)
    group.agree("what they train", [settings, epochs, batches.count, len(batches), describe_model(model)])
    checkpoints = Checkpoints(run_dir if group.leads else None, about, checkpoint_seconds)
    shown = progress and group.leads

    stopped = False

    def save() -> None:
        checkpoints.save(run.state_dict())

    with (
        preserved_rng(),
        Interruptible() as interrupt,
        shared_statistics(model, group),
        group.survives(save, checkpoints.path),
    ):
        seed_everything(seed)
        _resume(run, checkpoints, epochs, group, seed)
        say(_announcement(run, batches, epochs, computed_in, checkpoints.path, group), shown)
        if not run.is_over(epochs):
            save()  # an unwritable folder is met before the work, not after it
            perform = Recorded(run.steps, recorder_for(run.steps), shown)
            forecast = Forecast(run.steps[0].device, (epochs - run.epoch) * batches.count, shown)
            with Progress(epochs, batches.count, run.epoch * batches.count, shown) as bar:
                while not run.is_over(epochs) and not stopped:
                    stopped = not _train_epoch(run, perform, batches, checkpoints, interrupt, (forecast, bar))
                    if not stopped:
                        row = run.finish_epoch(batches.count)
                        bar.epoch(run.epoch, updates[0].name, row[updates[0].name])
                        group.led(partial(_look, looks, monitor, run, row))
                        _follow_leader(run, group)
                        _stop_if_diverged(run)
            save()
        if stopped or interrupt.requested:
            interrupt.stop(_farewell(run, epochs, checkpoints.path, group))
    if run.best_weights is not None:
        model.load_state_dict(run.best_weights)
    model.eval()
    return FitResult(
        model=model,
        history=pd.DataFrame(run.rows),
        kept=run.kept,
        stopped="early" if run.stopped_early else "finished",
        best_epoch=run.best_epoch,
        skipped={step.update.name: step.books.skipped for step in run.steps},
        seconds=run.seconds,
    )


def _train_epoch(
    run: TrainingState,
    perform: Recorded,
    batches: Batches,
    checkpoints: Checkpoints,
    interrupt: Interruptible,
    counters: tuple[Forecast, Progress],
) -> bool:
    """Train on what is left of the epoch; False if that was interrupted."""
    group = run.steps[0].group
    if group.anyone(interrupt.requested, run.step):
        return False
    run.model.train()
    run.run_clock()
    for batch in islice(batches.epoch(run.epoch), run.step, None):
        items = len(batch[0] if isinstance(batch, tuple | list) else batch)
        perform(group.rows_of(batch), items)
        run.step += 1
        for counter in counters:
            counter.step(items)
        stop = group.anyone(interrupt.requested, run.step)
        if stop or checkpoints.due():
            run.pause_clock()
            if stop:
                return False
            checkpoints.save(run.state_dict())  # waits for the device, once in many seconds
            run.run_clock()
    run.pause_clock()
    return True


def _look(looks: Looks, monitor: Monitor | None, run: TrainingState, row: dict[str, float]) -> None:
    looks(run, row)
    if monitor is not None:
        monitor(run, row)


def _follow_leader(run: TrainingState, group: Group) -> None:
    """Take over what the leading process has looked at, put back or stopped."""
    state = group.from_leader(run.state_dict() if group.leads and group.size > 1 else None)
    if not group.leads:
        run.load_state_dict(state | {"rng": rng_state()})


def _stop_if_diverged(run: TrainingState) -> None:
    for step in run.steps:
        in_a_row = step.books.in_a_row
        if in_a_row >= SKIPS_BEFORE_STOP:
            raise TrainingDiverged(
                f"update {step.update.name!r}: the loss or its gradient was not finite in the last {in_a_row} "
                f"steps, up to epoch {run.epoch}; lower the learning rate, or limit the gradient (clip=1.0)."
            )


def _resume(run: TrainingState, checkpoints: Checkpoints, epochs: int, group: Group, seed: int) -> None:
    state = group.from_leader(checkpoints.load())
    if not group.leads:  # noise of its own, and another after each resume
        place = (0, 0) if state is None else (state["epoch"], state["step"])
        seed_everything(int(np.random.SeedSequence((seed, group.rank, *place)).generate_state(1)[0]))
    if state is None:
        return
    if not group.leads:
        state["rng"] = rng_state()
    if (state["epoch"], state["step"]) > (epochs, 0):
        raise LabkitError(
            f"{checkpoints.path}: has trained for {state['epoch']} epochs already, not epochs={epochs}; "
            "ask for more epochs, choose another run_dir, or delete the file to train anew."
        )
    run.load_state_dict(state)


def _announcement(
    run: TrainingState, batches: Batches, epochs: int, precision: str, path: Path | None, group: Group
) -> str:
    if run.is_over(epochs):
        return f"already trained for {run.epoch} epochs ({path}); delete that file to train anew"
    numbers = sum(p.numel() for p in run.model.parameters())
    processes = f", {group.size} processes" if group.size > 1 else ""
    resumed = f", going on from epoch {run.epoch + 1}, batch {run.step + 1}" if run.epoch or run.step else ""
    return (
        f"{run.steps[0].device}, {precision}{processes}: {numbers:,} parameters, "
        f"{epochs} epochs of {batches.count:,} items in {len(batches):,} batches{resumed}"
    )


def _farewell(run: TrainingState, epochs: int, path: Path | None, group: Group) -> str:
    where = f"stopped by request after {run.epoch} of {epochs} epochs and {run.step} batches"
    if not group.leads:
        return f"{where}, with process 0, which keeps what is kept"
    if path is None:
        return f"{where}; nothing is saved, as no run_dir was given, but the model keeps what it has learnt"
    return f"{where}; the checkpoint is {path}: do the same again to go on from there"


def _check(
    model: nn.Module,
    updates: list[Update],
    batches: Batches,
    epochs: int,
    precision: str,
) -> None:
    ours = {id(parameter) for parameter in model.parameters()}
    for update in updates:
        trained = trained_parameters(update)
        strangers = sum(id(parameter) not in ours for parameter in trained)
        if strangers or not trained:
            raise LabkitError(
                f"update {update.name!r}: its optimizer trains {len(trained)} tensors, {strangers} of which are "
                "not in the model; make it from the parameters of the model that fit is given."
            )
    names = [update.name for update in updates]
    if len(set(names)) < len(names):
        raise LabkitError(f"fit: two updates share a name in {names}; give each its own.")
    if not updates or not len(batches) or epochs < 1:
        raise LabkitError("fit: there is no update, no batch or no epoch; give at least one of each.")
    if precision not in ("float32", "bf16", "auto"):
        raise LabkitError(f'fit: precision={precision!r} is not known; it is "float32", "bf16" or "auto".')
