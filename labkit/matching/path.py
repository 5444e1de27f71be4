"""From noise to data: the straight path of each pair, and how noise and data are paired."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def path(noise: Tensor, data: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """A point on the straight path of each pair, and the velocity there.

    x_t = (1 − t) x₀ + t x₁ and u = x₁ − x₀ (Lipman et al., arXiv:2210.02747, with σ_min = 0; Liu et al.,
    arXiv:2209.03003). Noise is at t = 0, data are at t = 1.

    Args:
        noise: x₀ (N, …).
        data: x₁ (N, …).
        time: t in [0, 1], (N,).

    Returns:
        x_t (N, …) and u (N, …).
    """
    time = time.reshape(-1, *[1] * (data.ndim - 1))
    return (1 - time) * noise + time * data, data - noise


def independent(noise: Tensor, data: Tensor) -> Tensor:
    """Noise as it was drawn: any x₀ may meet any x₁."""
    return noise


@torch.no_grad()
def optimal(noise: Tensor, data: Tensor) -> Tensor:
    """The same noise (N, …) in the order that makes the sum of squared distances to `data` (N, …) smallest.

    Mini-batch optimal transport (Tong et al., arXiv:2302.00482): paths of one batch then do not cross. The
    assignment is found on the CPU in O(N³); 256 pairs take about 3 ms.
    """
    # Squared distances up to what no assignment changes: |x₀|² + |x₁|² sums to the same for all.
    cost = -(data.flatten(1) @ noise.flatten(1).T)
    _, order = linear_sum_assignment(cost.double().cpu().numpy())
    return noise[torch.as_tensor(order, device=noise.device)]
