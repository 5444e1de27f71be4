"""Eyes, brows, nose and mouth of a portrait.

Most shapes lie between two curves y(x): the curves are rows of the raster, so they cost next to nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.drawn.renderer.head import Head, Skin
from labkit.drawn.renderer.pose import Pose
from labkit.drawn.renderer.shapes import EYES, Planes, beyond, bump, mixed, paint, palette, plain, ramp, tinted, unit

LIPSTICK = plain(178, 30, 58)


@dataclass
class Eyes:
    """Curves of both eyes: position e in each (−1 inner to 1 outer corner), and the lids' heights, all (B, 1, S)."""

    along: Tensor
    side: Tensor
    e: Tensor
    line: Tensor
    upper: Tensor
    lower: Tensor
    arch: Tensor
    half: Tensor
    apart: Tensor
    height: Tensor


def eyes_of(pose: Pose) -> Eyes:
    """Place the eyes; the lids are parabolas, and a smile narrows them a little."""
    f = pose.f
    level = pose.face_y(-0.02)
    along = pose.at_eyes
    apart = 0.150 + 0.04 * f["eye_spacing"]
    half = 0.074 + 0.022 * f["eye_size"]
    height = half * (0.50 + 0.24 * f["eye_size"])
    e = (along.abs() - apart) / half
    arch = (1 - e * e).clamp(min=-0.6)
    opened = f["eye_open"] * (1 - 0.16 * f["smile"].clamp(min=0.0))
    line = pose.line(level) - 0.006 * e * arch.clamp(min=0.0)
    upper = line + height * (0.62 - 1.46 * opened) * arch
    lower = line + height * (0.62 - 0.04 * f["smile"]) * arch
    return Eyes(along, torch.where(along < 0, -1.0, 1.0), e, line, upper, lower, arch, half, apart, height)


def eye_relief(head: Head, eye: Eyes, pose: Pose) -> None:
    """The crease above each upper lid."""
    rows = pose.rows(-0.30, 0.16)
    crease_y = (pose.y[:, rows] - (eye.line - eye.height * 1.25 * eye.arch - 0.012)) * (1 / (0.018 + pose.pixel))
    head.tone[:, rows].sub_(bump(crease_y * crease_y) * (0.42 * bump(eye.e * eye.e * 0.7)))


def eyes(canvas: Planes, head: Head, eye: Eyes, pose: Pose, skin: Skin) -> None:
    """Eye shadow, whites, irises, and in one dark coat pupils, lashes and lower lids; then a glint."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-0.26, 0.20)
    y, band, mask = pose.y[:, rows], [c[:, rows] for c in canvas], head.mask[:, rows]
    e, reach = eye.e, eye.e.abs()
    lid_y = (y - eye.line + 0.055) * (1 / 0.065)
    powder = (0.60 * f["makeup"]) * bump(e * e * 0.52)
    paint(band, bump(lid_y * lid_y) * powder * mask, tinted(skin.shade, (0.92, 0.66, 0.92)))

    soft = 1.3 * px
    over, under = beyond(y, eye.upper, soft), beyond(y, eye.lower, soft)
    opening = (over - under).clamp(min=0.0) * (unit((1.15 - reach) * 7) * mask)
    shadow_y = (y - eye.upper) * (1 / 0.036)
    white = 0.93 - 0.30 * bump(shadow_y * shadow_y)
    paint(band, opening, [white, white * 0.975, white * 0.955])

    gaze = -0.20 * pose.sin * eye.half
    ix = eye.along - eye.side * eye.apart - gaze
    radius = eye.half * 0.54
    iy = y - (eye.line - eye.height * 0.16)
    r2 = (ix * ix + iy * iy) * (1 / (radius * radius))
    iris = unit((1 - r2) * (0.5 * radius / px) + 0.5) * opening
    glow = 0.90 + iy * (0.5 / radius) - 0.35 * bump((1 - r2) * (1 - r2) * 6)
    paint(band, iris, [c * glow for c in palette(f["eye_colour"], EYES)])

    lash = 0.009 + 0.008 * (1 - f["masculine"]) + 0.006 * f["makeup"] + 0.25 * px
    tips = unit((1.22 - reach) * 8)
    thick = lash * unit((1.22 - reach) * 4) * (0.75 + 0.35 * unit(e))
    lashes = unit((thick - (y - eye.upper).abs()) * (1 / px) + 0.4) * (0.92 * tips)
    rim = unit((0.006 - (y - eye.lower).abs()) * (1 / px) + 0.5) * (0.34 * unit((1.05 - reach) * 8))
    pupil = unit((0.19 - r2) * (1.1 * radius / px) + 0.5) * opening
    dark = torch.maximum(torch.maximum(lashes, rim) * mask, pupil)
    paint(band, dark, plain(26, 17, 16))
    gx, gy = ix - 0.4 * radius * pose.light[0] - 0.1 * radius, iy + 0.36 * radius
    glint = unit((0.09 * radius * radius - gx * gx - gy * gy) * (1.7 / (radius * px)) + 0.5)
    paint(band, glint * (opening * 0.92), plain(255, 255, 255))


def brows(canvas: Planes, head: Head, pose: Pose, hair: Planes) -> None:
    """Two tapered strokes."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-0.40, 0.02)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    level = pose.face_y(-0.145) - 0.012 * f["eye_size"]
    along = pose.at_brows.abs()
    b = (along - (0.165 + 0.03 * f["eye_spacing"])) * (1 / 0.115)
    arch = f["brow_arch"]
    lift = (0.022 + 0.042 * arch) * (1 - (b - 0.25) * (b - 0.25)) - 0.012 * (1 - arch) * b
    line = pose.line(level) - lift + 0.014
    taper = unit((1.0 - b) * 1.1) * unit((b + 1.06) * 5)
    thick = (0.013 + 0.030 * f["brow_thickness"]) * taper
    ends = unit((1.04 - b.abs()) * 6) * (0.62 + 0.34 * f["brow_thickness"])
    stroke = unit((thick - (y - line).abs()) * (1 / (px + 0.012)) + 0.30) * ends
    paint(band, stroke * head.mask[:, rows], hair)


