"""Moving along directions of a latent space, and reading what changes; what `labkit.metrics.selectivity` judges.

A direction is a unit vector d of the latent space: a latent's own axis, or any other. Along it a latent z is moved to
z + (t − z·d) d, so that z·d becomes t; for an axis that sets one latent to t and leaves the others. Under a standard
normal prior z·d is standard normal for every d, so random directions are what axes should be held against: the same
decoder, the same lengths, and no meaning but by chance.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.faces.pixels import to_pixels
from labkit.metrics.feature_reader import FeatureReader
from labkit.metrics.selectivity import Selectivity, selectivity

Decode = Callable[[Tensor], Tensor]
Read = Callable[[np.ndarray], np.ndarray]
REACH = 2.0  # standard deviations of the prior, to either side
NAMED_FROM, NAMED_MARGIN = 1.0, 1 / 3  # standard deviations; the top factor half as far again as the next
ALONE = 0.5  # margin from which the top factor is moved twice as far as any other
READ_AT_ONCE = 2048  # images


def moved(anchors: Tensor, direction: Tensor, value: float) -> Tensor:
    """Latents (n, M) moved along a unit vector (M,) until each has the coordinate `value` on it."""
    return anchors + (value - anchors @ direction)[:, None] * direction


def random_directions(active: np.ndarray, seed: int) -> Tensor:
    """As many orthogonal unit vectors as there are active latents, (A, M), in the space of these latents alone.

    They are the axes after a random rotation (Haar); latents that do nothing are left out, or they would dilute
    each direction.

    Args:
        active: bool (M,).

    Raises LabkitError: no latent is active.
    """
    places = np.flatnonzero(active)
    if not len(places):
        raise LabkitError("random_directions: no latent is active; train longer, or with a smaller KL weight.")
    generator = torch.Generator().manual_seed(seed)
    square, triangle = torch.linalg.qr(torch.randn(len(places), len(places), generator=generator))
    directions = torch.zeros(len(places), len(active))
    directions[:, torch.from_numpy(places)] = square * triangle.diagonal().sign()
    return directions


@torch.no_grad()
def read_traversals(decode: Decode, anchors: Tensor, directions: Tensor, read: Read) -> tuple[np.ndarray, np.ndarray]:
    """Readings of the images at the ends of each direction, −2 and 2: two arrays (L, n, F) for `selectivity`.

    Args:
        decode: latents (n, M), those of the anchors in their order → images (n, 3, H, W) in [−1, 1].
        anchors: latents (n, M).
        directions: unit vectors (L, M).
        read: uint8 images (N, 3, H, W) → readings (N, F).
    """
    ends, per_read = [], max(1, READ_AT_ONCE // len(anchors))
    for value in (-REACH, REACH):
        found = []
        for few in directions.split(per_read):
            images = [to_pixels(decode(moved(anchors, direction, value))) for direction in few]
            found.append(read(np.concatenate(images)).reshape(len(few), len(anchors), -1))
        ends.append(np.concatenate(found))
    return ends[0], ends[1]


def has_meaning(found: Selectivity) -> np.ndarray:
    """Which directions one would give a name, bool (L,): one factor is moved far, and half as far again as any other.

    Far is a standard deviation of the factor or more, from one end to the other.
    """
    return (found.strength >= NAMED_FROM) & (found.margin >= NAMED_MARGIN)


def summarise(found: Selectivity, which: np.ndarray | slice = slice(None)) -> dict[str, float]:
    """What a set of directions comes to.

    Margins of directions that hardly move anything are chance (a single factor beyond three standard errors is
    "alone"), so each direction weighs as much as it moves its first factor.

    Args:
        which: those to be summed up, bool (L,).

    Returns:
        count; meaning, how many have one; margin, Σ (first − second) / Σ first; alone, the share of Σ first that
        belongs to directions of a margin of `ALONE` or more. The latter two are 0 where nothing is moved.
    """
    strength, margin = found.strength[which], found.margin[which]
    weights = strength / max(strength.sum(), np.finfo(float).tiny)
    return {
        "count": len(strength),
        "meaning": int(has_meaning(found)[which].sum()),
        "margin": float(weights @ margin),
        "alone": float(weights @ (margin >= ALONE)),
    }


def named_latents(found: Selectivity, names: Sequence[str], active: np.ndarray) -> pd.DataFrame:
    """A row per latent: what it moves most, which way, how far, what comes second, and whether that is a meaning.

    Args:
        found: of L latents and F factors.
        active: bool (L,).

    Returns:
        Columns active, moves ("+" or "−" and a name, or "nothing"), by (standard deviations of the factor), second,
        margin, concentration, meaning; index the latent's number.
    """
    order = np.argsort(-found.significant, 1)
    sizes = np.take_along_axis(found.significant, order, 1)
    signs = np.where(np.take_along_axis(found.effect, order, 1) > 0, "+", "−")

    def written(rank: int) -> list[str]:
        return [
            f"{signs[latent, rank]}{names[order[latent, rank]]}" if sizes[latent, rank] > 0 else "nothing"
            for latent in range(len(order))
        ]

    table = pd.DataFrame(
        {
            "active": active,
            "moves": written(0),
            "by": found.strength,
            "second": written(1),
            "margin": found.margin,
            "concentration": found.concentration,
            "meaning": has_meaning(found),
        }
    )
    return table.rename_axis("latent")


def captions(
    decode: Decode, anchors: Tensor, latents: Sequence[int], reader: FeatureReader, spread: np.ndarray
) -> dict[int, str]:
    """What each of some latents moves most: index → "12: +smile", with a star where that is a meaning.

    Args:
        anchors: latents (n, M) from which each is moved.
        spread: (K,), the deviation of each of the reader's features over real faces.
    """
    directions = torch.eye(anchors.shape[1], device=anchors.device)[list(latents)]
    found = selectivity(*read_traversals(decode, anchors, directions, reader.read), spread)
    table = named_latents(found, reader.names, np.ones(len(latents), bool))
    named = zip(latents, table.moves.str.replace("_", " "), table.meaning)
    return {latent: f"{latent}: {moves}{' *' if meaning else ''}" for latent, moves, meaning in named}
