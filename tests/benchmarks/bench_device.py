"""The device that is measured: the CPU, or with `LABKIT_BENCH_DEVICE=cuda` (`make bench DEVICE=cuda`) a GPU."""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from labkit.fit.step import resolve_precision

VARIABLE = "LABKIT_BENCH_DEVICE"
DEVICE = torch.device(os.environ.get(VARIABLE, "cpu"))
ON_GPU = DEVICE.type == "cuda"
# Relative difference that two losses of the same work may have: a GPU's libraries have an algorithm for each layout.
SAME = 1e-4 if ON_GPU else 1e-5


def usual_precision() -> str:
    """What precision="auto", which the labs use, means here: "bf16" or "float32"."""
    return resolve_precision("auto", DEVICE)


def use_threads(count: int) -> None:
    """Let torch use so many cores where the CPU is measured; beside a GPU it keeps its own choice."""
    if not ON_GPU:
        torch.set_num_threads(count)


def wait() -> None:
    """Return when all that the device was given is done."""
    if ON_GPU:
        torch.cuda.synchronize()


def machine() -> str:
    """What the ledger's file is named by: the GPU, or the processor with its number of cores."""
    if ON_GPU:
        name = torch.cuda.get_device_name()
    else:
        name = platform.processor() or platform.machine()
        if os.path.exists("/proc/cpuinfo"):
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
            found = re.search(r"model name\s*:\s*(.+)", text)
            name = found.group(1) if found else name
        name = f"{name} {os.cpu_count()} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def cudnn(**settings: bool) -> Iterator[None]:
    """A block in which these attributes of `torch.backends.cudnn` hold; on a CPU they change nothing."""
    before = {name: getattr(torch.backends.cudnn, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(torch.backends.cudnn, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(torch.backends.cudnn, name, value)


def exact_convolutions() -> AbstractContextManager[None]:
    """A block in which a GPU convolves as it multiplies matrices: in float32, not in TF32, and reproducibly."""
    return cudnn(allow_tf32=False, deterministic=True)
