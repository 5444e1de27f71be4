"""Drawing synthetic faces: plain and compiled."""

import time
from statistics import median

import pytest
import torch
from bench_device import ON_GPU
from ledger import enter

from labkit.drawn import sample_factors
from labkit.drawn.renderer.render import render

pytestmark = [pytest.mark.bench, pytest.mark.skipif(ON_GPU, reason="a measure of the CPU")]


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_faces_per_second(compiled):
    torch.set_num_threads(2)
    count = 2048
    factors = sample_factors(0, torch.arange(count), torch.zeros(count, dtype=torch.int64))
    render(factors[:256], 64, compiled=compiled)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        render(factors, 64, compiled=compiled)
        seconds.append(time.perf_counter() - start)
    enter(
        f"synthetic faces 64×64, {'compiled' if compiled else 'plain'}", {"faces_per_second": count / median(seconds)}
    )
