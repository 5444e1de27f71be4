"""Several processes train as one does: equal weights, resume with another number of them, a lost one."""

import importlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from labkit.course.run.group import _free_port
from labkit.errors import LabkitError
from labkit.fit.group import Group, ProcessLost, join, shared_statistics

JOB = Path(__file__).with_name("group_job.py")
pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
accident = pytest.mark.skipif(sys.platform == "win32", reason="the planted accident is a POSIX signal")


@pytest.fixture(scope="module")
def job():
    """The module of the job, which other processes import too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(JOB.parent)
        yield importlib.import_module(JOB.stem)


@pytest.fixture
def launch(job, tmp_path):
    """A function that runs the job in processes as torchrun starts them: their exit codes, and what they say.

    They are forked, where that is possible, from one that has imported what is slow to import.
    """
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(["torch._dynamo", "labkit.fit"])

    def launch(processes: int, *arguments: str | Path | int) -> tuple[list[int], str]:
        shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        said = [tmp_path / f"said-{rank}" for rank in range(processes)]
        members = [
            context.Process(
                target=job.be_one_of, args=(shared | {"RANK": str(rank)}, said[rank], [*map(str, arguments)])
            )
            for rank in range(processes)
        ]
        for member in members:
            member.start()
        for member in members:
            member.join(120)
        return [member.exitcode for member in members], "\n".join(file.read_text() for file in said)

    return launch


@pytest.fixture(scope="module")
def alone(job):
    """Weights and history of one process after four epochs."""
    result = job.run(None, 4)
    return {"weights": result.model.state_dict(), "history": result.history.to_dict("list")}


def assert_same(found, expected):
    for name, weight in expected["weights"].items():
        assert torch.allclose(found["weights"][name].double(), weight.double(), atol=1e-5, rtol=1e-5), name
    for name in ("error", "body", "smooth", "size", "skipped", "weight"):
        got, wanted = (torch.tensor(each["history"][name], dtype=torch.float64) for each in (found, expected))
        assert torch.allclose(got, wanted, atol=1e-5, rtol=1e-5, equal_nan=True), name


def test_two_processes_of_torchrun_equal_one_at_the_same_batch(tmp_path, alone):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(JOB), "-", str(tmp_path / "out.pt"), "4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stderr and done.stderr.count("parameters") == 1  # process 0 alone speaks
    assert sum(alone["history"]["skipped"]) == 12  # the batch that is not finite, once an epoch and update
    assert_same(torch.load(tmp_path / "out.pt", weights_only=True), alone)


def test_resume_with_another_number_of_processes(launch, tmp_path, alone):
    noise = []
    for processes, epochs in ((3, 1), (1, 2), (2, 4)):
        codes, said = launch(processes, tmp_path / "run", tmp_path / "out.pt", epochs)
        assert codes == [0] * processes, said
        noise += re.findall(r"first noise of process \d: (\S+)", said)
    assert_same(torch.load(tmp_path / "out.pt", weights_only=True), alone)
    assert len(set(noise)) == 6  # each draws its own, and another after each resume


@accident
def test_a_lost_process_ends_the_run_with_a_checkpoint_and_a_line(launch, tmp_path, alone):
    codes, said = launch(2, tmp_path / "run", tmp_path / "out.pt", 4, "lost", 1)
    assert codes == [2, -signal.SIGKILL] and not (tmp_path / "out.pt").exists()
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    assert f"process 0 of 2: another one was lost; the checkpoint is {checkpoint}. Start again" in said
    codes, said = launch(2, tmp_path / "run", tmp_path / "out.pt", 4)
    assert codes == [0, 0] and "going on from epoch 1, batch 5" in said
    assert_same(torch.load(tmp_path / "out.pt", weights_only=True), alone)


@accident
@pytest.mark.parametrize("how", ["lost", "lost looking"])
def test_the_loss_of_the_one_that_writes_is_said_too(launch, tmp_path, how):
    codes, said = launch(2, tmp_path / "run", tmp_path / "out.pt", 4, how, 0)
    assert codes == [-signal.SIGKILL, 2]
    assert "process 1 of 2: another one was lost. Start again" in said


@accident
def test_an_interrupt_of_one_stops_all_after_the_same_batch(launch, tmp_path, alone):
    _, said = launch(2, tmp_path / "run", tmp_path / "out.pt", 4, "interrupted", 1)
    assert said.count("Interrupted: stopped by request after 1 of 4 epochs and 0 batches") == 2
    assert "the checkpoint is" in said and "nothing is saved" not in said
    codes, said = launch(2, tmp_path / "run", tmp_path / "out.pt", 4)
    assert codes == [0, 0], said
    assert_same(torch.load(tmp_path / "out.pt", weights_only=True), alone)


def test_processes_that_were_started_differently_say_so(launch, tmp_path):
    codes, said = launch(2, "-", tmp_path / "out.pt", 1, "odd", 1)
    assert codes == [2, 2] and said.count("the processes differ in what they train") == 2


@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
def test_sums_over_processes_are_as_precise_as_what_is_added_up(monkeypatch, wide):
    monkeypatch.setattr("torch.distributed.all_reduce", lambda flat: flat.mul_(2))
    tensors = [torch.tensor([1 / 3, 2 / 3], dtype=wide), torch.tensor(0.5, dtype=torch.bfloat16)]
    wanted = [2 * tensor for tensor in tensors]
    Group(0, 2).add_up(tensors)
    assert all(torch.equal(mine, right) for mine, right in zip(tensors, wanted))


def test_whoever_sees_that_another_is_lost_saves_first():
    saved = []
    with (
        pytest.raises(LabkitError, match="process 1 of 2"),
        Group(1, 2).survives(lambda: saved.append(1), None),
    ):
        raise ProcessLost
    assert saved == [1]


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(
    "options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False, "momentum": 0.3}]
)
def test_batch_normalisation_is_that_of_the_rows_of_all(monkeypatch, mode, options):
    """Of two processes with the same rows, whose sums are twice those of one."""
    group = Group(0, 2)
    monkeypatch.setattr(group, "all_reduce", lambda tensor: tensor.mul_(2))
    ours, theirs = (getattr(nn.BatchNorm2d(3, **options), mode)() for _ in range(2))
    for _ in range(3):
        mine = torch.randn(5, 3, 2, 4).mul(3).add(1).requires_grad_()
        all_rows = torch.cat([mine.detach()] * 2).requires_grad_()
        with shared_statistics(ours, group):
            found = ours(mine)
        expected = theirs(all_rows)
        assert torch.allclose(found, expected[:5], atol=1e-5)
        slope = torch.randn(5, 3, 2, 4)
        found.backward(slope)
        expected.backward(torch.cat([slope] * 2))
        assert torch.allclose(mine.grad, all_rows.grad[:5], atol=1e-5)
    assert "forward" not in vars(ours)
    for name, buffer in theirs.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, atol=1e-5), name


def test_batch_normalisation_of_bf16_counts_in_float32(monkeypatch):
    group, layer = Group(0, 2), nn.BatchNorm1d(1)
    monkeypatch.setattr(group, "all_reduce", lambda tensor: tensor.mul_(2))
    rows = torch.arange(1000.0, 1256.0, 4)[:, None].bfloat16()
    with shared_statistics(layer, group):
        found = layer(rows)
    assert found.dtype == rows.dtype
    assert layer.running_mean.item() == pytest.approx(0.1 * rows.double().mean().item(), rel=1e-6)
    assert found.double().mean().item() == pytest.approx(0.0, abs=1e-3)


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
    assert {type(part) for part in parts} == {tuple}  # losses tell a pair from a tensor by its type
    assert sum(group.weight for group in groups) == pytest.approx(1.0)
    with pytest.raises(LabkitError, match="a batch of 2 cannot be shared by 3 processes"):
        groups[0].rows_of(batch[:2])


def test_what_process_0_raises_when_it_looks_is_raised_in_each(monkeypatch):
    def fails():
        raise ValueError("worse than the others")

    for group in (Group(), Group(0, 2), Group(1, 2)):
        sent = []
        answer = ValueError("worse than the others") if group.rank else None
        monkeypatch.setattr(group, "from_leader", lambda error, a=answer, s=sent: s.append(error) or a or error)
        with pytest.raises(ValueError, match="worse"):
            group.led(fails if group.leads else lambda: pytest.fail("process 0 alone looks"))
        assert [str(error) for error in sent] == (["worse than the others"] if group.leads else ["None"])[
            : group.size - 1
        ]
