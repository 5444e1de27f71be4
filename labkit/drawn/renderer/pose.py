"""Where everything of a portrait is: the proportions, and the head's turn, nod and lean."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from labkit.drawn.renderer.shapes import cosine, sine, unit

NECK = 0.60  # height about which the head leans
VIEW, CENTRE = (0.82, 0.03)  # half the height of the picture, and the height of its centre, in units of the drawing


@dataclass
class Pose:
    """Anchors of B portraits on an S×S raster; x runs right, y down, and half a picture is VIEW."""

    f: dict[str, Tensor]  # factor name → (B, 1, 1)
    x: Tensor  # centres of the pixels, (1, 1, S)
    y: Tensor  # (1, S, 1)
    pixel: float  # width of a pixel
    size: int  # S
    width: Tensor  # half-width of the face (B, 1, 1)
    top: Tensor  # height of the crown, negative (B, 1, 1); the head is widest at 0
    chin: Tensor  # height of the chin (B, 1, 1)
    sin: Tensor  # of the yaw
    cos: Tensor  # of the yaw
    nod: Tensor  # shift of frontal features by the pitch
    light: tuple[Tensor, Tensor, Tensor]  # direction to the light, three (B, 1, 1)
    at_brows: Tensor = field(init=False)  # position across the face (B, 1, S), seen at the height of the brows
    at_eyes: Tensor = field(init=False)
    at_cheeks: Tensor = field(init=False)
    at_mouth: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.at_brows = self.across(self.face_y(-0.26))
        self.at_eyes = self.across(self.face_y(-0.02))
        self.at_cheeks = self.across(self.face_y(0.14))
        self.at_mouth = self.across(self.face_y(0.32))

    def spine(self, y: Tensor) -> Tensor:
        """x of the head's axis at height y: the lean, and the head's swing with the yaw."""
        return 0.05 * self.sin + self.f["roll"] * (NECK - y)

    def line(self, y: Tensor) -> Tensor:
        """Height, as a function of the pixel's x, of a line level with the face at y: (B, 1, S)."""
        return y + self.f["roll"] * (self.x - self.spine(y))

    def across(self, y: Tensor) -> Tensor:
        """Position across the face (B, 1, S), 0 on its middle line, seen at height y.

        The inverse of a cylinder's turn: what is at angle a on the head appears at width · sin(a + yaw).
        """
        u = (self.x - self.spine(y)) / self.width
        inside = u.clamp(-1.0, 1.0)
        return self.width * (u * self.cos - torch.sqrt(1 - inside * inside) * self.sin)

    def face_y(self, y: float) -> Tensor:
        """Height of a feature that is at y on the average face: stretched by its height, shifted by the nod."""
        return self.chin * (y / 0.56) + self.nod

    def rows(self, low: float, high: float) -> slice:
        """The rows of the raster between two heights."""
        return slice(
            max(0, int((low - CENTRE + VIEW) / self.pixel)),
            min(self.size, int((high - CENTRE + VIEW) / self.pixel) + 1),
        )


def pose_of(f: dict[str, Tensor], size: int) -> Pose:
    """Turn factors (name → (B, 1, 1)) into the anchors of a portrait."""
    device = next(iter(f.values())).device
    axis = (torch.arange(size, device=device, dtype=torch.float32) * 2 + (1 - size)) * (VIEW / size)
    pitch = sine(f["pitch"])
    stretch = 0.94 + 0.12 * f["face_height"]
    azimuth, elevation = f["light_azimuth"], f["light_elevation"]
    level = cosine(elevation)
    return Pose(
        f=f,
        x=axis.reshape(1, 1, size),
        y=axis.reshape(1, size, 1) + CENTRE,
        pixel=2.0 * VIEW / size,
        size=size,
        width=0.375 + 0.07 * f["face_width"] + 0.02 * f["fullness"] + 0.01 * f["masculine"],
        top=-0.58 * stretch + 0.05 * pitch,
        chin=0.555 * stretch + 0.02 * f["masculine"] - 0.10 * unit(-pitch) + 0.05 * unit(pitch),
        sin=sine(f["yaw"]),
        cos=cosine(f["yaw"]),
        nod=0.26 * pitch,
        light=(sine(azimuth) * level, -sine(elevation), cosine(azimuth) * level),
    )
