"""The pictures an oracle learns from: faces with their factors, mirrored, moved, softened and noisy.

A generator's pictures are blurred, a little off in place, contrast and brightness, and in the portrait format have
no background at the sides. An oracle that has only seen clean drawings would read those as other factors.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.drawn.factors import FACTOR_NAMES, sample_factors
from labkit.oracle import blur

MIRRORED = ("yaw", "roll", "light_azimuth")  # change sign in the mirror
SHUFFLED = 1 / 3  # share of faces whose factors do not go together
GROUP = 16  # images spoilt alike: few enough for the cache
SHIFT = 2  # pixels, the largest
BRIGHTNESS, CONTRAST, NOISE = 0.08, 0.2, 0.05  # the largest, as shares of the range
SOFTEST = 2.0  # pixels, the largest standard deviation of the blur
MARGIN = 8  # columns at each side of a 64×64 picture that its 64×48 crop has not


def draw_factors(n: int, seed: int) -> Tensor:
    """Factors (n, F) of n people; in the last third every factor is dealt out anew among the people.

    There, a beard says nothing about lipstick: the oracle has to look at each feature, and must not infer one
    from another, or a latent direction that adds a beard would seem to change the make-up as well.
    """
    factors = sample_factors(seed, torch.arange(n))
    first = n - round(n * SHUFFLED)
    generator = torch.Generator().manual_seed(seed)
    for column in factors[first:].unbind(1):
        column.copy_(column[torch.randperm(len(column), generator=generator)])
    return factors


def mirror_factors(factors: Tensor) -> Tensor:
    """The factors (N, F) of the same pictures seen in a mirror."""
    sign = torch.tensor([-1.0 if name in MIRRORED else 1.0 for name in FACTOR_NAMES], device=factors.device)
    return factors * sign


def mirror(images: Tensor, factors: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and their factors (N, F), mirrored left to right where `chosen` (N,) is true."""
    images = torch.where(chosen[:, None, None, None], images.flip(-1), images)
    return images, torch.where(chosen[:, None], mirror_factors(factors), factors)


def portrait_format(images: Tensor) -> Tensor:
    """Images (N, C, 64, 64) as if cut to 64×48 and padded again: the sides repeat the crop's outermost columns."""
    return F.pad(images[..., MARGIN:-MARGIN], (MARGIN, MARGIN, 0, 0), mode="replicate")


def spoil(images: Tensor) -> Tensor:
    """Images (N, 3, 64, 64) in [0, 1] as a generator or a camera might spoil them, in groups of 16 alike.

    A third of the groups stays sharp, a third is blurred, a third is scaled down and up again; then each is moved by
    whole pixels, noisy and off in contrast and brightness, most only slightly, and a quarter has the portrait
    format. Draws from the global generator of the CPU.
    """
    return torch.cat([_spoilt(group) for group in images.split(GROUP)])


def _spoilt(images: Tensor) -> Tensor:
    kind, softness, moved, severity, noise, contrast, brightness, portrait = torch.rand(8).tolist()
    if kind < 1 / 3:
        images = blur(images, SOFTEST * softness)
    elif kind < 2 / 3:
        small = F.interpolate(images, scale_factor=1 / (1 + softness), mode="bilinear", antialias=True)
        images = F.interpolate(small, images.shape[-2:], mode="bilinear")
    if moved < 0.5:
        padded = F.pad(images, (SHIFT,) * 4, mode="replicate")
        top, left = torch.randint(2 * SHIFT + 1, (2,)).tolist()
        images = padded[..., top : top + images.shape[2], left : left + images.shape[3]]
    severity = severity**2  # mostly slight
    centre = images.mean((1, 2, 3), keepdim=True)
    images = torch.lerp(centre, images, 1 + CONTRAST * severity * (2 * contrast - 1))
    images = images + BRIGHTNESS * severity * (2 * brightness - 1)
    if noise < 0.5:
        images = images + NOISE * severity * torch.randn(images.shape).to(images.device)
    return (portrait_format(images) if portrait < 0.25 else images).clamp(0, 1)
