"""Check of the waves through which a net sees the time (Ho et al., arXiv:2006.11239, after arXiv:1706.03762)."""

import math
from typing import Any

import torch
from torch import Tensor

from labkit.checking import (
    Function,
    Missed,
    Property,
    any_number,
    as_tensor,
    close,
    dtype,
    evaluate,
    explain,
    normal,
    untouched,
    weak,
)

COUNT = 12


def time_waves(waves: Function) -> list[Property]:
    """Properties of a function (time (N,), count n) → sin(kπt) for k = 1 … n and then cos(kπt): (N, 2n).

    Args:
        waves: sees the times as a net does, each as a row of numbers between −1 and 1.
    """
    return evaluate(
        {
            "each time has a row of 2n numbers": weak(lambda: _shape(waves)),
            "the first half of a row are sines of πt, 2πt, …, nπt": lambda: (
                _half(waves, 0) or _half(waves, 0, 20) or _many(waves, 0)
            ),
            "the second half are the cosines": lambda: _half(waves, 1) or _half(waves, 1, 20) or _many(waves, 1),
            "a row depends on its own time alone": weak(lambda: _own_time(waves)),
            "two close times differ more in their waves than by themselves": lambda: _apart(waves),
            "the times stay as they were": weak(lambda: _in_place(waves)),
        }
    )


def _times(rows: int) -> Tensor:
    # Beyond both ends as well, so that an absolute value or a limit of the angle shows; in no order, unrounded.
    even = torch.linspace(-0.2, 1.15, rows, dtype=torch.float64)
    return (even + 0.01 * normal(rows).double()).roll(rows // 2).to(dtype())


def _rows(waves: Function, time: Tensor, count: int) -> Tensor:
    got = as_tensor(waves(time.clone(), count), "the result").detach()
    if got.shape != (len(time), 2 * count):
        raise Missed(
            f"for {len(time)} times and n = {count} it has shape {tuple(got.shape)}, expected "
            f"{(len(time), 2 * count)}: make the times a column (N, 1), and put sines and cosines side by side."
        )
    return got


def _shape(waves: Function) -> str | None:
    for rows, count in ((1, COUNT), (COUNT, COUNT), (7, 2)):
        _rows(waves, _times(rows), count)
    return None


def _half(waves: Function, half: int, count: int = COUNT) -> Any:
    time = _times(7)
    got = _rows(waves, time, count)[:, half * count : (half + 1) * count]
    k = torch.arange(1, count + 1, dtype=torch.float64)
    angle = math.pi * time.double()[:, None] * k
    wanted, other = (angle.cos(), angle.sin()) if half else (angle.sin(), angle.cos())
    wave = torch.cos if half else torch.sin
    name = "cosine" if half else "sine"
    return explain(
        got,
        wanted,
        [
            (lambda: other, "sines and cosines have changed places."),
            (lambda: wave(angle / math.pi), "π is missing: the slowest wave runs through half a turn from 0 to 1."),
            (lambda: wave(2 * angle), "it is 2π: from t = 0 to 1 wave k makes k half turns."),
            (lambda: wave(angle - math.pi * time.double()[:, None]), "k begins at 0; the wave of 0 never changes."),
            (lambda: wave(math.pi * time.double()[:, None] * 2 ** (k - 1)), "k counts 1, 2, 3, …; no powers of 2."),
            (lambda: torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, half * count : (half + 1) * count],
             "sines and cosines alternate: put all sines first, then all cosines."),
        ],
        f"number k of this half is the {name} of kπt, k = 1 … n.",
    )  # fmt: skip


def _many(waves: Function, half: int) -> str | None:
    """More waves than a byte counts, as exactly as float32 has their angles."""
    time, count = _times(7), 300
    angle = math.pi * time.double()[:, None] * torch.arange(1, count + 1, dtype=torch.float64)
    got = _rows(waves, time, count)[:, half * count : (half + 1) * count]
    if close(got, angle.cos() if half else angle.sin(), 1e-3):
        return None
    return f"it is right of n = {COUNT}, but not of n = {count}: does k overflow its type?"


def _own_time(waves: Function) -> str | None:
    time = _times(6)
    together = _rows(waves, time, COUNT)
    alone = torch.cat([_rows(waves, each[None], COUNT) for each in time])
    if close(together, alone):
        return any_number(lambda times: _rows(waves, times, COUNT), time)
    return "a time's row changes with the other times in the batch: each row comes from its own time."


def _apart(waves: Function) -> str | None:
    time = torch.tensor([0.50, 0.52], dtype=torch.float64).to(dtype())
    first, second = _rows(waves, time, 16)
    if (first - second).norm() > 20 * 0.02:
        return None
    return "0.50 and 0.52 look alike to the net with n = 16: the fastest wave makes n half turns from 0 to 1."


def _in_place(waves: Function) -> str | None:
    return untouched([_times(5)], lambda time: waves(time, COUNT), "the times are overwritten: make new tensors.")
