"""Sweeps: every cell once, whatever happens in between."""

import dataclasses
import importlib.util
import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from labkit.errors import LabkitError
from labkit.fit.sweep import grid_sweep, summary

JOB = Path(__file__).with_name("sweep_job.py")


@pytest.fixture(scope="module")
def job():
    spec = importlib.util.spec_from_file_location("sweep_job", JOB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Trainer:
    """Returns what the config and seed say, and counts."""

    def __init__(self) -> None:
        self.calls = []

    def __call__(self, config, seed, run_dir):
        self.calls.append((config["a"], seed))
        return {"loss": config["a"] + 0.1 * seed, "odd": math.inf if seed else math.nan}


CONFIGS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def kill_in_the_middle(folder: Path, finished: int) -> None:
    """Start the sweep, and kill -9 it when that many models are done and the next has begun its second epoch."""
    process = subprocess.Popen([sys.executable, str(JOB), str(folder), "0.05"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(lines(folder)) < 4 * finished + 2:
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read().decode()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def lines(folder: Path) -> list[str]:
    file = folder / "calls.txt"
    return file.read_text().splitlines() if file.exists() else []


def test_a_killed_sweep_trains_no_finished_model_again(job, tmp_path):
    undisturbed = job.sweep(tmp_path / "whole") if (tmp_path / "whole").mkdir() is None else None
    killed = tmp_path / "killed"
    killed.mkdir()
    kill_in_the_middle(killed, 3)
    before = lines(killed)
    table = job.sweep(killed)
    after = lines(killed)[len(before) :]
    finished = {line.split()[0] for line in before if line.endswith(" 4")}
    assert len(finished) >= 3
    assert not finished & {line.split()[0] for line in after}
    begun = Counter(line.split()[0] for line in lines(killed))
    assert set(begun) == {str(size) for size in job.SIZES}
    assert max(begun.values()) <= job.EPOCHS + 1  # the one in training resumed: at most its open epoch is repeated
    pd.testing.assert_frame_equal(table, undisturbed)
    job.sweep(killed)
    assert len(lines(killed)) == len(before) + len(after)


def test_every_cell_once_and_the_table_is_complete(tmp_path):
    train = Trainer()
    table = grid_sweep(CONFIGS, train, tmp_path, [0, 1], progress=False)
    assert train.calls == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert table["loss"].tolist() == [1.0, 1.1, 2.0, 2.1]
    assert table["seed"].tolist() == [0, 1, 0, 1]
    again = grid_sweep(CONFIGS, train, tmp_path, [0, 1], progress=False)
    pd.testing.assert_frame_equal(again, table)  # NaN and infinity survive the file
    grid_sweep(CONFIGS, train, tmp_path, [0, 1, 2], progress=False)
    assert train.calls[4:] == [(1, 2), (2, 2)]


def test_a_dataclass_is_handed_on_as_it_is(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Config:
        a: int
        size: tuple[int, int] = (64, 48)

    def train(config, seed, run_dir):
        assert isinstance(config, Config) and run_dir.parent == tmp_path
        return {"loss": config.a}

    table = grid_sweep([Config(1), Config(2)], train, tmp_path, [0, 1], progress=False)
    assert table["a"].tolist() == [1, 1, 2, 2]
    assert summary(table).index.tolist() == [(1, "[64, 48]"), (2, "[64, 48]")]


@pytest.mark.parametrize("content", [b"", b'{"format": "labkit sw', b"\xff\xfe\x00"])
def test_a_torn_cell_is_trained_anew(tmp_path, content):
    train = Trainer()
    table = grid_sweep(CONFIGS, train, tmp_path, [0], progress=False)
    torn = sorted(tmp_path.glob("*.json"))[0]
    torn.write_bytes(content)
    pd.testing.assert_frame_equal(grid_sweep(CONFIGS, train, tmp_path, [0], progress=False), table)
    assert len(train.calls) == 3
    assert json.loads(torn.read_text())["format"]


@pytest.mark.parametrize(("was", "becomes"), [("1.0", "1.1"), ('"loss"', '"lost"')])
def test_a_number_that_is_not_the_one_written_is_not_believed(tmp_path, was, becomes):
    train = Trainer()
    table = grid_sweep(CONFIGS, train, tmp_path, [0], progress=False)
    changed = next(path for path in tmp_path.glob("*.json") if '"a": 1' in path.read_text())
    changed.write_text(changed.read_text().replace(was, becomes))
    pd.testing.assert_frame_equal(grid_sweep(CONFIGS, train, tmp_path, [0], progress=False), table)
    assert train.calls == [(1, 0), (2, 0), (1, 0)]


@pytest.mark.parametrize(
    "change",
    [
        *({"format": "other"}, {"config": {"a": 9, "b": "x"}}, {"seed": 5}, None),
        *({"result": wrong} for wrong in (3, None, [], {"loss": None}, {"loss": "low"}, {"loss": [1.0]})),
    ],
)
def test_a_foreign_cell_is_refused(tmp_path, change):
    grid_sweep(CONFIGS, Trainer(), tmp_path, [0], progress=False)
    path = sorted(tmp_path.glob("*.json"))[0]
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | change if change else [content]))
    with pytest.raises(LabkitError, match=path.name):
        grid_sweep(CONFIGS, Trainer(), tmp_path, [0], progress=False)


def test_what_fails_in_training_leaves_no_cell(tmp_path):
    def train(config, seed, run_dir):
        if config["a"] == 2:
            raise RuntimeError("out of memory")
        return {"loss": 0.0}

    with pytest.raises(RuntimeError):
        grid_sweep(CONFIGS, train, tmp_path, [0], progress=False)
    assert len(list(tmp_path.glob("*.json"))) == 1


@pytest.mark.parametrize(
    ("configs", "seeds"),
    [
        ([], [0]),
        (CONFIGS, []),
        (CONFIGS[:1] * 2, [0]),
        (CONFIGS, [0, 0]),
        ([{"a": 1}, {"b": 1}], [0]),
        ([{"seed": 1}], [0]),
    ],
)
def test_bad_sweeps_are_refused(tmp_path, configs, seeds):
    with pytest.raises(LabkitError, match="grid_sweep"):
        grid_sweep(configs, Trainer(), tmp_path, seeds, progress=False)


@pytest.mark.parametrize("result", [{"a": 1.0}, {"seed": 1.0}, {"loss": "low"}, 3.0])
def test_results_that_are_no_table_are_refused(tmp_path, result):
    for _ in range(2):  # and leave nothing behind that a second call would take
        with pytest.raises(LabkitError, match="train_one"):
            grid_sweep(CONFIGS, lambda *_: result, tmp_path, [0], progress=False)


def test_configs_must_be_plain(tmp_path):
    with pytest.raises(LabkitError, match="plain"):
        grid_sweep([{"a": object()}], Trainer(), tmp_path, [0], progress=False)


def test_summary_is_mean_sd_and_count_over_seeds(tmp_path):
    def train(config, seed, run_dir):
        return {"loss": config["a"] * [1.0, 2.0, 6.0][seed], "once": 4.0 if seed == 1 else math.nan}

    table = summary(grid_sweep(CONFIGS[::-1], train, tmp_path, [0, 1, 2], progress=False))
    assert [index[0] for index in table.index] == [2, 1]
    assert table["loss"].iloc[1].tolist() == pytest.approx([3.0, math.sqrt(7), 3])
    assert table["once"].iloc[0][["mean", "count"]].tolist() == [4.0, 1]
    assert math.isnan(table["once"].iloc[0]["sd"])
    with pytest.raises(LabkitError, match="summary"):
        summary(pd.DataFrame({"a": [1]}))
