"""torchvision's plain parts work, whether or not its compiled operators fit the installed torch."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.classifier.nets import ResNet18
from labkit.data.vision import StridedShortcut
from labkit.vae.resnet import ResNetConfig, ResNetVAE

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


def test_models_transforms_and_torchmetrics_can_be_imported():
    done = python(USE)
    assert done.returncode == 0, done.stderr


def test_without_the_operators_too_and_then_detection_is_refused_and_not_made_up():
    done = python(BROKEN + USE + DETECTION)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "refused", done.stderr


@pytest.mark.parametrize("channels", [3, 4, 8, 12])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_strided_shortcut_has_the_gradients_of_a_plain_convolution(channels, threads):
    """Beside oneDNN switched off: its own kernel is wrong for few channels in channels_last."""
    before = torch.get_num_threads()
    torch.manual_seed(0)
    shortcut = StridedShortcut(channels, 2 * channels, 2)
    x = torch.randn(16, channels, 16, 16).to(memory_format=torch.channels_last)
    torch.set_num_threads(threads)
    try:
        got = shortcut(x)
        mine = torch.autograd.grad(got.square().sum(), shortcut.weight)[0]
        with torch.backends.mkldnn.flags(enabled=False):
            plain = F.conv2d(x, shortcut.weight, stride=2)
            right = torch.autograd.grad(plain.square().sum(), shortcut.weight)[0]
    finally:
        torch.set_num_threads(before)
    assert torch.allclose(got, plain, atol=1e-5)
    assert torch.allclose(mine, right, rtol=1e-4, atol=1e-3 * right.abs().max())


def test_the_nets_hold_no_other_strided_convolution_of_one_pixel():
    nets = (ResNetVAE(ResNetConfig(latent_dim=4, width=4)), ResNet18(3, width=4))
    for layer in (layer for net in nets for layer in net.modules() if isinstance(layer, nn.Conv2d)):
        assert layer.kernel_size != (1, 1) or layer.stride == (1, 1) or isinstance(layer, StridedShortcut)
