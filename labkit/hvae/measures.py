"""What a hierarchical VAE has learnt: bits per dimension of unseen images, nats per group, what each level decides.

Images are uint8 (N, C, H, W). Everything is measured in eval mode, with noise from a seed.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.faces.pixels import bits_per_dim, to_input
from labkit.hvae.nets import HVAE, HierarchicalElbo

AT_ONCE = 128


@torch.no_grad()
def bounds(model: HVAE, images: np.ndarray | Tensor, *, samples: int = 1) -> HierarchicalElbo:
    """The terms of the bound of each image, `samples` of them one after the other: (N · samples, …) on the CPU.

    Raises LabkitError: no samples or no images.
    """
    if samples < 1 or not len(images):
        raise LabkitError(f"bounds: {len(images)} images and samples = {samples}; give at least one of each.")
    generator = torch.Generator(model.start.device).manual_seed(0)
    was_training = model.training
    model.eval()
    found = []
    for part in torch.as_tensor(images).split(max(1, AT_ONCE // samples)):
        x = to_input(part).to(model.start.device).repeat_interleave(samples, 0)
        each = model.elbo(x, generator=generator)
        found.append([value.double().cpu() for value in (each.reconstruction, each.kl, each.log_ratio)])
    model.train(was_training)
    return HierarchicalElbo(*(torch.cat(column) for column in zip(*found)))


def elbo_bits(model: HVAE, images: np.ndarray | Tensor) -> np.ndarray:
    """Bits per dimension of each image by the ELBO at one latent, (N,): on average an upper bound."""
    return bits_per_dim(bounds(model, images).elbo, math.prod(images.shape[1:])).numpy()


def importance_weighted_bits(model: HVAE, images: np.ndarray | Tensor, *, samples: int = 16) -> np.ndarray:
    """Bits per dimension by Burda et al.'s bound (arXiv:1509.00519), (N,): tighter on average, the more samples."""
    weights = bounds(model, images, samples=samples).log_weight.view(-1, samples)
    nats = torch.logsumexp(weights, 1) - math.log(samples)
    return bits_per_dim(nats, math.prod(images.shape[1:])).numpy()


@contextmanager
def statistics_of_samples(
    model: HVAE, temperature: float = 1.0, *, batches: int = 10, batch_size: int = 64
) -> Iterator[None]:
    """Batch normalisation's running statistics are those of samples at this temperature; afterwards put back.

    The running statistics are those of maps that latents from the *posterior* made. Maps from the prior, and more so
    from one narrowed by a temperature, have others: NVAE's authors gather them anew too (arXiv:2007.03898).
    """
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    kept = [{name: value.clone() for name, value in layer.state_dict().items()} for layer in norms]
    momenta, was_training = [layer.momentum for layer in norms], model.training
    generator = torch.Generator(model.start.device).manual_seed(0)
    try:
        for layer in norms:
            layer.momentum = None  # the mean over all batches
        for layer in _used_by_sampling(model):
            layer.reset_running_stats()
        model.train()
        with torch.no_grad():
            for _ in range(batches):
                model.sample(batch_size, temperature=temperature, generator=generator)
        model.eval()
        yield
    finally:
        for layer, state, momentum in zip(norms, kept, momenta):
            layer.load_state_dict(state)
            layer.momentum = momentum
        model.train(was_training)


def _used_by_sampling(model: HVAE) -> list[nn.BatchNorm2d]:
    parts = [group.cells for group in list(model.groups)[1:]] + [model.plain]
    return [layer for part in parts for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)]


@torch.no_grad()
def redrawn(model: HVAE, n: int, place: int | tuple[int, ...], *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """n samples, and the same with the noise of some groups drawn anew: two tensors (n, C, H, W) in [−1, 1].

    Args:
        place: the group, or groups, whose noise changes; what they pass on changes with them.
    """
    places = (place,) if isinstance(place, int) else place
    generator = torch.Generator(model.start.device).manual_seed(seed)
    first, second = model.noise(n, generator), model.noise(n, generator)
    mixed = [second[i] if i in places else first[i] for i in range(len(first))]
    return model.decode(first), model.decode(mixed)
