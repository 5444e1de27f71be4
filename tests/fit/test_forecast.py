"""The forecast of a run: said once, in time, and true; a warning where the time will not do."""

import pytest
import torch

from labkit.fit import progress
from labkit.fit.progress import WARM_UP_STEPS, Forecast, in_words
from labkit.record import BUDGET_VARIABLE

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "_budget", None)
    monkeypatch.delenv(BUDGET_VARIABLE, raising=False)
    return now


def run(clock, *, items, seconds_per_step, warm_up_seconds=0.0, shown=True):
    """A run of `items` in batches of 10."""
    counter = Forecast(CPU, items, shown)
    for step in range(items // 10):
        clock[0] += warm_up_seconds if step < WARM_UP_STEPS else seconds_per_step
        counter.step(10)


def test_forecast_is_said_once_and_is_the_time_that_is_left(clock, capsys):
    run(clock, items=700, seconds_per_step=1.0, warm_up_seconds=20.0)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    # 70 steps: 3 to warm up, 3 of a second each measured, 64 left
    assert said[0].startswith("10 items/s: 64 s to go; ")
    assert said[0].endswith("GB of memory")


def test_short_run_needs_no_forecast(clock, capsys):
    run(clock, items=300, seconds_per_step=0.5)
    assert capsys.readouterr().err == ""


def test_nothing_is_said_where_no_progress_is_shown(clock, capsys):
    progress.allow_time(1.0, "this test")
    run(clock, items=10_000, seconds_per_step=0.5, shown=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("allowed", "warns"), [(400.0, True), (600.0, False), (None, False)])
def test_run_longer_than_its_profile_is_warned_of(clock, capsys, allowed, warns):
    progress.allow_time(allowed, "the cpu profile")
    clock[0] += 5000.0  # reading before training costs nothing of it
    run(clock, items=10_000, seconds_per_step=0.5)
    said = capsys.readouterr().err
    assert ("longer than the 7 min of the cpu profile" in said) == warns


@pytest.mark.parametrize(("spent", "warns"), [(200.0, True), (50.0, False)])
def test_where_a_lab_has_a_limit_what_is_left_of_it_counts(clock, capsys, monkeypatch, spent, warns):
    monkeypatch.setenv(BUDGET_VARIABLE, "600")
    progress.allow_time(1e9, "the gpu profile")
    clock[0] += spent
    run(clock, items=10_000, seconds_per_step=0.5)
    assert ("what is left of this lab's time" in capsys.readouterr().err) == warns


def test_idle_gpu_is_named(clock, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    Forecast(CPU, 100, True)
    assert "a GPU is there and not used" in capsys.readouterr().err


def test_time_in_words():
    assert [in_words(s) for s in (40.4, 89, 600, 5000, 9000)] == ["40 s", "89 s", "10 min", "83 min", "2.5 h"]
