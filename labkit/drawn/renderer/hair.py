"""Hair behind and in front of the face, beard, moustache and cap of a portrait."""

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.drawn.renderer.head import Head
from labkit.drawn.renderer.pose import Pose
from labkit.drawn.renderer.shapes import (
    CLOTHES,
    HAIR,
    Planes,
    beyond,
    bump,
    mixed,
    paint,
    palette,
    plain,
    ramp,
    smooth,
    unit,
    wave,
)

GREY = plain(206, 204, 202)


def hair_colour(pose: Pose) -> Planes:
    """The person's hair colour, greyed."""
    natural = palette(pose.f["hair_colour"], HAIR)
    grey = [n * 0 + c for n, c in zip(natural, GREY)]
    return mixed(natural, grey, 0.88 * pose.f["grey"])


@dataclass
class Hair:
    """Hair on the raster."""

    colour: Planes  # mid colour, three (B, 1, 1)
    mass: Tensor  # coverage of the whole silhouette (B, S, S)
    coat: Planes  # shaded colour, three (B, S, S)
    dx: Tensor  # distance to the axis of the hair (B, S, S)


def _long(pose: Pose) -> Tensor:
    """0 for hair that ends above the jaw, 1 for hair that falls past the cheeks."""
    return smooth((pose.f["hair_length"] - 0.42) * 4.0)


def hair_of(pose: Pose) -> Hair:
    """Silhouette and shading of all the hair: a dome that falls to the hair's length."""
    f, x, y, px = pose.f, pose.x, pose.y, pose.pixel
    length, volume, curl, long = f["hair_length"], f["hair_volume"], f["hair_wave"], _long(pose)
    present = ramp(length, 0.02, 0.12)
    dome = pose.width * 1.02 + (0.025 + 0.085 * volume + 0.03 * curl) * (0.45 + 0.55 * long) * present
    crown = -pose.top + (0.02 + 0.13 * volume + 0.03 * curl) * present
    above = (-0.08 - y).clamp(min=0.0) / (crown - 0.08)
    a2 = above * above
    down = (y + 0.08).clamp(min=0.0)
    end = 0.02 + 1.02 * (length - 0.22).clamp(min=0.0)
    near_end = unit((y - end + 0.20) * 5) * unit(down * 3) * (0.20 - 0.10 * long)
    ripple = 0.040 * curl * long * wave(y * 2.3 + 0.15) * ramp(y, -0.2, 0.2)
    flare = dome * (1 + 0.16 * down * long - near_end) + ripple
    dx = x - (pose.spine(y) * (1 - 0.6 * unit(down)) - 0.06 * pose.sin)
    u = dx * (1 / flare)
    u2 = u * u
    tips = end + 0.02 * wave(x * 5.5)
    inside = unit((1 - u2 - a2 * (0.72 + 0.28 * a2)) * (0.20 / px) + 0.5)
    mass = inside * ((1 - beyond(y, tips, 0.05 + 1.2 * px)) * present)

    lx, _, _ = pose.light
    swing = curl * wave(y * 2.7 + 0.1)
    lock = u * (1 / (1.04 - 0.70 * a2.clamp(max=1.0)))
    strands = wave(lock * 2.3 + (0.30 * swing + 0.25 * y + 0.2)) * 0.055
    strands = strands + wave(lock * 6.3 + (0.3 * y - 0.45 * swing)) * 0.045
    ring = (above - 0.62) * 2.6 + 0.55 * u2
    tone = (0.42 + 0.14 * a2) + (0.26 * lx - 0.17 * u) * u + strands
    tone = unit(tone + bump(ring * ring) * (0.22 + strands))
    colour = hair_colour(pose)
    return Hair(colour, mass, [tone * (1.55 * c + 0.13) + 0.22 * c for c in colour], dx)


def back_hair(canvas: Planes, hair: Hair, pose: Pose) -> None:
    """The hair behind neck and shoulders, darker towards the neck."""
    inner = bump(((pose.x - 0.4 * pose.spine(pose.y)) / (pose.width * 0.98)) ** 2)
    shade = 0.90 - (0.52 * smooth((pose.y - 0.05) * 3)) * inner
    paint(canvas, hair.mass, [c * shade for c in hair.coat])


def fringe(hair: Hair, head: Head, pose: Pose) -> Tensor:
    """Coverage of the hair before the face (B, S, S), after casting its shadow into the head's tone.

    It is the silhouette without the opening that hairline and cheeks leave.
    """
    f, y, px, long = pose.f, pose.y, pose.pixel, _long(pose)
    level = pose.face_y(-0.30)
    a = pose.at_brows * (1 / 0.36)
    receding = f["receding"]
    temple = bump((a.abs() - 0.62) ** 2 * 5.5)
    rise = 0.02 + 0.20 * receding + 0.11 * receding * temple
    part = 0.045 * a * (1 - a * a * 0.3) * (1 - receding)
    natural = pose.face_y(-0.345) - rise + part + 0.30 * (a * a - 0.45).clamp(min=0.0)
    teeth = 0.020 * wave(a * 2.6 + 0.3) + 0.012 * wave(a * 5.7 + 0.1)
    cut = pose.face_y(-0.175) + teeth - 0.02 * a * a
    drop = unit(f["bangs"] * 1.1)
    hairline = natural + drop * (cut - natural).clamp(min=0.0) + f["roll"] * (pose.x - pose.spine(level))

    side = torch.where(pose.x < pose.spine(level) - 0.06 * pose.sin, -1.0, 1.0)
    t = unit((y + 0.30) * 1.6)
    cheek = pose.width * (0.90 + 0.10 * t * (1 - long) - 0.03 * long * unit(y * 3) - 0.05 * f["hair_volume"] * long)
    k = 1 / (1.4 * px + 0.012)
    reach = (0.25 * side * pose.sin) * k + 0.5
    opening = unit((cheek * k + reach) - hair.dx * (side * k)) * beyond(y, hairline, 1.3 * px + 0.018)
    shadow = 0.32 * ramp(f["hair_length"], 0.02, 0.12)
    head.tone.sub_((1 - beyond(y, hairline - 0.02, 0.16)) * shadow)
    ends = long + (1 - long) * (1 - ramp(y, 0.02, 0.10))
    return hair.mass * (1 - opening) * ends


