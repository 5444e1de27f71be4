"""Normalizing flows on vectors, assembled from the parts of `normflows`.

The direction is that of normflows: `forward` maps latents z to data x, `inverse` maps data to latents. Three
habits of normflows that cost students hours are designed out here:

* its `ActNorm` sets itself by the first batch that it ever sees, even one drawn by `sample()`; ours stays the
  identity until `Flow.initialise(x)` is called, and refuses a batch of one;
* its `forward_kld` adds up in float32 even for a float64 model; `Flow` keeps the dtype of its input;
* its `MaskedAffineFlow` multiplies the masked half by zero, so that an infinity there becomes NaN; ours selects.
"""

import math
from dataclasses import dataclass
from typing import Literal

import normflows as nf
import torch
from torch import Tensor, nn

from labkit.errors import LabkitError

Family = Literal["realnvp", "glow", "spline"]


@dataclass(frozen=True)
class FlowConfig:
    """What a flow is made of."""

    dim: int  # number of features d, even
    layers: int  # number of coupling layers K
    # "realnvp" (alternating masks; Dinh et al., arXiv:1605.08803), "glow" (the same coupling with a learnt linear mix
    # between layers; Kingma and Dhariwal, arXiv:1807.03039) or "spline" (rational quadratic couplings with linear
    # mixes; Durkan et al., arXiv:1906.04032).
    family: Family = "realnvp"
    hidden: int | None = None  # width of the coupling nets; None means 2 d, as in reports A and B
    scale_bound: float | None = None  # c bounds each log-scale to (−c, c) by c·tanh(s/c); None leaves it free

    def __post_init__(self) -> None:
        if self.dim < 2 or self.dim % 2:
            raise LabkitError(f"FlowConfig: dim must be even and at least 2, not {self.dim}.")
        if self.layers < 1:
            raise LabkitError(f"FlowConfig: layers must be at least 1, not {self.layers}.")
        if self.family not in ("realnvp", "glow", "spline"):
            raise LabkitError(f"FlowConfig: family is realnvp, glow or spline, not {self.family!r}.")
        if self.scale_bound is not None and not 0 < self.scale_bound < math.inf:
            raise LabkitError(f"FlowConfig: scale_bound is a positive number or None, not {self.scale_bound}.")


class ActNorm(nf.flows.ActNorm):
    """A learnt scale and shift per feature (Kingma and Dhariwal, arXiv:1807.03039), set only when told to.

    Before `initialise` it is the identity. Inputs and outputs (N, d).
    """

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z * self.s.exp() + self.t, self.s.sum()

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return (z - self.t) * (-self.s).exp(), -self.s.sum()

    @torch.no_grad()
    def initialise(self, z: Tensor) -> None:
        """Set scale and shift so that `inverse(z)` has zero mean and unit variance per feature.

        Args:
            z: (N, d), N ≥ 2.
        """
        self.t.copy_(z.mean(0, keepdim=True))
        self.s.copy_((z.std(0, keepdim=True) + 1e-6).log())
        self.data_dep_init_done = torch.ones_like(self.data_dep_init_done)


