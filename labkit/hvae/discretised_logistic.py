"""Pixels as what they are, one of 256 levels: the discretised logistic likelihood, and mixtures of it.

Salimans, Karpathy, Chen and Kingma, arXiv:1701.05517 (PixelCNN++), without their conditioning of one colour on
another. A level k is the number k / 127.5 − 1 in [−1, 1] and owns the interval of width 2/255 around it; the lowest
owns all below it too, the highest all above. Its probability is the mass of a logistic distribution there.
"""

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, softplus

from labkit.errors import LabkitError

LEVELS = 256
HALF = 1 / (LEVELS - 1)  # half the width of a level, in units in which black to white is 2
LOWEST_LOG_SCALE = -7.0  # a logistic of this scale has 97 % of its mass in one level


def log_mass(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability in nats of each level, of the shape to which the three broadcast.

    With a and b the standardised ends of the interval, σ(a) − σ(b) = σ(a) σ(−b) (1 − e^(b−a)) exactly: no difference
    of nearly equal numbers is taken, and the logarithm and its gradient stay finite however far x is from the mean.

    Args:
        x: levels in [−1, 1].
        mean: of the logistic; may be any number.
        log_scale: logarithm of its scale, at least about −7 (see `parts`).
    """
    upper = (x - mean + HALF) * torch.exp(-log_scale)
    width = 2 * HALF * torch.exp(-log_scale)
    lower = upper - width
    below, above = logsigmoid(upper), logsigmoid(-lower)
    inside = below - softplus(lower) + torch.log(-torch.expm1(-width))
    return torch.where(x < HALF - 1, below, torch.where(x > 1 - HALF, above, inside))


def parts(
    parameters: Tensor, channels: int, mixtures: int = 1, lowest: float = LOWEST_LOG_SCALE
) -> tuple[Tensor, Tensor, Tensor]:
    """What a decoder's maps stand for.

    Args:
        parameters: (N, K (1 + 2 C), H, W) where there are K > 1 mixtures, else (N, 2 C, H, W).
        lowest: log-scale that none falls below.

    Returns:
        Log-weights (N, K, H, W) that sum to one, means (N, K, C, H, W), log-scales (N, K, C, H, W) above `lowest`.

    Raises LabkitError: another count of maps.
    """
    wanted = parameter_count(channels, mixtures)
    if parameters.ndim != 4 or parameters.shape[1] != wanted:
        raise LabkitError(
            f"discretised logistic: {mixtures} mixtures of {channels} channels need {wanted} maps, "
            f"not a tensor {tuple(parameters.shape)}; end the decoder in parameter_count(channels, mixtures) of them."
        )
    logits, mean, log_scale = split_maps(parameters, channels, mixtures)
    if mixtures == 1:
        logits = torch.zeros_like(parameters[:, :1])
    floored = lowest + softplus(log_scale - lowest)  # a floor that still has a slope
    return log_softmax(logits, 1), mean, floored


def split_maps(parameters: Tensor, channels: int, mixtures: int) -> tuple[Tensor, Tensor, Tensor]:
    """Views of maps (N, …, H, W): logits of the mixture's weights (none for one mixture), means, raw log-scales."""
    numbers = 2 * mixtures * channels
    logits, rest = parameters.split((parameters.shape[1] - numbers, numbers), 1)
    return logits, *rest.unflatten(1, (mixtures, 2 * channels)).chunk(2, 2)


def parameter_count(channels: int, mixtures: int = 1) -> int:
    """Maps that describe a pixel: a mean and a log-scale per channel and mixture, and a weight per mixture."""
    return 2 * channels if mixtures == 1 else mixtures * (1 + 2 * channels)


def log_likelihood(x: Tensor, parameters: Tensor, mixtures: int = 1, lowest: float = LOWEST_LOG_SCALE) -> Tensor:
    """log p(x) of images (N, C, H, W) of levels in [−1, 1], in nats, (N,): pixels are independent.

    The channels of a pixel share the component of the mixture, and are independent given it.
    No log-scale falls below `lowest`.
    """
    log_weight, mean, log_scale = parts(parameters.to(x.dtype), x.shape[1], mixtures, lowest)
    each = log_mass(x[:, None], mean, log_scale).sum(2)
    return torch.logsumexp(log_weight + each, 1).flatten(1).sum(1)


def expected_image(parameters: Tensor, channels: int = 3, mixtures: int = 1) -> Tensor:
    """The picture to show, (N, C, H, W) in [−1, 1]: the components' means, weighted and clipped."""
    log_weight, mean, _ = parts(parameters, channels, mixtures)
    return (log_weight.exp()[:, :, None] * mean.clamp(-1, 1)).sum(1)
