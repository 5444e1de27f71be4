"""A velocity field for codes: an MLP that sees the time as waves."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.matching.density import Divergence, divergence, log_prob
from labkit.matching.solvers import Solver, grid, heun


@dataclass(frozen=True)
class CodeConfig:
    """What a flow of codes is made of."""

    dim: int  # number of features d
    hidden: int = 256  # width of each layer
    layers: int = 3  # hidden layers
    frequencies: int = 8  # the time enters as this many sines and as many cosines
    labels: int = 0  # number c of attributes that the field may be given; 0 for none

    def __post_init__(self) -> None:
        if min(self.dim, self.hidden, self.layers, self.frequencies) < 1 or self.labels < 0:
            raise LabkitError(f"CodeConfig: every size must be at least 1 (labels at least 0), not {self}.")


class TimeFeatures(nn.Module):
    """t (N,) → sines and cosines (N, 2 n) of π t, 2 π t, …, n π t, with which a net can tell close times apart."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.pi * torch.arange(1, count + 1), persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        angle = time[:, None] * self.frequencies.to(time.dtype)
        return torch.cat([angle.sin(), angle.cos()], 1)


class CodeFlow(nn.Module):
    """A continuous flow of codes x (N, d): its velocity field, and the scale of the data.

    The field lives on standardised codes z = (x − mean) / spread; `sample` and `log_prob` take and give codes in
    their own unit. The last layer begins at zero: an untrained flow is the Gaussian with the data's means and
    variances, as an untrained `labkit.flows.Flow` is.
    """

    def __init__(self, config: CodeConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.dim))
        self.register_buffer("spread", torch.ones(config.dim))
        self.time = TimeFeatures(config.frequencies)
        widths = [config.dim + 2 * config.frequencies + config.labels, *[config.hidden] * config.layers]
        layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.SiLU())]
        self.net = nn.Sequential(*layers, nn.Linear(config.hidden, config.dim))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, z: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Velocity (N, d) at standardised codes z (N, d).

        Args:
            time: t in [0, 1], () or (N,).
            label: (N, c) of −1, 0 and 1; None is all zeros: nothing is said.
        """
        told = [z, self.time(time.expand(len(z)))]
        if self.config.labels:
            told.append(z.new_zeros(len(z), self.config.labels) if label is None else label)
        return self.net(torch.cat(told, 1))

    def standardised(self, x: Tensor) -> Tensor:
        """Codes → zero mean, unit variance."""
        return (x - self.mean) / self.spread

    def log_prob(
        self, x: Tensor, steps: int = 50, *, solver: Solver = heun, trace: Divergence = divergence
    ) -> Tensor:
        """log p(x) of codes (N, d) in nats, (N,); see `labkit.matching.density.log_prob`."""
        return log_prob(self, self.standardised(x), steps, solver=solver, trace=trace) - self.spread.log().sum()

    @torch.no_grad()
    def sample(
        self, count: int, steps: int = 50, *, generator: torch.Generator | None = None, solver: Solver = heun
    ) -> Tensor:
        """Draw codes (count, d) with `steps` steps from noise to data."""
        options = {"dtype": self.mean.dtype, "device": self.mean.device}
        noise = torch.randn(count, self.config.dim, generator=generator, **options)
        return self.mean + self.spread * solver(self, noise, grid(steps, like=noise))


def build_code_flow(codes: np.ndarray, config: CodeConfig, *, seed: int = 0) -> CodeFlow:
    """An untrained flow with the scale of `codes` (N, d).

    Raises LabkitError: fewer than two rows, another d than the config's, or a feature that does not vary.
    """
    mean, spread = codes.mean(0), codes.std(0)
    if len(codes) < 2 or codes.shape[1:] != (config.dim,) or not (np.isfinite(spread) & (spread > 0)).all():
        raise LabkitError(
            f"build_code_flow: needs at least two finite rows of {config.dim} features that vary, got "
            f"{codes.shape}; pass the training codes."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow = CodeFlow(config)
    flow.mean.copy_(torch.as_tensor(mean))
    flow.spread.copy_(torch.as_tensor(spread))
    return flow
