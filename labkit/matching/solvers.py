"""Solvers of dx/dt = v(x, t): Euler and Heun, on any grid of times, forwards or backwards."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x (N, …), t ()) → dx/dt (N, …)
Solver = Callable[[Velocity, Tensor, Tensor], Tensor]


def grid(steps: int, *, backwards: bool = False, like: Tensor | None = None) -> Tensor:
    """Evenly spaced times from 0 to 1, or from 1 to 0, (steps + 1,); type and device as of `like`."""
    ends = (1.0, 0.0) if backwards else (0.0, 1.0)
    options = {} if like is None else {"dtype": like.dtype, "device": like.device}
    return torch.linspace(*ends, steps + 1, **options)


def euler(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """x (N, …) carried from times[0] to times[-1]; one evaluation a step, error O(h)."""
    for start, end in pairwise(times):
        x = x + (end - start) * velocity(x, start)
    return x


def heun(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """x (N, …) carried from times[0] to times[-1]; two evaluations a step, error O(h²).

    An Euler step looks ahead, and the mean of the velocities at both ends makes the step.
    """
    for start, end in pairwise(times):
        slope = velocity(x, start)
        ahead = x + (end - start) * slope
        x = x + (end - start) * (slope + velocity(ahead, end)) / 2
    return x


def trajectory(velocity: Velocity, x: Tensor, times: Tensor, solver: Solver = heun) -> Tensor:
    """Where x (N, …) is at each of the times (S,), the start included: (S, N, …)."""
    points = [x]
    for start, end in pairwise(times):
        points.append(solver(velocity, points[-1], torch.stack([start, end])))
    return torch.stack(points)
