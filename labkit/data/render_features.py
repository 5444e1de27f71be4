"""Eyes, brows, nose and mouth of a portrait.

Most shapes lie between two curves y(x): the curves are rows of the raster, so they cost next to nothing.
"""

import torch

from labkit.data.render_head import Head, Skin
from labkit.data.render_pose import Pose
from labkit.data.render_shapes import (
    EYES,
    Planes,
    beyond,
    bump,
    mixed,
    paint,
    palette,
    plain,
    ramp,
    tinted,
    unit,
)

LIPSTICK = plain(178, 30, 58)


def eyes(canvas: Planes, head: Head, pose: Pose, skin: Skin) -> None:
    """Whites, irises, lids and lashes of both eyes."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-0.36, 0.26)
    y, band, mask = pose.y[:, rows], [c[:, rows] for c in canvas], head.mask[:, rows]
    level = pose.face_y(-0.02)
    along = pose.across(level)
    side = torch.where(along < 0, -1.0, 1.0)
    apart = 0.150 + 0.04 * f["eye_spacing"]
    half = 0.074 + 0.022 * f["eye_size"]
    e = (along.abs() - apart) / half
    arch = (1 - e * e).clamp(min=-0.6)
    opened = f["eye_open"] * (1 - 0.18 * f["smile"].clamp(min=0.0))
    height = half * (0.48 + 0.22 * f["eye_size"])
    line = pose.line(level) - 0.006 * e * arch.clamp(min=0.0)
    upper = line + height * (0.62 - 1.42 * opened) * arch
    lower = line + height * (0.62 - 0.04 * f["smile"]) * arch
    soft = 1.3 * px
    inner = (1.15 - e.abs()).clamp(min=0.0) * 7
    opening = torch.minimum(beyond(y, upper, soft), 1 - beyond(y, lower, soft)) * (unit(inner) * mask)

    shadow = f["makeup"] * bump(((e.abs()) * 0.72) ** 2)
    tint = mixed(tinted(skin.shade, (0.8, 0.62, 0.95)), skin.shade, 0.3)
    lid_y = bump(((y - line + 0.055) * (1 / 0.065)) ** 2)
    paint(band, lid_y * (shadow * 0.55) * mask, tint)
    crease = bump((y - (line - height * 1.20 * arch - 0.012)) ** 2 * (1 / (0.016 + px) ** 2))
    paint(band, crease * (0.40 * bump((e * 0.85) ** 2)) * mask, skin.shade)

    white = 0.93 - 0.30 * bump(((y - upper) * (1 / 0.034)) ** 2)
    paint(band, opening, [white, white * 0.975, white * 0.955])
    gaze = -0.20 * pose.sin * half
    ix = (along - side * apart - gaze) * side
    radius = half * 0.54
    iy = y - (line - height * 0.16)
    r2 = (ix * ix + iy * iy) * (1 / (radius * radius))
    iris = unit((1 - r2) * (0.5 * radius / px) + 0.5) * opening
    colour = palette(f["eye_colour"], EYES)
    glow = 0.72 + 0.5 * unit(iy / radius * 0.6 + 0.4) - 0.45 * bump((1 - r2) ** 2 * 6)
    paint(band, iris, [c * glow for c in colour])
    paint(band, unit((0.19 - r2) * (1.1 * radius / px) + 0.5) * opening, plain(12, 10, 12))
    lx, ly, _ = pose.light
    gx, gy = along - side * apart - gaze - 0.4 * radius * lx - 0.1 * radius, iy + 0.36 * radius
    glint = unit((0.30 - torch.sqrt(gx * gx + gy * gy) / radius) * (radius / px) + 0.5)
    paint(band, glint * opening * 0.92, plain(255, 255, 255))

    lash = 0.011 + 0.010 * (1 - f["masculine"]) + 0.008 * f["makeup"]
    thick = (lash + 0.25 * px) * unit((1.22 - e.abs()) * 4) * (0.75 + 0.35 * unit(e))
    stroke = unit((thick - (y - upper).abs()) * (1 / px) + 0.4) * unit((1.22 - e.abs()) * 8)
    paint(band, stroke * mask * 0.92, plain(34, 22, 20))
    under = unit((0.006 - (y - lower).abs()) * (1 / px) + 0.5) * unit((1.05 - e.abs()) * 8)
    paint(band, under * mask * 0.38, tinted(skin.shade, (0.8, 0.7, 0.7)))


def brows(canvas: Planes, head: Head, pose: Pose, hair: Planes) -> None:
    """Two tapered strokes."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-0.48, 0.10)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    level = pose.face_y(-0.145) - 0.012 * f["eye_size"]
    along = pose.across(level).abs()
    b = (along - (0.165 + 0.03 * f["eye_spacing"])) * (1 / 0.115)
    arch = f["brow_arch"]
    lift = (0.022 + 0.042 * arch) * (1 - (b - 0.25) * (b - 0.25)) - 0.012 * (1 - arch) * b
    line = pose.line(level) - lift + 0.014
    taper = unit((1.0 - b) * 1.1) * unit((b + 1.06) * 5)
    thick = (0.013 + 0.030 * f["brow_thickness"]) * taper
    stroke = unit((thick - (y - line).abs()) * (1 / (px + 0.012)) + 0.30) * unit((1.04 - b.abs()) * 6)
    strength = 0.62 + 0.34 * f["brow_thickness"]
    paint(band, stroke * head.mask[:, rows] * strength, hair)


