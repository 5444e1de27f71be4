"""`fit`: the one training loop of the course.

Each epoch performs every update on every batch, then looks at the model (validation, callbacks, a monitor), and
writes a checkpoint from which the run goes on bit for bit.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.fit import reference
from labkit.fit.checkpoint import Checkpoints, describe_run, plain
from labkit.fit.compiled import Recorded, compile_where_it_pays, recorder_for
from labkit.fit.progress import Forecast, Interruptible, Progress, say
from labkit.fit.state import TrainingState, add_columns, preserved_rng, seed_everything
from labkit.fit.step import GuardedStep, Update, items_of, resolve_precision, trained_parameters

SKIPS_BEFORE_STOP = 50
Look = Callable[[nn.Module, int], Any]
Monitor = Callable[[TrainingState, dict[str, float]], None]


class TrainingDiverged(LabkitError):  # noqa: N818
    """Too many steps in a row, or all, had a non-finite loss or gradient; the weights are the last finite ones."""


class Batches(Protocol):
    """Data for `fit`, such as `labkit.faces.ResidentBatches`: `count` items in `len()` batches an epoch.

    `epoch(number)` gives that epoch's, the same each time: tensors (N, …), or tuples that begin with one.
    """

    count: int

    def __len__(self) -> int: ...

    def epoch(self, number: int) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Callback:
    """A function called after certain epochs; made by `every` and `at`."""

    name: str  # under which its results are kept
    function: Look  # (model, epoch) → tensors, numbers, or lists or dicts of them; or None
    is_due: Callable[[int], bool]  # epoch (from 1) → whether to call it


def every(epochs: int, function: Look, name: str | None = None) -> Callback:
    """Call `function(model, epoch)` after every so many epochs; `name` defaults to the function's."""
    return Callback(name or function.__name__, function, lambda epoch: epoch % epochs == 0)


def at(epochs: Collection[int], function: Look, name: str | None = None) -> Callback:
    """Call `function(model, epoch)` after these epochs, counted from 1; `name` defaults to the function's."""
    return Callback(name or function.__name__, function, frozenset(epochs).__contains__)


