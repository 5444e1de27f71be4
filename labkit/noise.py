"""Whether noise that a student's code draws is fresh, independent and standard normal."""

from collections.abc import Callable

import torch
from torch import Tensor

TAIL = 20.0  # the most extreme of n numbers lies where fewer than this are expected, but for 1 time in 10⁹
KOLMOGOROV = 2.8  # of √n · D: a sample of the right law fails it with probability 3e-7
FOURTH = 5.5  # deviations of the fourth moment; that of 12 uniform numbers added up lies 8 away in 160,000 numbers


def normal_law(sample: Tensor, what: str) -> str | None:
    """None if numbers follow N(0, 1), the whole law: by the Kolmogorov–Smirnov distance, tails and fourth moment."""
    values = sample.double().flatten().sort().values
    count = len(values)
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    under = torch.special.ndtr(values)
    distance = torch.maximum((steps[1:] - under).abs(), (under - steps[:-1]).abs()).max().item()
    if distance * count**0.5 >= KOLMOGOROV:
        return (
            f"{what} does not follow its law: distribution functions are {distance:.2f} apart over {count:,} numbers."
        )
    beyond = count * under[0].item(), count * (1 - under[-1].item())  # numbers expected farther out
    limited = count > 1000 and bool(values[0] == values[2] or values[-1] == values[-3])
    if max(beyond) > TAIL or limited:
        return f"{what} is cut off: of {count:,} numbers some should lie outside {values[0]:.2g} to {values[-1]:.2g}."
    if min(beyond) < 1e-8:
        return f"{what} has too long a tail: of {count:,} numbers one is {values.abs().max():.3g}."
    z = torch.special.ndtri(under.clamp(1e-16, 1 - 1e-16))
    fourth = (z**4 - 6 * z**2 + 3).mean().item() * (count / 24) ** 0.5
    if count > 10_000 and abs(fourth) > FOURTH:
        return (
            f"{what} does not follow its law: its tails are too long, or too short as those of added uniform numbers."
        )
    return None


def normal_noise(draw: Callable[[], Tensor]) -> str | None:
    """None if small batches of noise are new at each call, and independent between rows and between columns.

    Sums of such numbers, with any signs, are normal: those of noise that is shared, mirrored, sorted or standardised
    are not, though each number by itself is. That the law is another one `normal_law` tells.
    """
    batches = torch.stack([draw().double() for _ in range(300)])
    if len(batches[:, 0, 0].unique()) < 290:
        return "some calls draw the same: no seed, and no noise made outside the function."
    if normal_law(batches, ""):
        return None
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64)
    for dim, what in ((1, "rows"), (2, "columns")):
        size = batches.shape[dim]
        for weights in (torch.ones(size).double(), signs.repeat(size)[:size]):
            sums = torch.tensordot(batches, weights, ([dim], [0])) / size**0.5
            if normal_law(sums, ""):
                return (
                    f"{what} of a batch depend on each other: draw each number by itself; neither mirror, repeat, "
                    "sort nor standardise."
                )
    return None


def independent(z: Tensor, again: Tensor) -> str | None:
    """None if large batches (N, M) of standard normal noise, of two calls, depend neither on each other nor within.

    Each number that is looked at is about standard normal if they do not.
    """
    z, again, root = z.double(), again.double(), len(z) ** 0.5
    weighed = z.abs() @ torch.arange(1, z.shape[1] + 1).double().sqrt()  # equal rows alone agree
    if len(weighed.unique()) < len(z):
        return "rows of the noise are repeated or mirrored: draw each number by itself."
    columns = (z.T @ z).fill_diagonal_(0.0)
    for what, sums in (("columns", columns), ("rows", z[1:].T @ z[:-1]), ("calls", z.T @ again)):
        if (sums / root).abs().max() > 7:
            return f"{what} of the noise depend on each other: draw each number by itself."
    both = torch.cat((z, again), 1)
    if len(both.unique()) < 0.95 * both.numel():  # of float32, 1 in 200 is there twice
        return "numbers of the noise come again, in one call or in the next: draw each anew, and keep none."
    if any((sums / root).abs().max() < 0.05 for sums in (both.sum(0), (both**2 - 1).sum(0) / 2**0.5)):
        return "the noise is standardised over the batch, so that its rows depend on each other: leave that out."
    return None
