"""Differentiable augmentation of what a discriminator sees (Zhao et al., NeurIPS 2020, arXiv:2006.10738).

Real and generated images go through the same random changes, in the step of the discriminator and in that of the
generator, so that the discriminator cannot learn a small data set by heart and the generator does not learn the
changes. Images are (N, C, H, W) in [−1, 1], every image has draws of its own from torch's global generator, and what
is shifted in or cut out is 0, a middle grey.
"""

import torch
from torch import Tensor
from torch.nn import functional

from labkit.errors import LabkitError

SHIFT = 1 / 8  # of the side, each way
CUT = 1 / 2  # of the side


def colour(x: Tensor) -> Tensor:
    """Brightness + U(−½, ½), saturation × U(0, 2), contrast × U(½, 1½), as in the paper's code."""
    x = x + (_uniform(x) - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * _uniform(x))
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + _uniform(x))


def translation(x: Tensor) -> Tensor:
    """Shift by up to an eighth of each side, whole pixels."""
    n, _, height, width = x.shape
    rows, columns = (_shifted(n, side, x.device) for side in (height, width))
    padded = functional.pad(x, (1, 1, 1, 1))
    images = torch.arange(n, device=x.device)[:, None, None]
    return padded.movedim(1, -1)[images, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def cutout(x: Tensor) -> Tensor:
    """Blank a square of half the side, whose middle may be anywhere."""
    inside = []
    for side in x.shape[2:]:
        half = round(CUT * side) // 2
        middle = torch.randint(0, side + 1, (len(x), 1), device=x.device)
        place = torch.arange(side, device=x.device)
        inside.append((place >= middle - half) & (place < middle + half))
    cut = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return x.masked_fill(cut, 0)


POLICIES = {"colour": colour, "translation": translation, "cutout": cutout}


def augment(x: Tensor, policy: tuple[str, ...]) -> Tensor:
    """`x` after each augmentation of `policy` in turn; as it is where there is none.

    Raises LabkitError: one of them is not known.
    """
    check_policy(policy)
    for name in policy:
        x = POLICIES[name](x)
    return x


def check_policy(policy: tuple[str, ...]) -> None:
    """Raise a LabkitError if `policy` names what is not there."""
    unknown = [name for name in policy if name not in POLICIES]
    if unknown:
        raise LabkitError(f"augment: {unknown[0]!r} is not known; choose among {', '.join(POLICIES)}.")


def _uniform(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def _shifted(n: int, side: int, device: torch.device) -> Tensor:
    """Rows (n, side) of an image with a border of one that each output row is taken from."""
    most = round(SHIFT * side)
    shift = torch.randint(-most, most + 1, (n, 1), device=device)
    return (torch.arange(1, side + 1, device=device) + shift).clamp(0, side + 1)