@dataclass(frozen=True)
class FitResult:
    """What a run came to."""

    model: nn.Module  # the trained model, in eval mode; with `watch`, its best weights
    # One row per epoch: `epoch` (from 1), the mean of each update's loss under its name, logged terms, `lr`
    # (`lr_<name>` where there are several updates), `skipped` steps, `seconds`, `items_per_second`, and what
    # `validate` returned (NaN between). Each item weighs the same in a mean.
    history: pd.DataFrame
    # Callback name → {epoch: what the callback returned}, also of epochs trained before a resume.
    kept: dict[str, dict[int, Any]]
    stopped: str  # "finished" or "early"
    best_epoch: int | None  # epoch of the best watched value, None without one
    skipped: dict[str, int]  # update name → steps skipped for a non-finite loss or gradient
    seconds: float  # spent on training


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
    precision: str = "float32",
    seed: int = 0,
    run_dir: str | Path | None = None,
    checkpoint_seconds: float = 10.0,
    config: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> FitResult:
    """Train `model`: for every batch of every epoch, perform every update in turn.

    The global random generators are seeded from `seed` and afterwards put back, so what follows `fit` does
    not depend on whether it trained, resumed, or found the work done. Seed them before the model is built as well:
    its first weights are not this function's. `validate` and `callbacks` run in eval mode without gradients, and what
    they draw does not move training either.

    With `run_dir`, the state is written to `run_dir/checkpoint.pt` from time to time, on an interrupt and at
    the end. Called again the same way, `fit` goes on from there and ends with the weights of a run that was
    never stopped (bit for bit on the CPU); a finished run returns at once, and larger `epochs` prolong it.
    The code of losses is not compared: name in `config` what neither model, update nor data show.

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
        precision: "float32"; "bf16" for autocast around the losses; "auto" for that where the device is fast at it.
        seed: of noise drawn by losses and layers.
        run_dir: folder of this run, None to write nothing.
        checkpoint_seconds: least time between two checkpoints.
        config: further settings of this run, as JSON values.
        progress: show a progress line, with throughput and time left.

    Raises:
        TrainingDiverged: 50 steps of an update in a row were skipped, or all of a shorter run with a run_dir.
        Interrupted: Ctrl-C or a kernel's stop button; the checkpoint is written.
        LabkitError: arguments that do not fit together, a foreign or damaged checkpoint, a folder or disk
            that cannot be written.
    """
    updates = [updates] if isinstance(updates, Update) else list(updates)
    _check(model, updates, batches, epochs, precision, seed)
    if (watch and not validate) or (patience is not None and not watch):
        raise LabkitError("fit: patience needs watch, and watch needs validate; give all that are needed.")
    if len({callback.name for callback in callbacks}) < len(callbacks) or validate_every < 1:
        names = [callback.name for callback in callbacks]
        raise LabkitError(
            f"fit: callbacks {names} share a name, or validate_every = {validate_every} is not 1 or more; "
            "give each callback its own name, and validate_every at least 1."
        )
    computed_in = resolve_precision(precision, trained_parameters(updates[0])[0].device)
    run = TrainingState(model, [GuardedStep(update, model, computed_in) for update in updates])
    settings = {"precision": precision, "seed": seed, "watch": watch, "patience": patience}
    settings |= {"validate_every": validate_every, "config": config or {}}
    about = {} if run_dir is None else describe_run(model, updates, batches, settings)
    checkpoints = Checkpoints(run_dir, about, checkpoint_seconds)
    stopped = False

    def look(row: dict[str, float]) -> None:
        """Validate, call back and monitor after an epoch, whose row of the history is `row`."""
        model.eval()
        with torch.no_grad(), preserved_rng():
            if validate is not None and run.epoch % validate_every == 0:
                found = {name: float(value) for name, value in validate(model).items()}
                add_columns(row, found, "validate")
                if watch is not None:
                    if watch not in found:
                        raise LabkitError(
                            f"watch={watch!r}: validate returns {', '.join(found)}; watch one of these."
                        )
                    run.keep_if_best(found[watch])
            for callback in callbacks:
                if callback.is_due(run.epoch):
                    result = plain(callback.function(model, run.epoch), f"callback {callback.name!r}")
                    if result is not None:
                        run.kept.setdefault(callback.name, {})[run.epoch] = result
        looked = run.epoch % validate_every == 0  # else patience could end before the first look
        run.stopped_early = patience is not None and looked and run.epoch - (run.best_epoch or 0) >= patience
        if monitor is not None:
            monitor(run, row)

    with preserved_rng(), Interruptible() as interrupt:
        seed_everything(seed)
        _resume(run, checkpoints, epochs)
        say(_announcement(run, batches, epochs, computed_in, checkpoints.path), progress)
        if not run.is_over(epochs):
            checkpoints.save(run.state_dict())  # an unwritable folder is met before the work, not after it
            perform = Recorded(run.steps, recorder_for(run.steps), progress)
            forecast = Forecast(run.steps[0].device, (epochs - run.epoch) * batches.count, progress)
            with Progress(epochs, batches.count, run.epoch * batches.count, progress) as bar:
                while not run.is_over(epochs) and not stopped:
                    compile_where_it_pays(run, batches, epochs, progress)
                    stopped = not _train_epoch(run, perform, batches, checkpoints, interrupt, (forecast, bar))
                    if not stopped:
                        row = run.finish_epoch(batches.count)
                        bar.epoch(run.epoch, updates[0].name, row[updates[0].name])
                        look(row)
                        _stop_if_diverged(run, checkpoints.path and epochs * len(batches))
                        if said := reference.compare(checkpoints.path, run.rows, updates[0].name):
                            say(said)
            checkpoints.save(run.state_dict())
        if stopped or interrupt.requested:
            interrupt.stop(_farewell(run, epochs, checkpoints.path))
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


def held_out(update: Update, batches: Batches) -> Callable[[nn.Module], dict[str, float]]:
    """For `validate`: the loss of `update` and its logged terms, means over other batches, as held_out_<name>.

    The losses draw the same noise every epoch, so that epochs can be compared; `fit` puts the generators back.
    """

    def evaluate(model: nn.Module) -> dict[str, float]:
        torch.manual_seed(0)
        totals: dict[str, float] = {}
        for batch in batches.epoch(0):
            result = update.loss(model, batch)
            loss, terms = result if isinstance(result, tuple) else (result, {})
            for name, value in {update.name: loss, **terms}.items():
                totals[f"held_out_{name}"] = totals.get(f"held_out_{name}", 0.0) + items_of(batch) * value.item()
        return {name: total / batches.count for name, total in totals.items()}

    return evaluate


