"""Hair behind and in front of the face, beard, moustache and cap of a portrait."""

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.data.render_head import Head
from labkit.data.render_pose import Pose
from labkit.data.render_shapes import (
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
    tinted,
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
    """Hair on the raster.

    Attributes:
        colour: mid colour, three (B, 1, 1).
        mass: coverage of the whole silhouette (B, S, S).
        tone: brightness with strands and sheen (B, S, S).
        dx: distance to the axis of the hair (B, S, S).
    """

    colour: Planes
    mass: Tensor
    tone: Tensor
    dx: Tensor


def hair_of(pose: Pose) -> Hair:
    """Silhouette and shading of all the hair: a dome that falls to the hair's length."""
    f, x, y, px = pose.f, pose.x, pose.y, pose.pixel
    length, volume, curl = f["hair_length"], f["hair_volume"], f["hair_wave"]
    present = ramp(length, 0.02, 0.12)
    long = smooth((length - 0.42) * 4.0)
    dome = pose.width * 1.02 + (0.022 + 0.08 * volume + 0.03 * curl) * (0.45 + 0.55 * long) * present
    crown = (pose.middle - pose.top) + (0.02 + 0.13 * volume + 0.03 * curl) * present
    above = (pose.middle - 0.08 - y).clamp(min=0.0) / (crown - 0.08)
    down = (y - pose.middle + 0.08).clamp(min=0.0)
    end = pose.middle + 0.02 + 0.02 * f["masculine"] * 0 + 1.02 * (length - 0.22).clamp(min=0.0)
    ripple = 0.040 * curl * long * wave(y * 2.3 + 0.15) * ramp(y, -0.2, 0.2)
    near_end = unit((y - end + 0.20) * 5) * (0.10 + 0.10 * (1 - long))
    flare = dome * (1 + 0.16 * down * long) - near_end * unit(down * 3) * dome + ripple
    dx = x - (pose.spine(y) * (1 - 0.6 * unit(down)) - 0.06 * pose.sin)
    u = dx / flare
    q = u * u + above * above
    lock = u * (1 / (1.04 - 0.70 * above.clamp(max=1.0) * above.clamp(max=1.0)))
    swing = curl * wave(y * 2.7 + 0.1)
    strands = wave(lock * 2.3 + 0.30 * swing + 0.25 * y + 0.2) + 0.6 * wave(lock * 5.3 - 0.35 * swing + 0.3 * y)
    tips = end + 0.02 * wave(x * 5.5) - 0.22 * (1 - long) * ramp(-x * torch.where(pose.sin < 0, 1.0, -1.0), 0, 9)
    mass = unit((1 - q) * (0.20 / px) + 0.5) * (1 - beyond(y, tips, 0.05 + 1.2 * px))
    lx, ly, lz = pose.light
    fine = wave(lock * 10.7 + 0.5 * swing - 0.4 * y)
    sheen = bump(((above - 0.62) * 2.6 + 0.55 * u * u) ** 2)
    tone = 0.42 + 0.22 * lx * u + 0.14 * above * above + 0.055 * strands + 0.035 * fine
    tone = tone + sheen * (0.22 + 0.10 * lx * u + 0.05 * fine) - 0.16 * u * u
    return Hair(hair_colour(pose), mass * present, unit(tone), dx)


def _coat(hair: Hair, gain: float = 1.0) -> Planes:
    """Colour of hair from its tone: dark hair keeps a visible sheen."""
    t = hair.tone * (1.55 * gain) + 0.22
    s = hair.tone * (0.13 * gain)
    return [c * t + s for c in hair.colour]


def back_hair(canvas: Planes, hair: Hair, pose: Pose) -> None:
    """The hair behind neck and shoulders, darker towards the neck."""
    inner = bump((hair.dx / (pose.width * 0.95)) ** 2) * smooth((pose.y - 0.05) * 3)
    paint(canvas, hair.mass, [c * (1 - 0.55 * inner) for c in _coat(hair, 0.8)])


def front_hair(canvas: Planes, hair: Hair, head: Head, pose: Pose) -> None:
    """The hair before the face: all of the silhouette but the opening that the hairline leaves."""
    f, y, px = pose.f, pose.y, pose.pixel
    level = pose.face_y(-0.30)
    across = pose.across(level)
    a = across * (1 / 0.36)
    receding, bangs = f["receding"], f["bangs"]
    temple = bump((a.abs() - 0.62) ** 2 * 5.5)
    rise = 0.02 + 0.20 * receding + 0.11 * receding * temple
    part = 0.045 * a * (1 - a * a * 0.3) * (1 - receding)
    natural = pose.face_y(-0.345) - rise + part + 0.30 * (a * a - 0.45).clamp(min=0.0)
    teeth = 0.020 * wave(a * 2.6 + 0.3) + 0.012 * wave(a * 5.7 + 0.1)
    fringe = pose.face_y(-0.175) + teeth - 0.02 * a * a
    drop = unit(bangs * 1.1)
    hairline = natural + drop * (fringe - natural).clamp(min=0.0) + pose.f["roll"] * (pose.x - pose.spine(level))
    long = smooth((f["hair_length"] - 0.42) * 4.0)
    side = torch.where(hair.dx < 0, -1.0, 1.0)
    t = unit((y + 0.30) * 1.6)
    cheek = pose.width * (0.90 + 0.10 * t * (1 - long) - 0.03 * long * unit(y * 3) - 0.05 * f["hair_volume"] * long)
    turn = side * pose.sin * 0.20
    opening_x = unit((cheek + turn + 0.05 * pose.sin * side - hair.dx * side) * (1 / (1.4 * px + 0.012)) + 0.5)
    opening_y = beyond(y, hairline, 1.3 * px + 0.018)
    opening = opening_x * opening_y
    burn = 1 - ramp(y, 0.02, 0.10) * (1 - long)
    cover = hair.mass * (1 - opening) * (long + (1 - long) * burn)
    shadow = head.mask * (beyond(y, hairline - 0.02, 0.16) - 1) * -1
    paint(canvas, shadow * opening_y * (0.35 * ramp(f["hair_length"], 0.02, 0.12)), tinted(hair.colour, (0.6, 0.5, 0.5)))
    paint(canvas, cover, _coat(hair))


def _whiskers(pose: Pose, y: Tensor, head: Head, rows: slice) -> Tensor:
    """Brightness of beard hair: the skin's tone with a coarse grain (B, R, S)."""
    fan = head.dx[:, rows] * (1 / (1.3 - 0.8 * unit(y)))
    grain = wave(fan * 15.0 + 0.35 * wave(y * 5.0)) * 0.6 + wave(fan * 7.0 - 0.8 * y + 0.3) * 0.4
    return 0.35 + 0.45 * unit(head.tone[:, rows]) + 0.11 * grain


def beard(canvas: Planes, head: Head, pose: Pose, hair: Planes) -> None:
    """Stubble to full beard, on the chin only or up to the ears."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-0.25, 0.95)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    thick = f["beard"]
    level = pose.face_y(0.33)
    across = pose.across(level)
    a = across.abs() * (1 / 0.30)
    cover = f["beard_cover"]
    cheek = pose.face_y(0.325) - 0.10 * cover * a * a - 0.62 * (a - 0.86).clamp(min=0.0) * cover
    narrow = unit((0.52 + 0.75 * cover - a) * 5)
    soft = 0.07 + 1.2 * px
    length = 0.20 * (thick - 0.25).clamp(min=0.0)
    grown = pose.chin + length
    dx = head.dx[:, rows]
    low = unit((y - pose.middle) / (grown - pose.middle) * 0.5) * 2
    w = pose.width * (1.0 + 0.05 * thick)
    outline = dx * dx * ((1 + (0.55 - 0.4 * f["jaw"]) * low * low) / (w * w)) + low * low * (0.5 + 0.5 * low * low)
    shape = unit((1 - outline) * (0.14 / (px + 0.012)) + 0.5)
    lip = (across * (1 / 0.150)) ** 2 + 0.0
    ly = (y - pose.face_y(0.352) - 0.035 * f["mouth_open"]) * (1 / (0.078 + 0.05 * f["mouth_open"]))
    bare = unit((lip + ly * ly - 1) * 1.6 + 0.15)
    density = ramp(thick, 0.0, 0.5) * 0.55 + ramp(thick, 0.2, 0.6) * 0.40
    alpha = shape * beyond(y, cheek, soft) * narrow * bare * density
    tone = _whiskers(pose, y, head, rows)
    paint(band, alpha, [c * (0.35 + 1.25 * tone) + 0.05 * tone for c in hair])


def moustache(canvas: Planes, head: Head, pose: Pose, hair: Planes) -> None:
    """Two wings between nose and lip."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(0.02, 0.58)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    level = pose.face_y(0.272)
    size = f["moustache"]
    half = 0.125 + 0.045 * size
    m = pose.across(level) / half
    m2 = m * m
    line = pose.line(level) + 0.042 * m2 - 0.03 * f["smile"] * (m2 - 0.4)
    thick = (0.016 + 0.034 * size) * unit(1.02 - m2) * (1 - 0.35 * bump(m2 * 30)) * 1.15
    stroke = unit((thick - (y - line).abs()) * (1 / (px + 0.016)) + 0.35) * unit((1.0 - m2) * 4)
    tone = _whiskers(pose, y, head, rows)
    paint(band, stroke * ramp(size, 0.0, 0.35) * 0.95, [c * (0.35 + 1.25 * tone) + 0.05 * tone for c in hair])


def hat(canvas: Planes, pose: Pose) -> None:
    """A knitted cap with a turned-up brim, in a colour that goes with the clothes."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-1.0, 0.1)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    lx, _, _ = pose.light
    level = pose.face_y(-0.30)
    brim = pose.line(level) + 0.06 * (pose.across(level) * (1 / 0.4)) ** 2 - 0.02
    dx = pose.x - (pose.spine(y) - 0.03 * pose.sin)
    w = pose.width * 1.06 + 0.055 * f["hair_volume"]
    above = (-0.08 - y).clamp(min=0.0) / (0.66 + 0.06 * f["face_height"])
    u = dx / w
    q = u * u + above * above
    shape = unit((1 - q) * (0.22 / px) + 0.5) * (1 - beyond(y, brim, 1.4 * px))
    fold = beyond(y, brim - 0.13, 1.4 * px)
    knit = wave(u * 9.0) * (0.05 + 0.05 * fold)
    tone = 0.80 + 0.30 * lx * u - 0.30 * u * u + 0.12 * fold + knit
    tone = tone - 0.22 * bump((y - brim + 0.14) ** 2 * (1 / 0.03**2))
    colour = palette(1 - f["clothes"], CLOTHES)
    paint(band, shape * f["hat"], [c * tone for c in colour])
