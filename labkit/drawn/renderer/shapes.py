"""Brushes of the portrait renderer: soft edges, bumps, waves, colours.

Everything is made of +, −, ×, ÷, √, min, max and floor, which IEEE 754 rounds in one way only: a pixel has the
same bits in any batch, at any SIMD width, on any thread, and (in practice) on any device.
"""

import torch
from torch import Tensor

Planes = list[Tensor]  # red, green, blue, each (B, H, W), (B, 1, 1) or anything between

SKIN = ((255, 226, 205), (246, 205, 172), (226, 172, 130), (190, 130, 88), (135, 86, 56), (78, 48, 34), (46, 29, 24))
HAIR = ((22, 19, 22), (54, 36, 28), (92, 58, 38), (140, 70, 38), (168, 116, 62), (220, 182, 112), (242, 216, 158))
EYES = ((52, 32, 22), (98, 62, 30), (120, 108, 52), (84, 122, 84), (70, 122, 168), (128, 150, 166))
CLOTHES = ((38, 52, 92), (34, 34, 40), (118, 34, 48), (52, 92, 74), (196, 168, 128), (88, 132, 178), (226, 226, 222))


def sine(a: Tensor) -> Tensor:
    """sin a by its Taylor polynomial, error < 2e-4 for |a| < 1.3."""
    s = a * a
    return a * (1 - s * (1 / 6) * (1 - s * 0.05))


def cosine(a: Tensor) -> Tensor:
    """cos a by its Taylor polynomial, error < 2e-4 for |a| < 1.3."""
    s = a * a
    return 1 - s * 0.5 * (1 - s * (1 / 12) * (1 - s * (1 / 30)))


def unit(a: Tensor) -> Tensor:
    """Clamp to [0, 1]."""
    return a.clamp(0.0, 1.0)


def ramp(a: Tensor, low: float, high: float) -> Tensor:
    """0 below `low`, 1 above `high`, a straight line between."""
    return unit((a - low) * (1.0 / (high - low)))


def smooth(a: Tensor) -> Tensor:
    """Clamp to [0, 1] with flat ends (smoothstep)."""
    a = unit(a)
    return a * a * (3 - 2 * a)


def bump(squared_radius: Tensor) -> Tensor:
    """(1 − r²)² inside the unit circle and 0 outside: a bell with an end."""
    b = (1 - squared_radius).clamp(min=0.0)
    return b * b


def wave(a: Tensor) -> Tensor:
    """A wave of period 1 in [−1, 1], made of parabolas: close to sin 2πa."""
    t = a - torch.floor(a + 0.5)
    return t * (8 - 16 * t.abs())


def beyond(a: Tensor, edge: Tensor | float, softness: float) -> Tensor:
    """Coverage of the half-plane a > edge, with an edge `softness` wide.

    `a` and `edge` may be rows and columns: they are scaled before they meet, which keeps the work on one
    full plane to a subtraction and a clamp.
    """
    k = 1.0 / softness
    return unit((a * k + 0.5) - edge * k)


def palette(t: Tensor, stops: tuple[tuple[int, int, int], ...]) -> Planes:
    """Colour at t (B, 1, 1) in [0, 1] on the polyline through `stops`; three (B, 1, 1)."""
    table = torch.tensor(stops, dtype=t.dtype, device=t.device) * (1 / 255)
    place = (t * (len(stops) - 1)).reshape(-1, 1)
    below = place.floor().clamp(max=len(stops) - 2)
    start, end = table[below[:, 0].long()], table[below[:, 0].long() + 1]
    return [c.reshape(-1, 1, 1) for c in (start + (place - below) * (end - start)).unbind(1)]


def hue(t: Tensor) -> Planes:
    """Fully saturated colour of hue t in [0, 1]."""
    return [unit(((t + s) * 6 - 6 * torch.floor(t + s) - 3).abs() - 1) for s in (0.0, 2 / 3, 1 / 3)]


def mixed(a: Planes, b: Planes, t: Tensor | float) -> Planes:
    """a at t = 0, b at t = 1."""
    return [p + t * (q - p) for p, q in zip(a, b)]


def tinted(colour: Planes, by: tuple[float, float, float]) -> Planes:
    """Channel-wise product with three numbers."""
    return [p * k for p, k in zip(colour, by)]


def plain(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """A fixed colour from 0–255 values."""
    return red / 255, green / 255, blue / 255


def paint(canvas: Planes, coverage: Tensor, colour: Planes | tuple[float, float, float]) -> None:
    """Lay `colour` over the canvas, in place, where `coverage` is 1."""
    for plane, c in zip(canvas, colour):
        plane.add_(coverage * (c - plane))
