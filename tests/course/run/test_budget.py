"""What is left of a notebook's time for each of its cells; test_runner.py has what becomes of it when none is."""

from types import SimpleNamespace

import pytest

from labkit.course.run import execute
from labkit.course.run.execute import BudgetSpentError, Watch


def test_a_cell_may_take_what_the_others_have_left_and_at_least_a_second(monkeypatch, capsys):
    times = iter([100.0, 100.0, 100.0, 103.0, 103.0, 109.5, 109.5, 110.0])  # the start, and two looks a cell
    monkeypatch.setattr(execute, "time", SimpleNamespace(monotonic=lambda: next(times)))
    watch = Watch(10.0, {"a": "One", "b": "Two"})
    assert [watch({"id": "b"}) for _ in range(3)] == [10.0, 7.0, 1.0]
    assert watch.where == "In [3] under “Two”"
    with pytest.raises(BudgetSpentError):
        watch({"id": "c"})
    assert watch.where == "In [4]" and len(capsys.readouterr().out.splitlines()) == 4


def test_a_kernel_that_does_not_come_up_is_started_once_more_and_a_cell_never_twice(tmp_path, monkeypatch):
    import papermill

    notebook = tmp_path / "00.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    task = execute.Task(notebook=str(notebook), folder=str(tmp_path), parameters={}, budget_seconds=10.0)
    ends, started = [], []

    def run(*_, timeout_func, **__):
        started.append(ends.pop(0))
        if started[-1] == "in a cell":
            timeout_func({"id": "a"})
        if started[-1] != "well":
            raise RuntimeError("Kernel didn't respond in 60 seconds")

    monkeypatch.setattr(papermill, "execute_notebook", run)
    ends += ["at the start", "well"]
    assert execute.execute(task).state == "ok" and started == ["at the start", "well"]
    for ends[:] in (["in a cell", "well"], ["at the start", "at the start", "well"]):
        with pytest.raises(RuntimeError, match="respond"):
            execute.execute(task)
        assert ends == ["well"]
