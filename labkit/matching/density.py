"""Log-likelihood of a continuous flow: the integral of its divergence (Chen et al., arXiv:1806.07366)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vmap

from labkit.matching.solvers import Solver, Velocity, grid, heun

Divergence = Callable[[Velocity, Tensor, Tensor], tuple[Tensor, Tensor]]


def divergence(velocity: Velocity, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Velocity (N, d) and its exact divergence Σᵢ ∂vᵢ/∂xᵢ (N,) at x (N, d).

    One forward-mode derivative for each of the d features: d times the work of the velocity. No row's velocity may
    depend on another row.
    """

    def diagonal(feature: Tensor) -> Tensor:
        _, derivative = jvp(lambda x: velocity(x, time), (x,), (feature.expand_as(x),))
        return (derivative * feature).sum(1)

    features = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return velocity(x, time), vmap(diagonal)(features).sum(0)


def hutchinson(probes: Tensor) -> Divergence:
    """An unbiased estimate of the divergence from random directions (Hutchinson, 1990; FFJORD, arXiv:1810.01367).

    Each probe ε of mean 0 and covariance 1 gives εᵀ (∂v/∂x) ε, whatever d is. The probes stay the same along a
    trajectory, as they must for a solver.

    Args:
        probes: (M, N, d), M for each row; signs ±1 have the least variance.

    Returns:
        A function to be used in place of `divergence`; it averages over the M probes.
    """

    def estimate(velocity: Velocity, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        def along(probe: Tensor) -> Tensor:
            _, derivative = jvp(lambda x: velocity(x, time), (x,), (probe,))
            return (derivative * probe).flatten(1).sum(1)

        return velocity(x, time), vmap(along)(probes).mean(0)

    return estimate


def gaussian_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, 1) of z (N, …) in nats, (N,)."""
    return -0.5 * (z**2 + math.log(2 * math.pi)).flatten(1).sum(1)


@torch.no_grad()
def log_prob(
    velocity: Velocity, x: Tensor, steps: int = 50, *, solver: Solver = heun, trace: Divergence = divergence
) -> Tensor:
    """log p₁(x) in nats, (N,), of the flow of `velocity` from standard normal noise.

    x (N, d) is carried back from t = 1 to t = 0, and log p₁(x) = log N(x₀; 0, 1) − ∫₀¹ ∇·v(x_t, t) dt. The error
    is the solver's: O(1/steps²) with Heun. A sharp density, as of a model that has learnt by heart, needs more steps.

    Args:
        steps: even steps from 1 to 0.
        trace: `divergence`, or what `hutchinson` returns.
    """
    shape = x.shape

    def field(state: Tensor, time: Tensor) -> Tensor:
        """Point and integral as one state (N, d + 1), so that one solver carries both."""
        slope, spread = trace(velocity, state[:, :-1].reshape(shape), time)
        return torch.cat([slope.flatten(1), spread[:, None]], 1)

    state = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], 1)
    state = solver(field, state, grid(steps, backwards=True, like=x))
    return gaussian_log_prob(state[:, :-1]) + state[:, -1]
