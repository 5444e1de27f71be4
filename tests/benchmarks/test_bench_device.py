"""The device of the benchmarks, tried without a GPU: what moves, what waits, where rows go, what `make gpu` does."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import bench_device
import ceiling
import ledger
import numpy as np
import pytest
import torch
from ceiling import Noted
from image_loaders import random_images, symmetric
from ledger import contest, in_turn, markdown
from loops import epoch, gan_adams, gan_epoch
from torch import nn

from labkit import flows
from labkit.faces import ResidentBatches
from labkit.fit import fit
from labkit.gan.dcgan import DCGAN, DCGANConfig

HERE = Path(__file__).parent


class Elsewhere:
    """A batch on another device than the model: nothing but `to` can be done with it."""

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values

    def to(self, device: torch.device) -> torch.Tensor:
        return self._values.to(device)


@pytest.fixture
def on_gpu(monkeypatch):
    """As if a GPU were measured."""
    for module in (bench_device, ledger):
        monkeypatch.setattr(module, "ON_GPU", True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setattr("torch.cuda.synchronize", lambda: None)


def test_the_plain_loops_move_every_batch_to_the_model():
    images = torch.rand(3, 3, 8, 8)
    line, gan = nn.Linear(8, 1), DCGAN(DCGANConfig(width=2, size=8, latent_dim=2))
    adam = torch.optim.Adam(line.parameters())
    loss = epoch(line, [[Elsewhere(images), Elsewhere(images)]], lambda m, b: (m(b[0]) - b[1]).mean(), adam)
    assert np.isfinite(loss)
    assert np.isfinite(gan_epoch(gan, [[Elsewhere(images)]], gan_adams(gan))).all()


def test_a_timing_begins_and_ends_when_the_device_has_nothing_to_do(on_gpu, monkeypatch):
    events = []
    monkeypatch.setattr("torch.cuda.synchronize", lambda: events.append("wait"))
    monkeypatch.setattr("time.perf_counter", lambda: events.append("clock") or 0.0)
    in_turn({"a": lambda: events.append("a"), "b": lambda: events.append("b")}, rounds=0)
    assert events == ["wait", "clock", "a", "wait", "clock", "wait", "clock", "b", "wait", "clock"]


def test_a_cpu_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("torch.cuda.synchronize", lambda: pytest.fail("there is no GPU"))
    bench_device.wait()
    assert bench_device.machine().endswith(f"-{os.cpu_count()}-cores")


def test_a_row_is_entered_for_the_card_and_says_precision_and_share_of_its_peak(on_gpu, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(ledger, "RESULTS", tmp_path)
    monkeypatch.setattr(ledger, "in_turn", lambda functions, rounds: {"a": [4.0], "fit in bf16": [2.0]})
    monkeypatch.setattr(ledger, "ceiling", lambda run: {"ceiling_seconds": 0.5, "ceiling_gflops": 60.0})
    monkeypatch.setattr(ledger, "peak_gflops", lambda device, dtype: asked.append(dtype) or 200.0)
    contest("net", {"a": None}, "fit", None, items=6, rounds=1, more={}, precision="bf16")
    rows = json.loads((tmp_path / "nvidia-h200.json").read_text(encoding="utf-8"))
    assert asked == [torch.bfloat16]
    assert rows["net: a against fit in bf16"]["of_peak"] == pytest.approx(30 / 2 / 200)
    assert (
        "| net: a against fit in bf16 | 4.00 s | 2.00 s | 2× | 25%, 7.5% of peak |"
        in markdown(tmp_path / "nvidia-h200.json").splitlines()
    )


def test_operands_of_two_types_are_two_operations_and_keep_their_type():
    net, x = nn.Linear(4, 4, bias=False), torch.ones(2, 4)
    with Noted() as noted:
        net(x)
        with torch.autocast("cpu", torch.bfloat16):
            net(x)
    kinds = [{operand.dtype for operand in operands[0]} for _, operands in noted.calls.values()]
    assert kinds == [{torch.float32}, {torch.bfloat16}] and list(noted.counts.values()) == [1, 1]


def test_the_ceiling_of_a_run_whose_steps_would_be_recorded_counts_each(monkeypatch):
    monkeypatch.setattr(sys.modules["labkit.fit.loop"], "recorder_for", lambda steps: pytest.fail("asked"))
    monkeypatch.setattr(ceiling, "_fastest", lambda operation, operands: 1.0)
    codes = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)

    flow = flows.build_flow(flows.FlowConfig(4, 2, hidden=4)).initialise(torch.as_tensor(codes))

    def operations(epochs):
        with flows.fused(flow) as engine:
            batches = ResidentBatches(codes, batch_size=4)
            run = partial(fit, engine, flows.update(engine), batches, epochs=epochs, progress=False)
            return ceiling.ceiling(run)["ceiling_seconds"]

    one, two, six = (operations(epochs) for epochs in (1, 2, 6))
    assert six - two == 4 * (two - one) > 0


def test_on_a_gpu_an_operation_is_replayed_many_times_and_its_seconds_are_of_one(monkeypatch):
    monkeypatch.setattr(ceiling, "_in_a_graph", lambda call: "replay")
    seen = []

    class Timer:
        def __init__(self, statement, globals, num_threads):
            seen.append(globals["call"])

        def blocked_autorange(self, min_run_time):
            return SimpleNamespace(times=[60.0, 40.0])

    monkeypatch.setattr(ceiling, "Timer", Timer)
    on = {kind: SimpleNamespace(device=torch.device(kind)) for kind in ("cpu", "cuda")}
    calls = {kind: partial(print, tensor) for kind, tensor in on.items()}
    assert [ceiling._seconds(calls[kind]) for kind in on] == [40.0, 40.0 / ceiling.REPEATS]
    assert seen == [calls["cpu"], "replay"]


def test_settings_of_cudnn_are_put_back():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    with pytest.raises(KeyError), bench_device.exact_convolutions():
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == (False, True)
        raise KeyError
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before


def test_a_gpu_gets_images_of_the_asked_shape_in_both_forms():
    faces, loaders = random_images((16, 12), 5, count=7)
    assert faces.shape == (7, 3, 16, 12) and faces.dtype == np.uint8 and faces.std() > 20
    batches = torch.cat([batch for (batch,) in loaders["from decoded images"]])
    assert {x.numpy().tobytes() for x in batches} == {x.numpy().tobytes() for x in symmetric(faces)}


def test_no_benchmark_of_a_gpu_begins_without_one():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "LABKIT_BENCH_DEVICE": "cuda"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(HERE / "test_ledger.py")]
    refused = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "LABKIT_BENCH_DEVICE=cuda: torch sees no NVIDIA GPU here" in refused.stderr
