"""Paths between two latents, and what happens along them."""

from dataclasses import dataclass

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
    sin((1 − w)Ω)/sin Ω · start + sin(wΩ)/sin Ω · end. Where Ω is 0 or π, or an end is 0, the arc is not defined and
    the straight line is taken.
    """
    weight = _weights(start, end, steps)
    cosine = torch.dot(_direction(start), _direction(end))
    angle = torch.acos(cosine.clamp(-1, 1))
    if torch.sin(angle) < 1e-4 or not (start.any() and end.any()):
        return linear(start, end, steps)
    return (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / torch.sin(angle)


def _direction(z: Tensor) -> Tensor:
    """A latent at length 1 (0 stays 0), also where the square of its length would overflow or vanish."""
    scaled = z / z.abs().max().clamp_min(torch.finfo(z.dtype).tiny)
    return scaled / scaled.norm().clamp_min(torch.finfo(z.dtype).tiny)


def path_change(images: np.ndarray) -> np.ndarray:
    """Root mean squared change between neighbours of a path of images (S, …): (S − 1,), in pixel units."""
    step = np.diff(np.asarray(images, np.float64).reshape(len(images), -1), axis=0)
    return np.sqrt(np.mean(step**2, 1))


@dataclass(frozen=True)
class PathShape:
    """How a path of images moves through pixel space."""

    change: float  # root mean squared difference between its first and its last image, in pixel units
    length: float  # sum of the changes between neighbours, at least `change`
    largest_step: float  # the largest of them, as a multiple of their mean: 1 for an even path, S − 1 for one jump

    @property
    def straightness(self) -> float:
        """change / length: 1 where the images are blended along a line, 0 for a path that comes back."""
        return self.change / self.length if self.length else 1.0


def path_shape(images: np.ndarray) -> PathShape:
    """The shape of a path of images (S, …), both ends included; a path that stands still is even and straight.

    Raises LabkitError: fewer than two images, or numbers that are not finite.
    """
    images = np.asarray(images, np.float64)
    if len(images) < 2 or not np.isfinite(images).all():
        raise LabkitError(f"path_shape: a path has at least two images and finite numbers, got {len(images)}.")
    steps = path_change(images)
    largest = float(steps.max() / steps.mean()) if steps.any() else 1.0
    return PathShape(float(path_change(images[[0, -1]])[0]), float(steps.sum()), largest)


def typical_difference(images: np.ndarray) -> float:
    """Mean root mean squared difference of a thousand random pairs of different images (N, …), in pixel units.

    The bar for `PathShape.change`: a path between two faces should change as much as two faces differ.

    Raises LabkitError: fewer than two images, or numbers that are not finite.
    """
    if len(images) < 2 or not np.isfinite(images).all():
        raise LabkitError(f"typical_difference: needs at least two images and finite numbers, got {len(images)}.")
    rng = np.random.default_rng(0)
    first = rng.integers(0, len(images), 1000)
    second = (first + rng.integers(1, len(images), 1000)) % len(images)
    return float(np.mean([path_change(images[[a, b]])[0] for a, b in zip(first, second)]))


def _weights(start: Tensor, end: Tensor, steps: int) -> Tensor:
    if start.shape != end.shape or start.ndim != 1 or steps < 2:
        raise LabkitError(
            f"interpolation: needs two latents of one shape (d,) and at least 2 steps, got {tuple(start.shape)}, "
            f"{tuple(end.shape)} and {steps}."
        )
    return torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]