def _whiskers(pose: Pose, y: Tensor, head: Head, rows: slice) -> Tensor:
    """Brightness of beard hair: the skin's tone with a coarse grain (B, R, S)."""
    fan = head.dx[:, rows] * (1 / (1.3 - 0.8 * unit(y)))
    grain = wave(fan * 11.0 + 0.18 * wave(y * 5.0))
    return 0.38 + 0.50 * head.tone[:, rows] + 0.09 * grain


def beard(canvas: Planes, head: Head, pose: Pose, hair: Planes) -> None:
    """Stubble to full beard, on the chin only or up to the ears."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-0.25, 0.95)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    thick = f["beard"]
    across = pose.at_mouth
    a = across.abs() * (1 / 0.30)
    cover = f["beard_cover"]
    cheek = pose.face_y(0.325) - 0.10 * cover * a * a - 0.62 * (a - 0.86).clamp(min=0.0) * cover
    narrow = unit((0.52 + 0.75 * cover - a) * 5)
    soft = 0.07 + 1.2 * px
    length = 0.20 * (thick - 0.25).clamp(min=0.0)
    grown = pose.chin + length
    dx = head.dx[:, rows]
    low = unit(y / grown * 0.5) * 2
    w = pose.width * (1.0 + 0.05 * thick)
    outline = dx * dx * ((1 + (0.55 - 0.4 * f["jaw"]) * low * low) / (w * w)) + low * low * (0.5 + 0.5 * low * low)
    shape = unit((1 - outline) * (0.14 / (px + 0.012)) + 0.5)
    lip = (across * (1 / 0.150)) ** 2
    ly = (y - pose.face_y(0.352) - 0.035 * f["mouth_open"]) * (1 / (0.078 + 0.05 * f["mouth_open"]))
    bare = unit((lip + ly * ly - 1) * 1.6 + 0.15)
    density = ramp(thick, 0.0, 0.5) * 0.55 + ramp(thick, 0.2, 0.6) * 0.40
    alpha = shape * beyond(y, cheek, soft) * (bare * (narrow * density))
    tone = _whiskers(pose, y, head, rows)
    paint(band, alpha, [(1.25 * c + 0.05) * tone + 0.35 * c for c in hair])


def moustache(canvas: Planes, head: Head, pose: Pose, hair: Planes) -> None:
    """Two wings between nose and lip."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(0.02, 0.58)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    level = pose.face_y(0.272)
    size = f["moustache"]
    half = 0.125 + 0.045 * size
    m = pose.at_mouth / half
    m2 = m * m
    line = pose.line(level) + 0.042 * m2 - 0.03 * f["smile"] * (m2 - 0.4)
    thick = (0.016 + 0.034 * size) * unit(1.02 - m2) * (1 - 0.35 * bump(m2 * 30)) * 1.15
    stroke = unit((thick - (y - line).abs()) * (1 / (px + 0.016)) + 0.35) * (
        unit((1.0 - m2) * 4) * (0.95 * ramp(size, 0.0, 0.35))
    )
    tone = 0.40 + 0.45 * head.tone[:, rows]
    paint(band, stroke, [(1.25 * c + 0.05) * tone + 0.35 * c for c in hair])


def hat(canvas: Planes, pose: Pose) -> None:
    """A knitted cap with a turned-up brim, in a colour that goes with the clothes."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-1.0, -0.05)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    lx, _, _ = pose.light
    level = pose.face_y(-0.30)
    brim = pose.line(level) + 0.06 * (pose.at_brows * (1 / 0.4)) ** 2 - 0.02
    dx = pose.x - (pose.spine(y) - 0.03 * pose.sin)
    w = pose.width * 1.06 + 0.055 * f["hair_volume"]
    above = (-0.08 - y).clamp(min=0.0) / (0.66 + 0.06 * f["face_height"])
    u = dx / w
    a2 = above * above
    u2 = u * u
    shape = unit((1 - u2 - a2 * (0.72 + 0.28 * a2)) * (0.22 / px) + 0.5) * (
        (1 - beyond(y, brim, 1.4 * px)) * f["hat"]
    )
    fold = beyond(y, brim - 0.13, 1.4 * px)
    knit = wave(u * 9.0) * (0.05 + 0.05 * fold)
    crease = (y - brim + 0.14) * (1 / 0.03)
    tone = (0.80 + 0.30 * lx * u) - 0.30 * u2 + 0.12 * fold + knit - 0.22 * bump(crease * crease)
    colour = palette(1 - f["clothes"], CLOTHES)
    paint(band, shape, [c * tone for c in colour])
