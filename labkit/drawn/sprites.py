"""The three sprites of dSprites, drawn from their factors.

The outlines were measured on the 320 pictures of the animation that the data set's authors published with it
(github.com/google-deepmind/dsprites-dataset, dsprites.gif): over all its orientations, the pixels drawn here share
0.999 (square), 0.996 (ellipse) and 0.996 (heart) of those of either, as intersection over union.
"""

import math

import torch
from torch import Tensor

SIDE = 64
WINDOW = 30  # pixels round the centre that the largest sprite fits into, whatever its orientation
SHAPES = ("square", "ellipse", "heart")
FIRST, TRAVEL = 16.0, 32.0  # pixels: the centre at position 0, and how far it is at position 1
SQUARE = 9.6  # pixels, half a side at scale 1
ELLIPSE = (12.8, 7.2)  # half axes
# Right half of the outline, from the notch down to the tip: angle from above in degrees, distance from the centre.
HEART = (
    (0, 5.35), (8, 7.69), (16, 9.18), (24, 10.36), (36, 11.18), (50, 11.36), (65, 10.68), (80, 9.35), (100, 7.37),
    (120, 6.17), (140, 5.87), (160, 6.52), (180, 9.04),
)  # fmt: skip


def draw_sprites(shape: Tensor, scale: Tensor, orientation: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Draw white sprites on black, a pixel white where its centre is inside: no grey, as in the original.

    Args:
        shape: int (N,), 0 square, 1 ellipse, 2 heart.
        scale: float (N,), 0.5 to 1.
        orientation: float (N,), radians, counter-clockwise; a heart stands upright at 0.
        x, y: float (N,), 0 (left, top) to 1.

    Returns:
        uint8 (N, 1, 64, 64) of 0 and 255, on the device of the arguments.
    """
    x, y = (FIRST + TRAVEL * place.view(-1, 1, 1) for place in (x, y))
    scale, orientation = scale.view(-1, 1, 1), orientation.view(-1, 1, 1)
    offset = torch.arange(-(WINDOW // 2), WINDOW // 2, device=scale.device)
    column, row = x.long() + offset.view(1, 1, -1), y.long() + offset.view(1, -1, 1)
    right, down = (column + 0.5 - x) / scale, (row + 0.5 - y) / scale
    cosine, sine = orientation.cos(), orientation.sin()
    u, v = right * cosine - down * sine, right * sine + down * cosine
    inside = torch.empty(u.shape, dtype=torch.bool, device=u.device)
    for k, contains in enumerate((_in_square, _in_ellipse, _in_heart)):
        chosen = torch.nonzero(shape == k)[:, 0]
        inside[chosen] = contains(u[chosen], v[chosen])
    images = torch.zeros(len(u), 1, SIDE, SIDE, dtype=torch.uint8, device=u.device)
    images[torch.arange(len(u), device=u.device).view(-1, 1, 1), 0, row, column] = inside.to(torch.uint8) * 255
    return images


def _in_square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) <= SQUARE


def _in_ellipse(u: Tensor, v: Tensor) -> Tensor:
    return (u / ELLIPSE[0]) ** 2 + (v / ELLIPSE[1]) ** 2 <= 1


def _in_heart(u: Tensor, v: Tensor) -> Tensor:
    """Inside the polygon: nearer to the centre than the edge between the two corners that the angle lies between."""
    corner = torch.tensor([math.radians(angle) for angle, _ in HEART], device=u.device)
    distance = torch.tensor([radius for _, radius in HEART], device=u.device)
    angle = torch.atan2(u.abs(), -v)
    k = (torch.bucketize(angle, corner, right=True) - 1).clamp(0, len(HEART) - 2)
    before, after = distance[k], distance[k + 1]
    reach = before * (angle - corner[k]).sin() + after * (corner[k + 1] - angle).sin()
    return torch.hypot(u, v) * reach <= before * after * (corner[k + 1] - corner[k]).sin()
