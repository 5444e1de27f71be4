"""Paths between two latents, and what happens along them."""

import numpy as np
import torch
from torch import Tensor

from labkit.errors import LabkitError


def linear(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Points on the straight line from `start` (d,) to `end` (d,), both included: (steps, d)."""
    weight = _weights(start, end, steps)
    return (1 - weight) * start + weight * end


def spherical(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Points on the arc from `start` (d,) to `end` (d,), both included: (steps, d).

    Slerp (Shoemake, 1985; for latents, White, arXiv:1609.04468): with Ω the angle between the two,
    sin((1 − w)Ω)/sin Ω · start + sin(wΩ)/sin Ω · end. Where Ω is 0 or π the arc is not defined and the straight
    line is taken.
    """
    weight = _weights(start, end, steps)
    cosine = torch.dot(start, end) / (start.norm() * end.norm()).clamp_min(torch.finfo(start.dtype).tiny)
    angle = torch.acos(cosine.clamp(-1, 1))
    if torch.sin(angle) < 1e-4:
        return linear(start, end, steps)
    return (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / torch.sin(angle)


def path_change(images: np.ndarray) -> np.ndarray:
    """Root mean squared change between neighbours of a path of images (S, …): (S − 1,), in pixel units."""
    step = np.diff(np.asarray(images, np.float64).reshape(len(images), -1), axis=0)
    return np.sqrt(np.mean(step**2, 1))


def _weights(start: Tensor, end: Tensor, steps: int) -> Tensor:
    if start.shape != end.shape or start.ndim != 1 or steps < 2:
        raise LabkitError(
            f"interpolation: needs two latents of one shape (d,) and at least 2 steps, got {tuple(start.shape)}, "
            f"{tuple(end.shape)} and {steps}."
        )
    return torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]
