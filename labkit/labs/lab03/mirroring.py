"""Check of the odd share: the share of faces' differences that a mirror reverses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from labkit.checking import Hint, Property, evaluate, explain, number, random_numbers, untouched, weak

SHAPE = (6, 3, 5, 8)  # N, C, H, W
Function = Callable[[np.ndarray], Any]


def odd_share(share: Function) -> list[Property]:
    """Properties of a function: uint8 pictures (N, C, H, W) → the odd part's share of their variation, 0 to 1.

    Args:
        share: of deviations from the mean picture, made symmetric: their odd part's squares over all squares.
    """

    def value(pictures: np.ndarray) -> float:
        return number(share(pictures.copy()), "the share")

    return evaluate(
        {
            "one number from 0 to 1": weak(lambda: _range(value) or untouched([_pictures()], share)),
            "pictures that a mirror leaves alone give 0": weak(lambda: _even(value)),
            "pictures whose differences a mirror reverses give 1": weak(lambda: _odd(value)),
            "else it is the odd part's share of the squares": lambda: _share(value),
            "one common lopsided face counts as odd": lambda: _lopsided(value),
            "white and black do not wrap round": lambda: _extremes(value),
        }
    )


BYTES = "whole numbers of 8 bits have none below 0: convert to float first."
FORMULA = "d = x − (m + mirrored m) / 2, with m the mean picture; ((d − mirrored d) / 2)².mean() / (d²).mean()"


def _pictures(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Bright on the left on average, and different from each other in both parts."""
    generator = random_numbers(seed)
    slope = np.linspace(180, 60, shape[-1])
    return (slope + generator.uniform(-50, 50, shape)).astype(np.uint8)


def _known(
    pictures: np.ndarray, centre: str = "symmetric", flip: Callable = lambda x: x[..., ::-1], half: float = 2
) -> float:
    x = pictures.astype(float)
    mean = x.mean(0)
    chosen = {"symmetric": (mean + flip(mean)) / 2, "mean": mean, "none": 0 * mean}
    chosen |= {"number": x.mean(), "sum": (x.sum(0) + flip(x.sum(0))) / 2}
    deviation = x - chosen[centre]
    odd = (deviation - flip(deviation)) / half
    return float((odd**2).mean() / (deviation**2).mean())


def _means(pictures: np.ndarray, power: float) -> float:
    """Without the squares, or their root."""
    x = pictures.astype(float)
    mean = x.mean(0)
    deviation = x - (mean + mean[..., ::-1]) / 2
    odd = np.abs(deviation - deviation[..., ::-1]) / 2
    if power == 1:
        return float(odd.mean() / np.abs(deviation).mean())
    return float(np.sqrt((odd**2).mean() / (deviation**2).mean()))


def _in_bytes(pictures: np.ndarray) -> float:
    """The odd part from differences that wrap round at 0."""
    x = pictures.astype(float)
    mean = x.mean(0)
    odd = (pictures - pictures[..., ::-1]) / 2
    return float((odd**2).mean() / ((x - (mean + mean[..., ::-1]) / 2) ** 2).mean())


def _asked(value: Function, pictures: np.ndarray) -> Hint | None:
    def said(wrong: float) -> torch.Tensor:
        return torch.tensor(wrong, dtype=torch.float64)

    with np.errstate(all="ignore"):
        got, right = value(pictures), _known(pictures)
    mistakes = [
        (lambda: said(_known(pictures, "mean")), "the mean picture is not made symmetric before it is subtracted."),
        (lambda: said(_known(pictures, "none")), "the mean picture is not subtracted."),
        (lambda: said(_known(pictures, "number")), "one number is subtracted, not the mean picture over N."),
        (
            lambda: said(_known(pictures, flip=lambda x: x[..., ::-1, :])),
            "that mirrors up and down, not left and right.",
        ),
        (lambda: said(_known(pictures, half=1)), "the odd part is half of the difference from the mirrored picture."),
        (lambda: said(_known(pictures, "sum")), "the mean picture is a sum over N: take the mean."),
        (lambda: said(1 - right), "that is the share of the even part."),
        (lambda: said(right / max(1 - right, 1e-9)), "that divides by the even part, not by all of the variation."),
        (lambda: said(_in_bytes(pictures)), BYTES),
        (lambda: said(_means(pictures, 1)), "sizes are averaged, not squares."),
        (lambda: said(_means(pictures, 0.5)), "that is the root of the share."),
    ]
    hint = explain(said(got), right, mistakes, FORMULA)
    if hint and not hint.why and abs(value(pictures.astype(float)) - right) < 0.02:
        return hint._replace(why=BYTES)
    return hint


def _range(value: Function) -> str | None:
    got = value(_pictures())
    return None if 0 <= got <= 1 else f"it is {got:.4g}, not from 0 to 1: a part is more than all?"


def _even(value: Function) -> Hint | None:
    half = _pictures(1)[..., :4]
    return _asked(value, np.concatenate((half, half[..., ::-1]), -1))


def _odd(value: Function) -> Hint | None:
    half = (_pictures(2)[..., :4] // 2).astype(int)
    return _asked(value, np.concatenate((128 + half, 128 - half[..., ::-1]), -1).astype(np.uint8))


def _share(value: Function) -> Hint | None:
    for seed, shape in ((3, SHAPE), (4, (4, 1, 3, 6)), (5, (9, 3, 6, 4)), (9, (600, 1, 2, 4))):
        if hint := _asked(value, _pictures(seed, shape)):
            return hint
    faint = random_numbers(8).integers(200, 203, SHAPE).astype(np.uint8)  # they differ by two grey levels at most
    return _asked(value, faint)


def _lopsided(value: Function) -> Hint | None:
    """All pictures lean the same way, and differ a little."""
    pictures = _pictures(6) // 4 + np.linspace(150, 0, SHAPE[-1]).astype(np.uint8)
    return _asked(value, pictures)


def _extremes(value: Function) -> Hint | None:
    return _asked(value, (255 * (random_numbers(7).random(SHAPE) < 0.4)).astype(np.uint8))