@dataclass
class Nose:
    """Anchors of the nose: the middle of its tip, the tip's level line and height, the wings' half-width."""

    x: Tensor
    line: Tensor
    tip: Tensor
    wing: Tensor
    stick: Tensor


def nose_of(pose: Pose) -> Nose:
    """The nose sticks out of the face, so the yaw moves its tip further than the cheeks."""
    f = pose.f
    tip = pose.face_y(0.188) + 0.026 * (f["nose_point"] - 0.5) + 0.35 * pose.nod
    stick = 0.055 + 0.045 * f["nose_point"]
    x = pose.spine(tip) + (pose.width + stick) * pose.sin
    return Nose(x, tip + f["roll"] * (pose.x - x), tip, 0.066 + 0.048 * f["nose_size"], stick)


def nose_relief(head: Head, nose: Nose, pose: Pose) -> None:
    """Model bridge, tip and wings into the head's tone, with the shadow that the light casts below."""
    f = pose.f
    lx, ly, _ = pose.light
    rows = pose.rows(-0.24, 0.40)
    y, tone = pose.y[:, rows], head.tone[:, rows]
    root = pose.face_y(-0.06)
    t = unit((y - root) / (nose.tip - root))
    wide = 0.034 + (0.030 + 0.050 * f["nose_size"]) * t * t
    at = pose.spine(y) + (pose.width + nose.stick * t) * pose.sin
    n = (pose.x - at) / wide
    fade = ramp(y - root, -0.02, 0.10) * ramp(nose.tip + 0.05 - y, 0.0, 0.06)
    towards = lx + 0.9 * pose.sin
    bell = bump(n * n * 0.33)
    tone.add_((n * (0.42 * towards) - 0.07 * n * n + (0.12 + 0.06 * t)) * bell * fade)

    m = (pose.x - nose.x) / nose.wing
    down = y - nose.line
    cast_x, cast_y = m + 0.55 * lx, (down - 0.040) * (1 / 0.045)
    cast = bump(cast_x * cast_x * 0.8) * (0.42 - 0.28 * ly).clamp(0.05, 0.7)
    edge_x, edge_y = bump(m * m * 0.72) * 0.40, (down - 0.026 + 0.022 * m * m) * (1 / 0.026)
    side_x = (m.abs() - 0.95) * (1 / 0.26)
    side_y = (down - 0.004) * (1 / 0.045)
    shade = cast * bump(cast_y * cast_y) + edge_x * bump(edge_y * edge_y)
    shade = shade + (bump(side_x * side_x) * 0.34) * bump(side_y * side_y)
    tone.sub_(shade)
    gx, gy = (m * nose.wing - 0.018 * lx) * (1 / 0.042), (down + 0.024) * (1 / 0.042)
    tone.add_(bump(gx * gx) * (0.20 + 0.25 * f["skin_tone"]) * bump(gy * gy))


def nostrils(canvas: Planes, nose: Nose, pose: Pose, skin: Skin) -> None:
    """Two dark ovals, more open when the head is raised."""
    rows = pose.rows(0.02, 0.36)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    hole_x = ((pose.x - nose.x).abs() - nose.wing * 0.42) / (nose.wing * 0.34)
    hole_y = (y - nose.line - 0.028) * (1 / 0.017)
    hole = bump((hole_x * hole_x + hole_y * hole_y) * 0.55) * (0.66 + 1.1 * unit(-pose.f["pitch"]))
    paint(band, hole, tinted(skin.shade, (0.52, 0.38, 0.38)))


def _lip_colour(pose: Pose, skin: Skin) -> Planes:
    natural = mixed(tinted(skin.base, (0.80, 0.54, 0.53)), [c + 0.0 * c for c in skin.shade], 0.12)
    red = [n * 0 + c for n, c in zip(natural, LIPSTICK)]
    return mixed(natural, red, 0.85 * pose.f["makeup"])


