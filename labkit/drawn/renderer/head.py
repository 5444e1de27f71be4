"""Background, body, neck, ears and the shaded head of a portrait."""

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.drawn.renderer.pose import Pose
from labkit.drawn.renderer.shapes import (
    CLOTHES,
    SKIN,
    Planes,
    beyond,
    bump,
    hue,
    mixed,
    paint,
    palette,
    ramp,
    smooth,
    tinted,
    unit,
    wave,
)


@dataclass
class Skin:
    """The colours of a person's skin, each three (B, 1, 1)."""

    base: Planes
    lit: Planes
    shade: Planes


def skin_of(pose: Pose) -> Skin:
    """Skin in light and in shadow: shadows are warmer, and highlights of dark skin relatively stronger."""
    tone = pose.f["skin_tone"]
    base = palette(tone, SKIN)
    lit = [p * (1.02 + 0.22 * tone) + 0.01 for p in base]
    return Skin(base, lit, tinted(base, (0.50, 0.39, 0.37)))


def background(pose: Pose) -> Planes:
    """A wall, lighter on the side of the light and darker towards the corners."""
    f = pose.f
    value = 0.14 + 0.78 * f["background_light"]
    colour = [value * (0.80 + 0.24 * h) for h in hue(f["background_hue"])]
    lx = pose.light[0]
    glow_x = 1.0 + 0.14 * lx * pose.x - 0.10 * pose.x * pose.x
    glow_y = 0.98 - 0.12 * pose.y - 0.06 * pose.y * pose.y
    glow = glow_x * glow_y
    return [c * glow for c in colour]


def body(canvas: Planes, pose: Pose, skin: Skin) -> None:
    """Neck, shoulders and clothes."""
    f = pose.f
    lx, _, _ = pose.light
    rows = pose.rows(0.20, 1.0)
    x, y, band = pose.x, pose.y[:, rows], [c[:, rows] for c in canvas]
    neck = 0.60 * pose.width * (0.86 + 0.30 * f["masculine"] + 0.12 * f["fullness"])
    base = x - 0.6 * pose.spine(y)
    flare = neck + 0.5 * (y - 0.72).clamp(min=0.0)
    inside = beyond(flare, base.abs(), 1.2 * pose.pixel)
    under = smooth((y - pose.chin + 0.12) * 3.2)
    across = base / flare
    shade = unit((0.62 + (0.42 * lx - 0.38 * across) * across) * (0.30 + 0.7 * under))
    paint(band, inside, mixed(skin.shade, skin.lit, shade))

    ax = (x * x + 0.0004) / torch.sqrt(x * x + 0.0004)
    drop = (0.70 - 0.05 * f["masculine"]) + 0.30 * (ax - 0.24).clamp(min=0.0) + 0.9 * (ax - 0.82).clamp(min=0.0)
    scoop = 0.84 - 2.6 * x * x
    edge = torch.maximum(drop, scoop)
    cloth = palette(f["clothes"], CLOTHES)
    light = 0.80 + 0.26 * lx * x + 0.16 * (0.9 - y) - 0.10 * bump(((ax - 0.30) * 5) ** 2)
    collar = 1 - 0.28 * bump(((y - edge) * 18) ** 2)
    light = light * collar
    paint(band, beyond(y, edge, 1.2 * pose.pixel), [c * light for c in cloth])


def ears(canvas: Planes, pose: Pose, skin: Skin) -> None:
    """Both ears behind the head: the yaw hides the far one and brings the near one out."""
    height = pose.face_y(0.05) - 0.4 * pose.nod
    rows = pose.rows(-0.24, 0.40)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    offset = pose.x - pose.spine(height)
    line = pose.line(height)
    side = torch.where(offset < 0, -1.0, 1.0)
    out = pose.width * (1.0 + 0.02 * pose.cos) - side * 0.14 * pose.sin
    ex = (offset * side - out) * (1 / 0.062)
    ey = (y - line) * (1 / 0.115)
    q = ex * ex + ey * ey
    shade = 0.42 + 0.3 * pose.light[0] * side - 0.30 * bump(q * 2.6)
    paint(band, unit((1 - q) * (0.035 / pose.pixel) + 0.5), mixed(skin.shade, skin.lit, unit(shade)))
    if_worn = pose.f["earrings"] * unit(1.2 - 1.6 * side * pose.sin)
    dx, dy = (ex + 0.1) * 0.062, (y - line) - 0.135
    ring = unit((0.036 - torch.sqrt(dx * dx + dy * dy)) * (1 / pose.pixel) + 0.5)
    paint(band, ring * if_worn, (0.93, 0.78, 0.36))


@dataclass
class Head:
    """The head on the raster."""

    mask: Tensor  # coverage (B, S, S)
    q: Tensor  # below 1 inside the outline (B, S, S)
    dx: Tensor  # distance to the head's axis (B, S, S)
    tone: Tensor  # brightness of the skin, 0 in shadow and 1 in light (B, S, S)


def head_of(pose: Pose) -> Head:
    """Outline and shading of the head, as an ellipsoid with a jaw."""
    f, y, w = pose.f, pose.y, pose.width
    below = unit(y / pose.chin * 0.5) * 2
    above = y.clamp(max=0.0) / pose.top
    b2 = below * below
    pointed = 0.78 - 0.62 * f["jaw"] - 0.30 * f["fullness"]
    widen = (1 + pointed * b2 * (0.35 + 0.65 * b2)) / (w * w)
    square = 0.35 + 0.35 * f["jaw"]
    a2 = above * above
    lift = a2 * (0.68 + 0.32 * a2) + b2 * ((1 - square) + square * b2)
    dx = pose.x - (pose.spine(y) + 0.17 * pose.sin * b2)
    q = dx * dx * widen + lift
    mask = unit((1 - q) * (0.21 / pose.pixel) + 0.5)
    depth = torch.sqrt((1.02 - q).clamp(min=0.0))
    lx, ly, lz = pose.light
    up = ly * (below * 0.75 - above * 0.9) + 0.27
    tone = dx * (0.66 * lx / w) + up + depth * (0.62 * lz)
    return Head(mask, q, dx, tone)


