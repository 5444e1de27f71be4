"""Check of paths between two latents, straight and along the arc (Shoemake, 1985)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from labkit.checking import (
    TOLERANCE,
    Function,
    Hint,
    Missed,
    Property,
    as_tensor,
    close,
    dtype,
    evaluate,
    normal,
    size,
    untouched,
    weak,
)

FEATURES, STEPS = 6, 10
ANGLES = (8.0, 50.0, 90.0, 125.0, 178.5)  # small, acute, right, obtuse, nearly opposite
OPPOSITE = 179.7  # float32 has no more digits of its sine
RADIUS = 3.1  # its square is off in few bits
RADII = RADIUS, 1e3 * RADIUS, 1e-3 * RADIUS
WEIGHTS = "weights are sin((1 − w)Ω)/sin Ω and sin(wΩ)/sin Ω, with Ω = acos of the dot product over both lengths."
Ends = tuple[Tensor, Tensor]
LINEAR, SPHERICAL = "the straight path", "the spherical path"


def interpolation(linear: Function, spherical: Function) -> list[Property]:
    """Properties of two functions (start (d,), end (d,), steps) → path (steps, d), both end points included.

    Args:
        linear: points evenly spaced on the straight line.
        spherical: points at even angles on the arc.
    """

    def both(ends: Ends, steps: int = STEPS) -> list[tuple[str, Tensor]]:
        return [(name, _walk(function, name, ends, steps)) for function, name in _named(linear, spherical)]

    def sound(ends: Ends) -> list[tuple[str, Tensor]]:
        return [(name, _sound(name, points)) for name, points in both(ends)]

    def straight() -> Tensor:
        return _sound(LINEAR, _walk(linear, LINEAR, _apart(), STEPS))

    def arcs() -> list[Tensor]:
        angles = (*ANGLES, OPPOSITE) if dtype() == torch.float64 else ANGLES
        ends = [_on_sphere(0, angle, radius) for radius in RADII for angle in angles]
        return [_sound(SPHERICAL, _walk(spherical, SPHERICAL, each, STEPS)) for each in ends]

    return evaluate(
        {
            "both give as many points as asked, (steps, d)": weak(
                lambda: (
                    _shapes(both)
                    or untouched(_apart(), lambda *ends: linear(*ends, STEPS))
                    or untouched(_apart(), lambda *ends: spherical(*ends, STEPS))
                )
            ),
            "both end points are included": lambda: _first(
                lambda angle: _ends(sound(_on_sphere(0, angle)), _on_sphere(0, angle)), ANGLES
            ),
            "the straight path is evenly spaced": weak(lambda: _even(straight())),
            "the spherical path keeps the radius of its ends": lambda: _judged(_radius, arcs()),
            "the spherical path turns by equal angles": weak(lambda: _judged(_angles, arcs())),
            "swapped ends give the same path backwards": weak(lambda: _backwards(sound)),
            "ends in one direction are no problem": weak(lambda: _parallel(both)),
        }
    )


def _named(linear: Callable, spherical: Callable) -> tuple[tuple[Callable, str], ...]:
    return (linear, LINEAR), (spherical, SPHERICAL)


def _walk(function: Function, name: str, ends: Ends, steps: int) -> Tensor:
    points = as_tensor(function(ends[0].clone(), ends[1].clone(), steps), name).detach()
    if points.ndim != 2:
        raise Missed(f"{name} has shape {tuple(points.shape)}, not (steps, d).")
    return points


def _sound(name: str, points: Tensor) -> Tensor:
    """The path as (steps, d), also if it is transposed: that has a property of its own."""
    if not bool(points.isfinite().all()):
        raise Missed(
            f"{name} is NaN between ordinary points: the cosine of Ω is the dot product divided by both lengths."
        )
    return points.T if points.shape == (FEATURES, STEPS) else points


def _on_sphere(seed: int, degrees: float = 50.0, radius: float = RADIUS) -> Ends:
    """Two directions at an angle, scaled to one radius: a path that takes them for unit vectors goes wrong."""
    a, b = normal(2, FEATURES, seed=seed)
    a = a / a.norm()
    across = b - (a @ b) * a
    angle = math.radians(degrees)
    return radius * a, radius * (math.cos(angle) * a + math.sin(angle) * across / across.norm())


def _first(judge: Callable[[Any], "str | None"], cases: Iterable[Any]) -> str | None:
    """The first hint that a path or an angle gets."""
    return next((hint for case in cases if (hint := judge(case))), None)


def _judged(judge: Callable[[Tensor], Hint | None], paths: list[Tensor]) -> Hint | None:
    """The first hint, or that Ω is wrong: at a right angle its cosine is 0, whatever it is divided by."""
    if judge(paths[ANGLES.index(50.0)]) and not judge(paths[ANGLES.index(90.0)]):
        why = "Ω is wrong: its cosine is the dot product divided by both lengths."
        return Hint("between ends at a right angle the path is right, at 50° it is not.", why, WEIGHTS)
    return _first(judge, paths)


def _apart() -> Ends:
    a, b = normal(2, FEATURES, seed=1)
    return a, 2 * b


def _shapes(both: Callable) -> str | None:
    for steps in (2, 5, size(70, 120)):
        for name, points in both(_apart(), steps):
            if points.shape == (FEATURES, steps):
                return f"{name} is transposed: one row per point, (steps, d)."
            if points.shape != (steps, FEATURES):
                return f"{name} has shape {tuple(points.shape)} for {steps} steps and d = {FEATURES}."
    return None


def _ends(paths: list[tuple[str, Tensor]], ends: Ends) -> str | None:
    start, end = ends
    for name, points in paths:
        first, last = points[0], points[-1]
        if close(first, end) and close(last, start):
            return f"{name} runs from end to start: the weight of end grows from 0 to 1."
        if not close(first, start):
            return f"{name} does not begin at start: its first weight must be 0."
        if not close(last, end):
            return f"{name} stops short of end: arange leaves out its last value; use torch.linspace(0, 1, steps)."
    return None


def _even(points: Tensor) -> str | None:
    steps = points.diff(dim=0)
    if close(steps, steps.mean(0).expand_as(steps)):
        return None
    return "its steps differ: (1 - w) * start + w * end with evenly spaced weights w."


def _radius(points: Tensor) -> Hint | None:
    wanted = min(RADII, key=lambda radius: abs(math.log(radius / points[0].norm().clamp(min=1e-9))))
    points, radius = points * RADIUS / wanted, points.norm(dim=1) * RADIUS / wanted
    # Between nearly opposite ends float32, which is right too, has fewer digits.
    opposite = torch.cosine_similarity(points[0], points[-1], dim=0) < -0.99
    if close(radius, torch.full_like(radius, RADIUS), 1e-3 if opposite else TOLERANCE):
        return None
    shares = torch.linspace(0, 1, len(points), dtype=points.dtype)[:, None]
    if close(points, torch.lerp(points[:1], points[-1:], shares), 0.01):
        where = f"ends of length {RADIUS}, but on the way it is {radius.min():.2f}."
        return Hint(where, "that is the straight line, which cuts through the ball.", WEIGHTS)
    where = f"ends of length {RADIUS}, but on the way it is {radius.min():.2f} to {radius.max():.2f}."
    return Hint(where, "is Ω wrong, the angle between the ends, or a weight of theirs?", WEIGHTS)


def _angles(points: Tensor) -> Hint | None:
    unit = points / points.norm(dim=1, keepdim=True)
    turns = (unit[1:] * unit[:-1]).sum(1).clamp(-1, 1).acos()
    if close(turns, turns.mean().expand_as(turns), 1e-4):
        return None
    return Hint(
        f"its steps turn by {math.degrees(turns.min()):.1f}° to {math.degrees(turns.max()):.1f}°.",
        "the straight line does not turn evenly, even if it is scaled to the right length.",
        WEIGHTS,
    )


def _backwards(sound: Callable) -> str | None:
    start, end = _on_sphere(2)
    # Ends of two lengths: there a cosine divided by the wrong one shows.
    for other in (end, 2 * end):
        for (name, forth), (_, back) in zip(sound((start, other)), sound((other, start)), strict=True):
            if not close(forth, back.flip(0)):
                hint = f"{name} from end to start is not start to end backwards: at w and 1 − w the ends change roles"
                return hint + (", and the cosine is divided by both lengths." if name == SPHERICAL else ".")
    return None


def _parallel(both: Callable) -> str | None:
    for seed in range(20):
        start = normal(FEATURES, seed=seed)
        for end in (start, 2 * start, -start):
            # An even number: half-way between opposite ends lies 0, which has no direction.
            steps = 4 if end[0] * start[0] < 0 else STEPS + seed % 2
            for name, points in both((start, end.clone()), steps):
                points = points.T if points.shape == (FEATURES, steps) else points
                if len(points) != steps and _shapes(both) is None:
                    return f"{name} has {len(points)} points where both ends have one direction, not {steps}."
                if not bool(points.isfinite().all()):
                    return f"{name} is not finite where sin Ω = 0: clamp the cosine to [−1, 1], walk straight there."
                if end[0] * start[0] < 0:
                    continue  # of opposite ends no arc is the shortest
                away = points - torch.outer(points @ start, start) / start.square().sum()
                if not close(away, torch.zeros_like(away), 1e-4):
                    return f"{name} leaves the line on which both ends lie."
                if name == SPHERICAL and not close((points[0] - points[-1]).abs(), (start - end).abs(), 1e-4):
                    return f"{name} does not lead from one end to the other there: walk straight, from start to end."
    return None
