"""Drawing synthetic faces."""

import time
from statistics import median

import pytest
import torch
from bench_device import ON_GPU
from ledger import enter

from labkit.drawn import sample_factors
from labkit.drawn.renderer.render import render

pytestmark = [pytest.mark.bench, pytest.mark.skipif(ON_GPU, reason="a measure of the CPU")]


def test_faces_per_second():
    torch.set_num_threads(2)
    count = 2048
    factors = sample_factors(0, torch.arange(count), torch.zeros(count, dtype=torch.int64))
    render(factors[:256], 64)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        render(factors, 64)
        seconds.append(time.perf_counter() - start)
    enter("synthetic faces 64×64", {"faces_per_second": count / median(seconds)})