class MaskedAffine(nf.flows.MaskedAffineFlow):
    """x = b z + (1 − b)(z exp s(b z) + t(b z)): RealNVP's coupling, which selects instead of multiplying by b.

    Inputs and outputs (N, d), log-determinant (N,). An overflow stays an infinity, and stays in its own feature.
    With a bound c the log-scale is c·tanh(s/c).
    """

    def __init__(self, b: Tensor, t: nn.Module, s: nn.Module, bound: float | None = None) -> None:
        super().__init__(b, t, s)
        self.bound = bound

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        kept, scale, shift = self._nets(z)
        return torch.where(kept, z, z * scale.exp() + shift), scale.masked_fill(kept, 0.0).sum(1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        kept, scale, shift = self._nets(z)
        return torch.where(kept, z, (z - shift) * (-scale).exp()), -scale.masked_fill(kept, 0.0).sum(1)

    def _nets(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept = self.b.bool()
        seen = torch.where(kept, z, 0.0)
        scale = self.s(seen)
        if self.bound is not None:
            scale = self.bound * torch.tanh(scale / self.bound)
        return kept, scale, self.t(seen)


class Flow(nf.NormalizingFlow):
    """A normalizing flow over vectors x of shape (N, d) that keeps the dtype of its input.

    `initialise(x)` must be called once with training data before `log_prob` means anything; it whitens each
    feature, so that an untrained flow is the Gaussian with the data's means and variances.
    """

    def __init__(self, config: FlowConfig, base: nn.Module, flows: list[nn.Module]) -> None:
        super().__init__(base, flows)
        self.config = config

    @torch.no_grad()
    def initialise(self, x: Tensor) -> "Flow":
        """Set every ActNorm by the data x (N, d), N ≥ 2, from the data's side to the latent's. Returns self.

        Raises LabkitError: fewer than two rows, or a value that is not finite.
        """
        if len(x) < 2 or not bool(x.isfinite().all()):
            raise LabkitError(
                f"Flow.initialise: needs at least two finite rows to set scales by, got {tuple(x.shape)}; "
                "pass the training codes."
            )
        for layer in reversed(self.flows):
            if isinstance(layer, ActNorm):
                layer.initialise(x)
            x, _ = layer.inverse(x)
        return self

    def forward(self, noise: Tensor) -> Tensor:
        """Standard normal noise (N, d) → the data x (N, d) that `sample` makes of it."""
        return self.forward_and_log_det(self.q0.loc + self.q0.log_scale.exp() * noise)[0]

    def forward_and_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (N, d) → data x (N, d) and log |det dx/dz| (N,) in nats."""
        total = z.new_zeros(len(z))
        for layer in self.flows:
            z, log_det = layer(z)
            total = total + log_det
        return z, total

    def inverse_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, d) → latents z (N, d) and log |det dz/dx| (N,) in nats."""
        total = x.new_zeros(len(x))
        for layer in reversed(self.flows):
            x, log_det = layer.inverse(x)
            total = total + log_det
        return x, total

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (N,)."""
        z, log_det = self.inverse_and_log_det(x)
        return self.q0.log_prob(z) + log_det

    def forward_kld(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood of x (N, d) in nats, a scalar."""
        return -self.log_prob(x).mean()

    nll = forward_kld

    @torch.no_grad()
    def sample(
        self, num_samples: int = 1, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Draw x (num_samples, d) and its log p(x) (num_samples,) in nats; `temperature` scales the latents."""
        loc, log_scale = self.q0.loc, self.q0.log_scale
        noise = torch.randn(num_samples, loc.shape[1], generator=generator, device=loc.device, dtype=loc.dtype)
        z = loc + log_scale.exp() * temperature * noise
        x, log_det = self.forward_and_log_det(z)
        return x, self.q0.log_prob(z) - log_det


def alternating_mask(dim: int, layer: int) -> Tensor:
    """The mask b of a layer, (dim,): ones are kept; even layers keep even features (report B)."""
    return ((torch.arange(dim) + layer) % 2 == 0).float()


def coupling_net(config: FlowConfig) -> nn.Module:
    """One MLP d → hidden → hidden → d with ReLU, last layer zero, so that a new coupling is the identity."""
    hidden = config.hidden or 2 * config.dim
    return nf.nets.MLP([config.dim, hidden, hidden, config.dim], init_zeros=True)


def build_flow(config: FlowConfig) -> Flow:
    """An untrained flow; call its `initialise` with training data before use.

    Initial weights follow torch's global generator, so seed it for a repeatable model.
    """
    flows: list[nn.Module] = []
    for layer in range(config.layers):
        if config.family == "spline":
            flows.append(_spline(config, reverse=layer % 2 == 1))
        else:
            mask = alternating_mask(config.dim, layer)
            flows.append(MaskedAffine(mask, coupling_net(config), coupling_net(config), config.scale_bound))
        if config.family != "realnvp":
            flows.append(nf.flows.LULinearPermute(config.dim))
        flows.append(ActNorm(config.dim))
    return Flow(config, nf.distributions.DiagGaussian(config.dim), flows)


def _spline(config: FlowConfig, reverse: bool) -> nn.Module:
    return nf.flows.CoupledRationalQuadraticSpline(
        config.dim, 1, config.hidden or 2 * config.dim, num_bins=8, tail_bound=3.0, reverse_mask=reverse
    )


def parameter_count(model: nn.Module) -> int:
    """Number of trainable numbers in a model."""
    return sum(math.prod(p.shape) for p in model.parameters() if p.requires_grad)
