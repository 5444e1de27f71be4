"""Training a hierarchical VAE on its ELBO, with NVAE's warm-up and balancing of the KL and spectral regularisation.

Vahdat and Kautz, arXiv:2007.03898, sections 3.2 and appendix A.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.faces.pixels import bits_per_dim
from labkit.fit.step import Update
from labkit.hvae.nets import HVAE

LEAST_KL = 0.01  # nats that each group counts for at least when balanced
CLIP = 20.0  # largest norm of the gradient of the loss in bits per dimension; far above that of a usual step


@dataclass(frozen=True)
class HVAETraining:
    """How the loss is made, and the rates of Adam."""

    warm_up: int = 0  # steps in which the weight of the KL rises from `first_weight` to 1; 0 for none
    first_weight: float = 0.1  # of the KL
    balance: bool = True  # spread the KL over the groups while it warms up, see `kl_weights`
    spectral: float = 0.1  # λ of the spectral penalty, in nats; 0 for none. The authors have 0.1 for faces of 64×64
    rate: float = 3e-3  # of Adam, falling to the next along half a cosine
    last_rate: float = 1e-4  # of Adam, at the end

    def __post_init__(self) -> None:
        numbers = self.spectral >= 0 and min(self.rate, self.last_rate) > 0 and 0 <= self.first_weight <= 1
        if self.warm_up < 0 or not numbers or not self.spectral + self.rate + self.last_rate < math.inf:
            raise LabkitError(
                f"HVAETraining: {self} is not possible; warm_up and spectral must be numbers from 0, first_weight "
                "in [0, 1], and the rates positive."
            )


def kl_weights(kl: Tensor, latents: Tensor) -> Tensor:
    """Weights (L,) of mean 1 for groups, large where a group costs many nats for its size; no gradient.

    γ_l ∝ E[KL_l] / s_l with s_l the group's latents: a heavy group is pressed, one that has fallen silent is left in
    peace, until all share the load in proportion to their size. As in the authors' program, but that their s_l is the
    number of places in a map over the number of groups at that scale.

    Args:
        kl: nats of each image and group, (N, L).
        latents: how many latents each group has, (L,).
    """
    load = (kl.detach().abs().mean(0) + LEAST_KL) / latents
    return load / load.mean()


def kl_weight(step: Tensor | float, training: HVAETraining, device: torch.device | str = "cpu") -> Tensor:
    """Weight of the whole KL after so many steps, from `first_weight` linearly to 1, ()."""
    step = torch.as_tensor(step, dtype=torch.float32, device=device)
    if training.warm_up == 0:
        return torch.ones_like(step)
    return (training.first_weight + (1 - training.first_weight) * step / training.warm_up).clamp(max=1.0)


def hvae_loss(
    model: HVAE, x: Tensor, training: HVAETraining, step: Tensor | float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The negative ELBO with the KL as warmed up and balanced, plus λ Σ spectral norms, in bits per dimension.

    Returns:
        The loss, and to log: `bits_per_dim` of the ELBO itself, and `kl_1` … `kl_L`, nats per image of each group.
    """
    bound, dims = model.elbo(x), x[0].numel()
    weight = kl_weight(step, training, x.device)
    kl = bound.kl
    if training.balance and training.warm_up:
        latents = torch.cat([kl.new_full((1,), math.prod(group.shape)) for group in model.groups])
        kl = torch.where(weight < 1, kl_weights(kl, latents), 1.0) * kl
    nats = bound.reconstruction.mean() - weight * kl.sum(1).mean()
    if training.spectral:
        nats = nats - training.spectral * model.spectral()
    terms = {"bits_per_dim": bits_per_dim(bound.elbo.detach().mean(), dims)}
    groups = bound.kl.detach().mean(0)
    return bits_per_dim(nats, dims), terms | {f"kl_{l + 1}": each for l, each in enumerate(groups)}


def update(model: HVAE, training: HVAETraining = HVAETraining(), epochs: int | None = None) -> Update:
    """One step of Adam on `hvae_loss`; its name in the history is "loss".

    The warm-up counts the steps that Adam has made, which its own state holds: a resumed run goes on where it was,
    and a skipped step does not count.

    Args:
        epochs: length of the cosine along which the rate falls; None keeps it.
    """
    adam = torch.optim.Adam(model.parameters(), training.rate, fused=True)
    first = next(model.parameters())
    schedule = None
    if epochs is not None:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs, training.last_rate)

    def loss(model: HVAE, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return hvae_loss(model, x, training, adam.state.get(first, {}).get("step", 0.0))

    settings = {"training": asdict(training), "model": asdict(model.config)}
    return Update("loss", loss, adam, schedule, settings, clip=CLIP, capturable=True)