def nose(canvas: Planes, head: Head, pose: Pose, skin: Skin) -> None:
    """Bridge, tip, wings, nostrils, and the shadow that the light casts beside and below."""
    f, px = pose.f, pose.pixel
    lx, ly, _ = pose.light
    rows = pose.rows(-0.32, 0.46)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    tip = pose.face_y(0.155 + 0.035 * 1.0) + 0.022 * (f["nose_point"] - 0.5) + 0.35 * pose.nod
    root = pose.face_y(-0.06)
    t = unit((y - root) / (tip - root))
    wide = 0.034 + (0.036 + 0.044 * f["nose_size"]) * t * t
    stick = 0.055 + 0.045 * f["nose_point"]
    at = pose.spine(y) + pose.width * pose.sin + stick * pose.sin * t
    n = (pose.x - at) / wide
    fade = ramp(y - root, -0.02, 0.10) * ramp(tip + 0.05 - y, 0.0, 0.06)
    n2 = n * n
    ridge = bump(n2 * 1.9)
    flank = n * bump(n2 * 0.30)
    towards = lx + 0.9 * pose.sin
    dark = unit(-flank * towards * 1.25 + 0.06 * bump((n2 - 1.0) ** 2 * 1.4)) * fade
    paint(band, dark * 0.55, skin.shade)
    paint(band, ridge * fade * (0.16 + 0.10 * t), [unit(c * 1.12 + 0.06) for c in skin.lit])

    cx = pose.spine(tip) + (pose.width + stick) * pose.sin
    line = tip + f["roll"] * (pose.x - cx)
    wing = 0.070 + 0.044 * f["nose_size"]
    m = (pose.x - cx) / wing
    below = (y - line - 0.040 + 0.020 * m * m) * (1 / 0.050)
    cast_x = m + 0.55 * lx
    cast = bump(cast_x * cast_x * 0.8) * bump((below - 0.6 + 0.5 * ly) ** 2)
    paint(band, cast * (0.30 - 0.25 * ly).clamp(0.05, 0.6), skin.shade)
    edge = bump((y - line - 0.030 + 0.028 * m * m) ** 2 * (1 / 0.026**2)) * bump((m * 0.85) ** 2)
    paint(band, edge * 0.42, skin.shade)
    hole_x = ((pose.x - cx).abs() - wing * 0.42) / (wing * 0.34)
    hole_y = (y - line - 0.030) * (1 / 0.017)
    hole = bump((hole_x * hole_x + hole_y * hole_y) * 0.55) * (0.72 + 1.2 * unit(-f["pitch"]))
    paint(band, unit(hole), tinted(skin.shade, (0.50, 0.36, 0.36)))
    side_x = (m.abs() - 0.92) * (1 / 0.24)
    side = bump(side_x * side_x) * bump(((y - line - 0.008) * (1 / 0.042)) ** 2)
    paint(band, side * 0.40, skin.shade)
    gx, gy = m * wing - 0.018 * lx, y - line + 0.022
    shine = bump((gx * gx + gy * gy) * (1 / 0.040**2))
    paint(band, shine * (0.20 + 0.15 * f["skin_tone"]), [unit(c * 1.15 + 0.12) for c in skin.lit])