def relief(head: Head, pose: Pose) -> None:
    """Model the face into the head's tone: sockets, cheeks, folds, forehead lines, bags, chin."""
    f, y = pose.f, pose.y
    lx, ly, _ = pose.light
    eye = pose.face_y(-0.02)
    apart = 0.150 + 0.04 * f["eye_spacing"]
    eye_x = pose.at_eyes.abs()
    socket_x = bump(((eye_x - apart) * (1 / 0.16)) ** 2)
    brow_ridge = 0.12 + 0.14 * f["masculine"]
    socket = socket_x * (bump(((y - eye + 0.035) * (1 / 0.15)) ** 2) * brow_ridge)
    bag_y = bump(((y - eye - 0.085) * (1 / 0.035)) ** 2) * (0.26 * ramp(f["age"], 0.35, 0.9))
    head.tone.sub_(socket + bump(((eye_x - apart) * (1 / 0.10)) ** 2) * bag_y)

    cheek_x = pose.at_cheeks
    side = torch.where(cheek_x < 0, -1.0, 1.0)
    cx = (cheek_x * side - 0.235) * (1 / 0.15)
    cy = (y - pose.face_y(0.13) + 0.02 * f["smile"]) * (1 / 0.17)
    plump = 0.10 + 0.10 * f["fullness"] + 0.06 * f["smile"].clamp(min=0.0)
    head.tone.add_(bump(cx * cx) * (bump(cy * cy) * plump))
    hollow = (0.12 * unit(0.6 - f["fullness"])) * bump(((cheek_x.abs() - 0.27) * (1 / 0.10)) ** 2)
    head.tone.sub_(hollow * bump(((y - pose.face_y(0.27)) * (1 / 0.15)) ** 2))

    chin_x = pose.at_mouth
    crease = bump((chin_x * (1 / 0.13)) ** 2) * bump(((y - pose.face_y(0.432)) * (1 / 0.045)) ** 2)
    ball = bump((chin_x * (1 / 0.14)) ** 2) * bump(((y - pose.face_y(0.50)) * (1 / 0.07)) ** 2)
    head.tone.add_(0.10 * ball - 0.20 * crease)
    sheen_x = (pose.x - pose.spine(pose.top) - 0.19 * lx) * (1 / 0.24)
    sheen_y = (y - pose.face_y(-0.27) - 0.10 * ly) * (1 / 0.17)
    head.tone.add_(bump(sheen_x * sheen_x) * (bump(sheen_y * sheen_y) * (0.10 + 0.22 * f["skin_tone"])))


def wrinkles(head: Head, pose: Pose) -> None:
    """Folds from nose to mouth (age and smile), forehead lines (age), a double chin (fullness)."""
    f = pose.f
    fold_y = pose.face_y(0.29)
    rows = pose.rows(-0.60, 0.85)
    y = pose.y[:, rows]
    t = (y - fold_y) * (1 / 0.13)
    curve = 0.135 + 0.045 * t + 0.03 * f["smile"].clamp(min=0.0) * (1 - t * t) + 0.02 * f["nose_size"]
    centre = pose.at_mouth.abs()
    strength = 0.42 * ramp(f["age"], 0.25, 0.95) + 0.16 * f["smile"].clamp(min=0.0)
    fold = bump(((centre - curve) * (1 / 0.030)) ** 2) * (bump(t * t) * strength)
    forehead = (y - pose.face_y(-0.29)) * (1 / 0.10)
    lines = wave(forehead * 1.45 + 0.25).clamp(min=0.0) * bump(forehead * forehead)
    brow_x = pose.at_brows * (1 / 0.24)
    fold = fold + bump(brow_x * brow_x) * (lines * (0.24 * ramp(f["age"], 0.4, 0.95)))
    x = (pose.x - pose.spine(pose.chin) - 0.10 * pose.sin) * (1 / 0.22)
    sag = (y - pose.chin + 0.075 - 0.07 * (1 - x * x)) * (1 / 0.035)
    fold = fold + bump(sag * sag) * (bump(x * x) * (0.5 * ramp(f["fullness"], 0.6, 1.0)))
    head.tone[:, rows].sub_(fold)


def flesh(canvas: Planes, head: Head, pose: Pose, skin: Skin) -> None:
    """Colour the modelled head: skin from shadow to light, then red cheeks."""
    f = pose.f
    tone = head.tone.clamp(-0.1, 1.15)
    for plane, dark, light in zip(canvas, skin.shade, skin.lit):
        plane.add_(head.mask * ((dark + tone * (light - dark)) - plane))
    rows = pose.rows(-0.08, 0.38)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    cheek_x = (pose.at_cheeks.abs() - 0.23) * (1 / 0.15)
    cheek_y = (y - pose.face_y(0.15)) * (1 / 0.14)
    red = 0.05 + 0.34 * f["rosy"] + 0.10 * f["makeup"]
    blush = bump(cheek_x * cheek_x) * (bump(cheek_y * cheek_y) * red)
    paint(band, blush * head.mask[:, rows], tinted(skin.lit, (0.97, 0.40, 0.42)))
