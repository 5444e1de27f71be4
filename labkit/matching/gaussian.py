"""The one case that is known in closed form: data that are Gaussian."""

import math

import torch
from torch import Tensor, nn


class GaussianVelocity(nn.Module):
    """The velocity that flow matching would learn, without error, for data N(mean, diag(spread²)).

    With x_t = (1 − t) x₀ + t x₁ and independent x₀ ~ N(0, 1), each feature of x_t has variance
    s_t² = (1 − t)² + t² spread². The regression's solution E[x₁ − x₀ | x_t] is linear in x_t, and its flow is
    x₀ → t mean + s_t x₀ (Lipman et al., arXiv:2210.02747, theorem 3). Solvers and likelihoods are tested on it.

    Args:
        mean, spread: (d,).
    """

    def __init__(self, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def scale(self, time: Tensor | float) -> Tensor:
        """s_t, (d,)."""
        return torch.sqrt((1 - time) ** 2 + time**2 * self.spread**2)

    def forward(self, x: Tensor, time: Tensor | float) -> Tensor:
        """Velocity (N, d) at x (N, d) and t ()."""
        growth = (time * self.spread**2 - (1 - time)) / self.scale(time) ** 2
        return self.mean + growth * (x - time * self.mean)

    def flow(self, noise: Tensor, time: Tensor | float = 1.0) -> Tensor:
        """Where the exact flow has carried x₀ (N, d) at t."""
        return time * self.mean + self.scale(time) * noise

    def log_prob(self, x: Tensor) -> Tensor:
        """Closed-form log-density of the data in nats, (N,)."""
        z = (x - self.mean) / self.spread
        return -0.5 * (z**2 + math.log(2 * math.pi)).sum(1) - self.spread.log().sum()
