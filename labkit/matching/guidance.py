"""Classifier-free guidance: more of what a label changes (Ho and Salimans, arXiv:2207.12598)."""

from collections.abc import Callable

import torch
from torch import Tensor

from labkit.matching.solvers import Velocity


def guided(velocity: Callable[[Tensor, Tensor, Tensor], Tensor], label: Tensor, weight: float) -> Velocity:
    """The field v(x, t, label) + weight · (v(x, t, label) − v(x, t, no label)).

    Weight 0 is the conditional model itself, exactly, at half the cost; −1 is the model without a label.

    Args:
        velocity: (x (N, …), t, label (N, c)) → velocity; trained with labels left out (`update(…, drop=…)`).
        label: (N, c), +1 where an attribute is wanted, −1 where it is not, 0 where nothing is said.
        weight: how much more; Ho and Salimans' w.
    """

    def field(x: Tensor, time: Tensor) -> Tensor:
        with_label = velocity(x, time, label)
        if weight == 0:
            return with_label
        return with_label + weight * (with_label - velocity(x, time, torch.zeros_like(label)))

    return field
