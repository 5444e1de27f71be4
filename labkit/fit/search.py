"""Searches: settings drawn at random, and a model that does worse than the others stopped early, with Optuna."""

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from labkit.errors import LabkitError
from labkit.fit.group import join
from labkit.fit.progress import say
from labkit.fit.sweep import cell_name

JOURNAL = "search.log"
# Models that are trained to the end before any is stopped for being worse than their median.
BEFORE_PRUNING = 3

Report = Callable[[int, float], None]
TrainTrial = Callable[[dict[str, Any], Path, Report], float]


def search_sweep(
    space: Mapping[str, Sequence[Any]],
    train_one: TrainTrial,
    folder: str | Path,
    *,
    trials: int,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Look for the settings with the lowest value: random, without repetition, worse ones stopped early.

    After `BEFORE_PRUNING` trials, one whose reported value is above the median of the others at the same epoch is
    stopped there (Optuna's median pruner). What is finished or stopped stands in the journal `folder`/search.log;
    called again, the search goes on after it, and begins with what was in training when it was killed. As in
    `grid_sweep`, hand `train_one`'s folder to `fit` as run_dir and that training resumes too.

    Args:
        space: name → its values, each a number, text, bool or None.
        train_one: (config, run_dir, report) → value to minimise; call report(epoch, value) as it trains, from a
            callback of `fit` for instance: it raises, and so ends the training, where the trial is to be stopped.
        folder: of this search.
        trials: how many settings in all, finished or stopped; at most all there are.
        seed: of the order in which they are tried.
        progress: say which trial is trained.

    Returns:
        A row per trial in the order tried: the settings, `value` (the last reported, where stopped), `epochs` (the
        last reported, 0 for none), `pruned`.

    Raises:
        LabkitError: Optuna is not installed; an empty space; a journal that cannot be read, or another search's.
    """
    optuna = _optuna()
    folder = Path(folder)
    total = math.prod(len(values) for values in space.values())
    if not space or not total or trials < 1:
        raise LabkitError("search_sweep: there is nothing to try; give each name a value, and at least one trial.")
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return _search(
            optuna,
            _study(optuna, folder, space),
            space,
            train_one,
            folder,
            trials=min(trials, total),
            seed=seed,
            progress=progress,
        )
    finally:
        optuna.logging.set_verbosity(before)


def _search(
    optuna: ModuleType,
    study: Any,
    space: Mapping[str, Sequence[Any]],
    train_one: TrainTrial,
    folder: Path,
    *,
    trials: int,
    seed: int,
    progress: bool,
) -> pd.DataFrame:
    """Try settings until `trials` of them are settled."""

    def objective(trial: Any) -> float:
        config = {name: trial.suggest_categorical(name, list(values)) for name, values in space.items()}
        say(f"trial {len(_done(study)) + 1} of {trials}: {config}", progress)

        def report(epoch: int, value: float) -> None:
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        return float(train_one(config, folder / cell_name(config), report))

    _enqueue_unfinished(optuna, study)
    while len(done := _done(study)) < trials:
        study.sampler = _sampler(optuna, seed + len(done))
        study.optimize(objective, n_trials=1)
    group = join()  # of processes that train together, one alone has looked at the models
    return pd.DataFrame(group.from_leader([_row(trial) for trial in _done(study)] if group.leads else None))


def _study(optuna: ModuleType, folder: Path, space: Mapping[str, Sequence[Any]]) -> Any:
    """The study of the journal in `folder`, which is of this space or of none yet."""
    path = folder / JOURNAL
    written = json.dumps({name: list(values) for name, values in space.items()}, sort_keys=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(
                str(path), lock_obj=optuna.storages.journal.JournalFileOpenLock(str(path))
            )
        )
        study = optuna.create_study(
            study_name="search",
            storage=storage,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING),
        )
    except OSError as error:
        raise LabkitError(f"{path}: cannot be written ({error.strerror}); choose another folder.") from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise LabkitError(f"{path}: is no journal of a search; delete it to begin anew.") from error
    found = study.user_attrs.get("space", written)
    if found != written:
        raise LabkitError(f"{path}: is a search over {found}, not {written}; choose another folder.")
    study.set_user_attr("space", written)
    return study


def _sampler(optuna: ModuleType, seed: int) -> Any:
    """Random order without repetition; made anew for each trial, so that a search that was killed goes on alike."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.BruteForceSampler(seed=seed)


def _enqueue_unfinished(optuna: ModuleType, study: Any) -> None:
    """Put what was in training when the search was killed, or failed, before all that is new."""
    state = optuna.trial.TrialState
    settled = [trial.params for trial in study.trials if trial.state in (state.COMPLETE, state.PRUNED)]
    for trial in study.trials:
        if trial.state == state.RUNNING:
            study.tell(trial.number, state=state.FAIL)
        if trial.state in (state.RUNNING, state.FAIL) and trial.params not in settled:
            study.enqueue_trial(trial.params, skip_if_exists=False)
            settled.append(trial.params)


def _done(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _row(trial: Any) -> dict[str, Any]:
    epochs = max(trial.intermediate_values, default=0)
    pruned = trial.state.name == "PRUNED"
    value = trial.intermediate_values[epochs] if pruned else trial.value
    return {**trial.params, "value": value, "epochs": epochs, "pruned": pruned}


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise LabkitError(
            "search_sweep: needs Optuna, which is not installed; run: pip install -e '.[sweep]'."
        ) from error
    return optuna
