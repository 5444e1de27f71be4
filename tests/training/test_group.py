"""Several processes train as one does: equal weights, resume with another number of them, a lost one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from labkit.errors import LabkitError
from labkit.training.group import Group, join

JOB = Path(__file__).with_name("group_job.py")
pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")


def launch(processes: int, *arguments: str | Path) -> subprocess.CompletedProcess:
    """Run the job in `processes` processes, one of which may fail."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*command, str(JOB), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Weights and history of one process after four epochs."""
    out = tmp_path_factory.mktemp("alone") / "out.pt"
    done = subprocess.run(
        [sys.executable, str(JOB), "-", str(out), "4"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return torch.load(out, weights_only=True)


def assert_same(found, expected):
    for name, weight in expected["weights"].items():
        assert torch.allclose(found["weights"][name].double(), weight.double(), atol=1e-5, rtol=1e-5), name
    for name in ("error", "body", "smooth", "size", "skipped", "weight"):
        got, wanted = (torch.tensor(each["history"][name], dtype=torch.float64) for each in (found, expected))
        assert torch.allclose(got, wanted, atol=1e-5, rtol=1e-5, equal_nan=True), name


def test_two_processes_equal_one_at_the_same_batch(tmp_path, alone):
    done = launch(2, "-", tmp_path / "out.pt", 4)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stderr and done.stderr.count("parameters") == 1  # process 0 alone speaks
    assert sum(alone["history"]["skipped"]) == 12  # the batch that is not finite, once an epoch and update
    assert_same(torch.load(tmp_path / "out.pt", weights_only=True), alone)


def test_resume_with_another_number_of_processes(tmp_path, alone):
    for processes, epochs in ((3, 1), (1, 2), (2, 4)):
        done = launch(processes, tmp_path / "run", tmp_path / "out.pt", epochs)
        assert done.returncode == 0, done.stderr
    assert_same(torch.load(tmp_path / "out.pt", weights_only=True), alone)


def test_a_lost_process_ends_the_run_with_a_checkpoint_and_a_line(tmp_path):
    done = launch(2, tmp_path / "run", tmp_path / "out.pt", 4, "lost", 1)
    assert done.returncode != 0 and not (tmp_path / "out.pt").exists()
    assert "process 0 of 2: another one was lost; the checkpoint is" in done.stderr
    done = launch(2, tmp_path / "run", tmp_path / "out.pt", 4)
    assert done.returncode == 0, done.stderr
    assert "going on from epoch" in done.stderr
    assert len(torch.load(tmp_path / "out.pt", weights_only=True)["history"]["error"]) == 4


def test_the_loss_of_the_one_that_writes_is_said_too(tmp_path):
    done = launch(2, tmp_path / "run", tmp_path / "out.pt", 4, "lost", 0)
    assert done.returncode != 0
    assert "process 1 of 2: another one was lost. Start again" in done.stderr


def test_alone_nothing_is_shared(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    group, batch = join(), torch.arange(6.0)
    assert (group.size, group.leads, group.rows_of(batch) is batch) == (1, True, True)
    assert group.from_leader("x") == "x" and group.anyone(True, 3) and not group.anyone(None, 0)


def test_rows_are_dealt_out_once_each_with_their_share():
    batch, labels = torch.arange(11.0), torch.arange(11)
    groups = [Group(rank, 3) for rank in range(3)]
    parts = [group.rows_of((batch, labels)) for group in groups]
    assert sorted(torch.cat([part[0] for part in parts]).tolist()) == batch.tolist()
    assert all(torch.equal(rows, numbers.float()) for rows, numbers in parts)
    assert sum(group.weight for group in groups) == pytest.approx(1.0)
    with pytest.raises(LabkitError, match="a batch of 2 cannot be shared by 3 processes"):
        groups[0].rows_of(batch[:2])


def test_what_process_0_raises_when_it_looks_is_raised_in_each(monkeypatch):
    def fails():
        raise ValueError("worse than the others")

    for group in (Group(), Group(0, 2), Group(1, 2)):
        sent = []
        answer = ValueError("worse than the others") if group.rank else None
        monkeypatch.setattr(
            group, "from_leader", lambda error, a=answer, s=sent: s.append(error) or a or error
        )
        with pytest.raises(ValueError, match="worse"):
            group.led(fails if group.leads else lambda: pytest.fail("process 0 alone looks"))
        assert [str(error) for error in sent] == (["worse than the others"] if group.leads else ["None"])[
            : group.size - 1
        ]
