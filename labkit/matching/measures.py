"""How straight a flow's paths are."""

import torch
from torch import Tensor

from labkit.matching.solvers import Velocity, grid, trajectory


@torch.no_grad()
def bend(velocity: Velocity, noise: Tensor, steps: int = 100) -> Tensor:
    """How far each path is from a straight line walked at constant speed, (N,); 0 is straight.

    ∫₀¹ |v(x_t, t) − (x₁ − x₀)|² dt / |x₁ − x₀|², the straightness of Liu et al. (arXiv:2209.03003) per squared length
    of the way; from noise (N, …), with the velocity taken as the mean over each of `steps` Heun steps.
    """
    points = trajectory(velocity, noise, grid(steps, like=noise)).flatten(2)  # (S + 1, N, d)
    way = points[-1] - points[0]
    off = points.diff(dim=0) * steps - way
    return off.square().sum(2).mean(0) / way.square().sum(1)
