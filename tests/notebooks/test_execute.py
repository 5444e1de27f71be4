"""Every notebook through the runner, on stand-in data; test_nbval.py has them on real data where they are."""

import pytest

from labkit.course.run.labs import list_labs, project_root
from labkit.course.run.results import Console
from labkit.course.run.run import RunConfig, run_labs, validate
from labkit.record import read_record

ROOT = project_root()
LABS = list_labs(ROOT / "notebooks")
# A shared or slow machine must not fail a test; the budgets themselves are for `labkit run`.
PATIENCE = 2.5

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No real data and no network, so that the loaders draw their stand-ins."""
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit-learn"))


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_the_runner_executes_it_and_its_record_is_whole(lab, offline, tmp_path):
    config = validate(RunConfig("smoke", tmp_path / "runs", budget_factor=PATIENCE), [lab])
    (result,) = run_labs([lab], config, Console())
    folder = config.folder(lab)
    assert result.state == "ok", result.message
    assert result.checks[0] == result.checks[1] > 0
    assert read_record(folder, "metrics.json", None) is not None
    for figure in read_record(folder, "figures.json", []):
        assert (folder / figure["file"]).stat().st_size > 0
        assert figure["alt"].strip()
    for claim in read_record(folder, "claims.json", []):
        assert claim["protocol"].strip() and claim["data"] != "none", claim["id"]
