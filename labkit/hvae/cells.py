"""Residual cells of a hierarchical VAE (Vahdat and Kautz, arXiv:2007.03898, section 3.1 and figure 3)."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from labkit.errors import LabkitError

KERNEL = 5  # of the depthwise convolution
SQUEEZE = 4  # channels over those of the squeeze
MOMENTUM = 0.05


class SqueezeExcitation(nn.Module):
    """Each channel times a number in (0, 1) read from the means of all channels (Hu et al., arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // SQUEEZE, 4)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) of the same shape."""
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


class GenerativeCell(nn.Module):
    """x + f(x): 1×1 to E·C channels, a 5×5 convolution in each channel by itself, 1×1 back to C.

    Args:
        channels: C.
        expansion: E.
        depthwise: False lets the 5×5 convolution mix all E·C channels, at E·C times the parameters.
    """

    def __init__(self, channels: int, expansion: int = 3, depthwise: bool = True) -> None:
        super().__init__()
        hidden = expansion * channels
        self.layers = nn.Sequential(
            norm(channels),
            nn.Conv2d(channels, hidden, 1, bias=False),
            norm(hidden),
            nn.SiLU(),
            nn.Conv2d(hidden, hidden, KERNEL, padding=KERNEL // 2, groups=hidden if depthwise else 1, bias=False),
            norm(hidden),
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
            norm(channels),
            SqueezeExcitation(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) of the same shape."""
        return x + self.layers(x)


class InferenceCell(nn.Module):
    """x + f(x) with two ordinary 3×3 convolutions: the encoder needs no wide view at few parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            norm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            norm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            SqueezeExcitation(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) of the same shape."""
        return x + self.layers(x)


class Halve(nn.Module):
    """Maps (N, C, H, W) → (N, D, H/2, W/2): Swish and a 3×3 convolution of stride 2."""

    def __init__(self, channels: int, following: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.SiLU(), nn.Conv2d(channels, following, 3, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Double(nn.Module):
    """Maps (N, C, H, W) → (N, D, 2H, 2W): 1×1 convolution, then nearest-neighbour scaling."""

    def __init__(self, channels: int, following: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, following, 1)

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(self.mix(x), scale_factor=2.0, mode="nearest")


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation whose running statistics move by a twentieth with each batch."""
    return nn.BatchNorm2d(channels, momentum=MOMENTUM)


def run_cells(cells: nn.Module, x: Tensor, checkpointing: bool) -> Tensor:
    """cells(x); with gradient checkpointing, what is inside is computed again in the backward pass, not kept.

    Chen et al., arXiv:1604.06174. The second computation leaves the running statistics of batch normalisation alone:
    they have seen this batch.
    """
    if not (checkpointing and torch.is_grad_enabled()):
        return cells(x)
    again = lambda: (nullcontext(), statistics_kept(cells))  # noqa: E731
    return checkpoint(cells, x, use_reentrant=False, preserve_rng_state=False, context_fn=again)


@contextmanager
def statistics_kept(net: nn.Module) -> Iterator[None]:
    """Batch normalisation in `net` works as its mode says, and does not update its running statistics."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d) and layer.training]
    before = [(layer.momentum, layer.num_batches_tracked.clone()) for layer in norms]
    for layer in norms:
        # Setting track_running_stats = False instead would save other tensors for the backward pass.
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, (momentum, count) in zip(norms, before):
            layer.momentum = momentum
            layer.num_batches_tracked.copy_(count)


def receptive_field(kernels: list[int], strides: list[int] | None = None) -> int:
    """Side of the square of input pixels that one output of a stack of convolutions can see.

    r = 1 + Σ_l (k_l − 1) Π_{i<l} s_i for kernels k and strides s (all 1 if not given), without dilation.

    Raises LabkitError: the two lists differ in length.
    """
    strides = [1] * len(kernels) if strides is None else strides
    if len(kernels) != len(strides):
        raise LabkitError(
            f"receptive_field: {len(kernels)} kernels and {len(strides)} strides; give one of each per layer."
        )
    field, step = 1, 1
    for kernel, stride in zip(kernels, strides):
        field += (kernel - 1) * step
        step *= stride
    return field
