"""torchvision's plain parts work, whether or not its compiled operators fit the installed torch."""

import subprocess
import sys

import pytest

# Stands for a torchvision whose compiled library cannot be loaded, in a fresh interpreter.
BROKEN = """
import torch
def refuse(path): raise OSError("built for another torch")
torch.ops.load_library = refuse
"""
USE = """
import torch
from labkit.data.vision import models, v2
net = models.resnet18(weights=None).eval()
assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
assert v2.CenterCrop(4)(torch.zeros(3, 8, 8)).shape == (3, 4, 4)
from torchmetrics.image.fid import FrechetInceptionDistance
"""
DETECTION = """
import torchvision
try:
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
except (RuntimeError, NotImplementedError):
    print("refused")
"""


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("before", ["", BROKEN], ids=["as installed", "operators missing"])
def test_models_transforms_and_torchmetrics_can_be_imported(before):
    done = python(before + USE)
    assert done.returncode == 0, done.stderr


def test_a_missing_detection_operator_is_refused_and_not_made_up():
    done = python(BROKEN + USE + DETECTION)
    assert done.stdout.strip() == "refused", done.stderr
