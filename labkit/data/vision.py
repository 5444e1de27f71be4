"""torchvision, also where its compiled operators do not fit the installed torch, and its ImageNet weights.

A CPU build of torch beside the registry's torchvision (built for CUDA) is common on laptops and servers without a
GPU. Its operators for detection (`nms`, …) then cannot be loaded, and `import torchvision` stops at their names,
although models and transforms are plain torch code. Import torchvision's parts from here: the names are declared
without an implementation, so that all which is plain torch works and a detection operator still fails when called.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.data.fetch import fetch, unasked
from labkit.files import sha256

OPERATORS = ("nms", "qnms")  # the names that `import torchvision` looks up whether they are loaded or not
ADDRESS = "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth"

_declared = torch.library.Library("torchvision", "FRAGMENT")


def _import_torchvision() -> None:
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in OPERATORS:
            if not hasattr(torch.ops.torchvision, operator):
                _declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


_import_torchvision()

from torchvision import datasets, models, transforms  # noqa: E402, F401
from torchvision.transforms import v2  # noqa: E402, F401


class StridedShortcut(nn.Conv2d):
    """A 1×1 convolution without padding that takes every stride-th pixel first; (N, C, H, W) → (N, D, H/s, W/s).

    The values are `nn.Conv2d`'s. But oneDNN's own strided 1×1, asked for gradients of few channels in channels_last,
    writes past its memory or gives wrong numbers (uxlfoundation/oneDNN issue 6035), so it never gets one.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.stride
        return F.conv2d(x[:, :, ::rows, ::columns], self.weight)


def inception_weights(seconds: float) -> dict[str, Tensor] | None:
    """The state dict (104 MB) for `labkit.classifier.nets.InceptionV3`, or None and a line that says why.

    It is taken from torch's cache, or downloaded into it in these seconds; not where `LABKIT_OFFLINE` is set.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / ADDRESS.rsplit("/", 1)[1]
    download = partial(fetch, ADDRESS, "0cc3c7bd", file, timeout=seconds, digest=sha256_start)
    try:
        return torch.load(
            file if file.is_file() else unasked(file.parent, download), map_location="cpu", weights_only=True
        )
    except Exception as error:  # whatever it is, the lab has another start
        print(f"Inception v3: no ImageNet weights ({' '.join(str(error).split()) or type(error).__name__}).")
        return None


def sha256_start(path: Path) -> str:
    """The letters of a file's SHA-256 that torch writes into its name."""
    return sha256(path)[:8]
