"""Check of the straight path from noise to data and its velocity (Lipman et al., arXiv:2210.02747)."""

import torch
from torch import Tensor

from labkit.checking import Function, Property, close, evaluate, explain, normal, results, untouched, weak

FEATURES = 4
SWAPPED = "the two results have changed places: the point comes first, then the velocity."
POINT = "that is the point, not how fast it moves."
IN_PLACE = "an input is overwritten: make new tensors instead of assigning into the old ones."


def straight_path(path: Function) -> list[Property]:
    """Properties of a function (noise (N, d), data (N, d), time (N,)) → x_t (N, d) and velocity (N, d).

    Args:
        path: x_t = (1 − t) x₀ + t x₁ and its derivative by t, each row at its own time.
    """
    return evaluate(
        {
            "point and velocity have the shape and type of the data": weak(lambda: _shapes(path)),
            "the path begins at the noise": weak(lambda: _end(path, 0.0, "noise")),
            "the path ends at the data": weak(lambda: _end(path, 1.0, "data")),
            "each row is at its own time": lambda: _own_time(path),
            "the velocity is the path's derivative by time": lambda: _velocity(path),
            "the inputs stay as they were": weak(lambda: untouched(_pairs(5), path, IN_PLACE)),
        }
    )


def _pairs(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    # Both ends of time, in no order; noise and data far out, so that a limit shows.
    time = torch.linspace(0, 1, rows, dtype=torch.float64).roll(rows // 2)
    return 400 * normal(rows, FEATURES, seed=1), 400 * normal(rows, FEATURES, seed=2), time


def _both(path: Function, *given: Tensor) -> tuple[Tensor, Tensor]:
    pair = results(path(*[each.clone() for each in given]), "the point x_t", "the velocity")
    return pair[0].detach(), pair[1].detach()


def _shapes(path: Function) -> str | None:
    for rows in (1, 7):
        given = _pairs(rows)
        for got, name in zip(_both(path, *given), ("the point", "the velocity")):
            if got.shape != given[1].shape:
                return (
                    f"{name} has shape {tuple(got.shape)} for data of shape {tuple(given[1].shape)}: does the time "
                    "(N,) meet the features as a column (N, 1)?"
                )
        for got in path(*[each.clone() for each in given]):
            if torch.as_tensor(got).dtype != torch.float64:
                return "data in float64 come back in another type: leave out .float() and the like."
    return None


def _end(path: Function, time: float, name: str) -> str | None:
    noise, data, _ = _pairs(6)
    x, velocity = _both(path, noise, data, torch.full((6,), time, dtype=torch.float64))
    here, there = (noise, data) if time == 0 else (data, noise)
    swapped = [(lambda: x, SWAPPED)] if close(velocity, here) and close(x, data - noise) else []
    return explain(
        x,
        here,
        [*swapped, (lambda: there, "noise and data have changed places: noise is at t = 0, data are at t = 1.")],
        f"at t = {time:.0f} the point must be the {name} itself: what are the weights of both there?",
    )


def _own_time(path: Function) -> str | None:
    # As many rows as features: here a time that meets the wrong dimension raises no error.
    noise, data, time = _pairs(FEATURES)
    x, _ = _both(path, noise, data, time)
    return explain(
        x,
        torch.stack([torch.lerp(a, b, t) for a, b, t in zip(noise, data, time)]),
        [
            (
                lambda: torch.lerp(noise, data, time[None]),
                "the time runs along the features: make it a column first, one time for each row.",
            ),
            (lambda: data - noise, SWAPPED),
            (lambda: torch.lerp(data, noise, time[:, None]), "noise and data have changed places."),
            (lambda: torch.lerp(noise, data, time.mean()), "all rows are at the mean time; each has its own."),
        ],
        "row by row, the point should lie on the straight line from noise to data, a share t of the way.",
    )


def _velocity(path: Function) -> str | None:
    noise, data, time = _pairs(6)
    x, velocity = _both(path, noise, data, time)
    return explain(
        velocity,
        data - noise,
        [
            (lambda: noise - data, "its sign is wrong: with growing t the point moves towards the data."),
            (lambda: data, "that is the data; the derivative of (1 − t) x₀ + t x₁ by t has two terms."),
            (lambda: torch.lerp(noise, data, time[:, None]), SWAPPED if close(x, data - noise) else POINT),
            (
                lambda: data - x,
                "that is the way that is left: the velocity is the same at all times, also where no time is left.",
            ),
            (
                lambda: time[:, None] * (data - noise),
                "it is multiplied by t: take the derivative, not the way so far.",
            ),
        ],
        "take the derivative of (1 − t) x₀ + t x₁ by t, with x₀ and x₁ fixed.",
        time=time[:, None].expand_as(data),
    )
