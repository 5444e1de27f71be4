"""The GPU pack, tried with the smoke profile: what its JSON says, going on, refusals."""

import json
import os
import subprocess
import sys

import pytest
from consoles import Recorder

from labkit.course.run import gpu_pack
from labkit.course.run.gpu_pack import LEAST_SECONDS, SECONDS, run_pack, with_shares
from labkit.course.run.labs import list_labs
from labkit.course.run.run import RunConfig
from labkit.errors import LabkitError

TRAINS = """
import numpy as np, torch
from pathlib import Path
from labkit.data.faceset import FaceSet, Provenance
from labkit.data.resident import ResidentBatches
from labkit.run import start_lab
from labkit.fit import Update, fit

run = start_lab("00", profile=PROFILE, seed=SEED, data=DATA, out=OUT)
size = run.sizes(smoke=dict(epochs=3), cpu=dict(epochs=3), gpu=dict(epochs=3))
model = torch.nn.Linear(4, 4)
update = Update("loss", lambda m, x: (m(x) - x).square().mean(), torch.optim.Adam(model.parameters()))
batches = ResidentBatches(torch.randn(20, 4), batch_size=5)
fit(model, update, batches, epochs=size.epochs, run_dir=run.folder / "checkpoints" / "line", progress=False)
run.claim("A2", measured={"share_at_64": 0.91}, protocol="none, this is a test")
run.finish()
"""
FAILS_THE_FIRST_TIME = """
from pathlib import Path
before = Path(OUT, "tried").exists()
Path(OUT, "tried").touch()
assert before, "not yet"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, make_lab):
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").touch()
    make_lab(root / "notebooks", "00_trains", [TRAINS])
    make_lab(root / "notebooks", "01_fails", [FAILS_THE_FIRST_TIME])
    return root


@pytest.fixture(scope="module")
def packs(project):
    """The pack run twice: two JSONs and what was said."""
    found, says = [], []
    for _ in range(2):
        console = Recorder()
        _, path = run_pack(list_labs(project / "notebooks"), RunConfig("smoke", project / "runs"), console)
        found.append(json.loads(path.read_text(encoding="utf-8")))
        says.append(console.lines)
    return found, says


def test_one_json_says_what_ran_where_how_fast_and_what_it_found(packs):
    (first, _), _ = packs
    assert first["device"]["name"] == "cpu" and first["versions"]["torch"]
    assert first["protocol"]["profile"] == "smoke" and first["protocol"]["seconds_for_all"] == SECONDS
    assert first["protocol"]["labs_at_a_time"] == min(2, os.cpu_count())
    lab = first["labs"]["00_trains"]
    assert lab["state"] == "ok" and lab["seconds"] > 0 and lab["sizes"] == {"epochs": 3}
    assert lab["claims"]["A2"]["measured"] == {"share_at_64": 0.91}
    assert lab["claims"]["A2"]["verdict"] == "needs full data" and lab["claims"]["A2"]["protocol"]
    training = lab["trainings"]["checkpoints/line"]
    assert training["epochs"] == 3
    # 20 items an epoch: speeds and seconds must be of the same rows.
    assert training["items_per_second"] * training["seconds"] == pytest.approx(60, rel=0.9)
    assert first["labs"]["01_fails"]["state"] == "failed" and "not yet" in first["labs"]["01_fails"]["message"]


def test_a_second_call_does_the_rest(packs):
    (_, second), (_, lines) = packs
    assert {name: lab["state"] for name, lab in second["labs"].items()} == {
        "00_trains": "unchanged",
        "01_fails": "ok",
    }
    assert second["labs"]["00_trains"]["trainings"]["checkpoints/line"]["epochs"] == 3
    assert any("00_trains: done before" in line for line in lines)


@pytest.mark.parametrize("jobs", [1, 2, 8, 13])
def test_the_shares_fill_the_time_and_none_is_too_short(jobs):
    labs = list_labs()
    config = RunConfig("gpu", None, jobs=jobs, sharing=jobs)
    shares = {lab.stem: config.budget(lab) for lab in with_shares(labs, config)}
    assert all(LEAST_SECONDS - 1e-6 <= seconds <= SECONDS + 1e-6 for seconds in shares.values())
    assert sum(shares.values()) <= SECONDS * jobs + LEAST_SECONDS * len(labs)
    by_minutes = sorted(labs, key=lambda lab: lab.minutes["gpu"])
    assert [shares[lab.stem] for lab in by_minutes] == sorted(shares.values())


def test_without_a_gpu_it_refuses_in_a_sentence(project, monkeypatch):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "labkit", "gpu"]
    refused = subprocess.run(
        command, cwd=project, capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert refused.returncode == 2
    assert "torch sees no NVIDIA GPU here" in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert not (project / "runs" / "gpu").exists()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(LabkitError, match="--profile smoke"):
        gpu_pack.device_facts("gpu")