def _train_epoch(
    run: TrainingState,
    perform: Recorded,
    batches: Batches,
    checkpoints: Checkpoints,
    interrupt: Interruptible,
    counters: tuple[Forecast, Progress],
) -> bool:
    """Train on what is left of the epoch; False if that was interrupted."""
    if interrupt.requested:
        return False
    run.model.train()
    run.run_clock()
    for batch in islice(batches.epoch(run.epoch), run.step, None):
        perform(batch, items_of(batch))
        run.step += 1
        for counter in counters:
            counter.step(items_of(batch))
        if interrupt.requested or checkpoints.due():
            run.pause_clock()
            if interrupt.requested:
                return False
            checkpoints.save(run.state_dict())  # waits for the device, once in many seconds
            run.run_clock()
    run.pause_clock()
    return True


def _stop_if_diverged(run: TrainingState, kept: int | None) -> None:
    """Also where none of the `kept` steps of a run with a checkpoint was taken, however few: it is not done."""
    for step in run.steps:
        nothing = bool(kept) and step.books.skipped == kept
        if (in_a_row := step.books.in_a_row) >= SKIPS_BEFORE_STOP or nothing:
            raise TrainingDiverged(
                f"update {step.update.name!r}: the loss or its gradient was not finite in the last {in_a_row} "
                f"steps, up to epoch {run.epoch}; lower the learning rate, or limit the gradient (clip=1.0)."
            )


def _resume(run: TrainingState, checkpoints: Checkpoints, epochs: int) -> None:
    state = checkpoints.load()
    if state is None:
        return
    if not state["steps"]:  # the reference's: the end of a run, and only that
        if state["epoch"] != epochs and not state["stopped_early"]:
            return
        reference.take(checkpoints.path)
    if (state["epoch"], state["step"]) == (epochs, 0):
        reference.mark_shown(checkpoints.path)
    if (state["epoch"], state["step"]) > (epochs, 0):
        raise LabkitError(
            f"{checkpoints.path}: has trained for {state['epoch']} epochs already, not epochs={epochs}; "
            "give more epochs, choose another run_dir, or delete the file to train anew."
        )
    run.load_state_dict(state)


def _announcement(run: TrainingState, batches: Batches, epochs: int, precision: str, path: Path | None) -> str:
    if run.is_over(epochs) and path is not None and not path.exists():
        return f"taken from the kit's reference, where it was trained for {run.epoch} epochs"
    if run.is_over(epochs):
        return f"already trained for {run.epoch} epochs ({path}); delete that file to train anew"
    precision = "float32" if run.steps[0].update.full_precision else precision
    resumed = f", going on from epoch {run.epoch + 1}, batch {run.step + 1}" if run.epoch or run.step else ""
    return (
        f"{run.steps[0].device}, {precision}: {sum(p.numel() for p in run.model.parameters()):,} parameters, "
        f"{epochs} epochs of {batches.count:,} items in {len(batches):,} batches{resumed}"
    )


def _farewell(run: TrainingState, epochs: int, path: Path | None) -> str:
    where = f"stopped by request after {run.epoch} of {epochs} epochs and {run.step} batches"
    if path is None:
        return f"{where}; nothing is saved, as no run_dir was given, but the model keeps what it has learnt"
    return f"{where}; the checkpoint is {path}: do the same again to go on from there"


def _check(model: nn.Module, updates: list[Update], batches: Batches, epochs: int, precision: str, seed: int) -> None:
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
    for name, value in (("epochs", epochs), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise LabkitError(f"fit: {name}={value!r} is no whole number; give one, without quotes.")
    if not updates or not len(batches) or epochs < 1:
        raise LabkitError("fit: there is no update, no batch or no epoch; give at least one of each.")
    if precision not in ("float32", "bf16", "auto"):
        raise LabkitError(f'fit: precision={precision!r} is not known; it is "float32", "bf16" or "auto".')