def _lip_colour(pose: Pose, skin: Skin) -> Planes:
    natural = mixed(tinted(skin.base, (0.80, 0.54, 0.53)), [c + 0.0 * c for c in skin.shade], 0.12)
    red = [n * 0 + c for n, c in zip(natural, LIPSTICK)]
    return mixed(natural, red, 0.85 * pose.f["makeup"])


def mouth(canvas: Planes, head: Head, pose: Pose, skin: Skin) -> None:
    """Lips curved by the smile, parted by the opening, over teeth and dark."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(0.08, 0.72)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    smile, gap = f["smile"], f["mouth_open"]
    happy = smile.clamp(min=0.0)
    level = pose.face_y(0.335) + 0.01 * gap
    half = 0.122 + 0.012 * f["lip_fullness"] + 0.040 * happy - 0.030 * gap * (1 - happy)
    m = pose.across(level) / half
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
    lips = torch.minimum(below_top, 1 - below_bottom) * ends
    colour = _lip_colour(pose, skin)
    shade = 0.72 + 0.30 * head.tone[:, rows] + 0.20 * bump((y - bottom + 0.026 * full) ** 2 * (1 / 0.022**2)) * arch
    shade = shade - 0.13 * (1 - beyond(y, line, 0.03))
    paint(band, lips * 0.94, [c * shade for c in colour])

    hole = torch.minimum(beyond(y, inner_top, soft), 1 - beyond(y, inner_bottom, soft)) * ends
    paint(band, hole * ramp(gap, 0.0, 0.06), plain(58, 16, 20))
    teeth_edge = inner_top + (0.010 + 0.105 * part * (0.5 + 0.5 * happy)) * arch
    teeth = hole * (1 - beyond(y, teeth_edge, soft)) * unit((0.86 - m.abs()) * 5)
    shine = 0.95 - 0.20 * m2
    paint(band, teeth * ramp(gap, 0.04, 0.2), [shine, shine * 0.97, shine * 0.93])
    seam = unit((0.006 - (y - line).abs()) * (1 / px) + 0.5) * ends * (1 - ramp(gap, 0.02, 0.14))
    paint(band, seam * 0.75, tinted(skin.shade, (0.55, 0.36, 0.38)))
    corner = bump(((m.abs() - 1.03) * (1 / 0.14)) ** 2) * bump(((y - line) * (1 / 0.030)) ** 2)
    paint(band, corner * (0.30 + 0.25 * happy), skin.shade)
    low = bump((y - bottom - 0.016) ** 2 * (1 / 0.022**2)) * bump(m2 * 0.9)
    paint(band, low * 0.25, skin.shade)


def glasses(canvas: Planes, pose: Pose) -> None:
    """A dark frame of two rounded lenses with a bridge and temples, and a glare on the glass."""
    f, px = pose.f, pose.pixel
    rows = pose.rows(-0.40, 0.32)
    y, band = pose.y[:, rows], [c[:, rows] for c in canvas]
    level = pose.face_y(-0.005)
    along = pose.across(level)
    apart = 0.155 + 0.035 * f["eye_spacing"]
    line = pose.line(level)
    half, tall, thick = 0.125, 0.098, 0.0125 + 0.25 * px
    gx, gy = (along.abs() - apart - 0.008) * (1 / half), (y - line) * (1 / tall)
    gx2, gy2 = gx * gx, gy * gy
    q = gx2 * gx2 + gy2 * gy2 * (0.5 + 0.5 * gy2)
    distance = (q - 1) * (0.27 * tall) / (0.72 + 0.28 * q)
    rim = unit((thick - distance.abs()) * (1 / px) + 0.5)
    bridge_y = bump((y - line + 0.035 - 0.9 * along * along) ** 2 * (1 / (0.018 + px) ** 2))
    bridge = bridge_y * unit((apart - half + 0.012 - along.abs()) * (1 / px))
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