def mouth(canvas: Planes, head: Head, pose: Pose, skin: Skin) -> None:
    """Lips curved by the smile, parted by the opening, over teeth and dark."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(0.10, 0.66)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    smile, gap = f["smile"], f["mouth_open"]
    happy = smile.clamp(min=0.0)
    level = pose.face_y(0.335) + 0.01 * gap
    half = 0.122 + 0.012 * f["lip_fullness"] + 0.040 * happy - 0.030 * gap * (1 - happy)
    m = pose.at_mouth / half
    m2 = m * m
    arch = (1 - m2).clamp(min=-0.5)
    line = pose.line(level) - smile * 0.044 * (m2.clamp(max=1.6) - 0.45)
    full = 0.6 + 0.8 * f["lip_fullness"]
    bow = 1 - 0.30 * bump(m2 * 9)
    thin = 1 - 0.22 * happy
    part = gap * (0.5 - 0.1 * happy)
    inner_top = line - 0.05 * part * arch
    inner_bottom = line + 0.24 * part * arch
    top = inner_top - (0.040 * thin * full) * bow * arch
    bottom = inner_bottom + (0.056 * thin * full) * arch
    soft = 1.3 * px + 0.006
    ends = unit((1.04 - m.abs()) * 9)
    below_top, below_bottom = beyond(y, top, soft), beyond(y, bottom, soft)
    lips = (below_top - below_bottom).clamp(min=0.0) * (0.94 * ends)
    colour = _lip_colour(pose, skin)
    gloss_y = (y - bottom + 0.026 * full) * (1 / 0.024)
    shade = 0.72 + 0.30 * head.tone[:, rows] + bump(gloss_y * gloss_y) * (0.20 * arch)
    shade = shade - 0.13 * (1 - beyond(y, line, 0.03))
    paint(band, lips, [c * shade for c in colour])

    hole = (beyond(y, inner_top, soft) - beyond(y, inner_bottom, soft)).clamp(min=0.0) * (ends * ramp(gap, 0.0, 0.06))
    paint(band, hole, plain(58, 16, 20))
    teeth_edge = inner_top + (0.010 + 0.105 * part * (0.5 + 0.5 * happy)) * arch
    teeth = hole * (1 - beyond(y, teeth_edge, soft)) * (unit((0.86 - m.abs()) * 5) * ramp(gap, 0.04, 0.2))
    shine = 0.95 - 0.20 * m2
    paint(band, teeth, [shine, shine * 0.97, shine * 0.93])
    seam = unit((0.006 - (y - line).abs()) * (1 / px) + 0.5) * (0.75 * ends * (1 - ramp(gap, 0.02, 0.14)))
    paint(band, seam, tinted(skin.shade, (0.55, 0.36, 0.38)))
    corner_y = (y - line) * (1 / 0.030)
    corner = bump(corner_y * corner_y) * ((0.30 + 0.25 * happy) * bump(((m.abs() - 1.03) * (1 / 0.14)) ** 2))
    paint(band, corner, skin.shade)


def glasses(canvas: Planes, pose: Pose) -> None:
    """A dark frame of two rounded lenses with a bridge and temples, and a glare on the glass."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-0.30, 0.24)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    level = pose.face_y(-0.005)
    along = pose.at_eyes
    apart = 0.155 + 0.035 * f["eye_spacing"]
    line = pose.line(level)
    half, tall, thick = 0.125, 0.098, 0.0125 + 0.25 * px
    gx, gy = (along.abs() - apart - 0.008) * (1 / half), (y - line) * (1 / tall)
    gx2, gy2 = gx * gx, gy * gy
    q = gx2 * gx2 + gy2 * gy2 * (0.5 + 0.5 * gy2)
    distance = (q - 1) * (0.27 * tall) / (0.72 + 0.28 * q)
    rim = unit((thick - distance.abs()) * (1 / px) + 0.5)
    bridge_y = (y - (line - 0.035 + 0.9 * along * along)) * (1 / (0.018 + px))
    bridge = bump(bridge_y * bridge_y) * unit((apart - half + 0.012 - along.abs()) * (1 / px))
    temple_y = unit((thick - (y - line + 0.040).abs()) * (1 / px) + 0.5)
    reach = pose.width * 1.04 - (pose.x - pose.spine(level)).abs()
    temple = temple_y * (unit((along.abs() - apart - half) * (1 / px)) * unit(reach * (1 / px)))
    worn = f["glasses"]
    lens = unit(-distance * (1 / px) + 0.5)
    stripe = gx * 0.8 + gy + 0.35
    glare = lens * (0.06 + 0.26 * bump(stripe * stripe * 7))
    paint(band, glare * worn, plain(235, 242, 250))
    frame = torch.maximum(torch.maximum(rim, bridge), temple)
    paint(band, frame * (0.93 * worn), plain(34, 30, 34))
