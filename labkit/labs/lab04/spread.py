"""Check of the diversity of samples: how far they differ from each other, over how far real images do."""

from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.checking import Property, evaluate, number, random_numbers, same_numbers, untouched, weak

Function = Callable[[np.ndarray, np.ndarray], Any]
Case = tuple[np.ndarray, np.ndarray]
FORMULA = "of each set: the mean over pairs of √((x − x')² averaged over the image); that of drawn over that of real"


def diversity(ratio: Function) -> list[Property]:
    """Properties of a function: uint8 images (N, C, H, W) drawn and (M, C, H, W) real → a ratio.

    Args:
        ratio: mean over pairs of different images of the root mean squared difference, drawn over real.
    """

    def asked(*cases: Case) -> Any:
        return same_numbers(ratio, _right, cases, ("drawn", "real"), MISTAKES, FORMULA)

    return evaluate(
        {
            "a number, and the images stay as they were": weak(
                lambda: (number(ratio(*_images(0)), "it") and None) or untouched(_images(0), ratio)
            ),
            "images that are all alike give 0": weak(lambda: asked(_collapsed())),
            "of two images each it is the ratio of their differences": lambda: asked(_images(1, 2, 2)),
            "of more it is the mean over pairs of different images": lambda: asked(
                _images(2), _images(3, 3, 8), _images(7, 130, 3)
            ),
            "white and black do not wrap round": lambda: asked(*_extremes()),
            "two kinds of image are as diverse as their pairs": lambda: asked(*_clusters()),
        }
    )


def _differences(images: np.ndarray, power: float = 2, root: bool = True, wrap: bool = False) -> np.ndarray:
    """Of each pair (i, j) the difference, (N, N)."""
    flat = images.reshape(len(images), -1)
    each = (flat[:, None] - flat[None]) if wrap else flat[:, None].astype(float) - flat[None]
    mean = (np.abs(each.astype(float)) ** power).mean(2)
    return np.sqrt(mean) if root else mean


def _spread(images: np.ndarray, **how: Any) -> float:
    n = len(images)
    return float(_differences(images, **how).sum() / (n * (n - 1)))


def _right(drawn: np.ndarray, real: np.ndarray, **how: Any) -> float:
    return _spread(drawn, **how) / _spread(real, **how)


def _over(spread: Callable[[np.ndarray], Any]) -> Function:
    return lambda drawn, real: spread(drawn) / spread(real)


ORDERS = (np.array, np.tril, np.triu)  # x less x', of all pairs, or of those in one order: in 8 bits these differ


def _wrapped(part: Callable[[np.ndarray], np.ndarray]) -> Function:
    def spread(images: np.ndarray) -> float:
        n = len(images)
        return part(_differences(images, wrap=True)).sum() / part(np.ones((n, n)) - np.eye(n)).sum()

    return _over(spread)


# What a common mistake computes, and what to say of it.
MISTAKES: tuple[tuple[Callable[..., Any], str], ...] = (
    *((_wrapped(part), "whole numbers of 8 bits have none below 0: convert to float first.") for part in ORDERS),
    (lambda d, r: _right(r, d), "that is the ratio upside down: drawn over real."),
    (lambda d, r: _spread(d), "it is not divided by the diversity of real images."),
    (lambda d, r: _right(d, r, root=False), "the mean of squares is compared: take the root of each pair's."),
    (lambda d, r: _right(d, r, power=1, root=False), "absolute differences are averaged, not squares."),
    (_over(lambda x: np.sqrt(_spread(x, root=False))), "the root comes last: take that of each pair, then the mean."),
    (_over(lambda x: _differences(x).mean()), "each image is compared with itself too: leave those pairs out."),
    (_over(lambda x: _differences(x).sum()), "pairs are added up: take their mean, since the sets differ in size."),
    (_over(lambda x: x.astype(float).std(0).mean()), "that is the deviation of each pixel: compare pairs of images."),
    (_over(lambda x: x.astype(float).std()), "that is the contrast within images: compare images with each other."),
    (_over(lambda x: np.diagonal(_differences(x), 1).mean()), "only neighbours are compared: take all pairs."),
    (_over(lambda x: _differences(x)[0].sum() / (len(x) - 1)), "only the first image is compared: take all pairs."),
)


def _images(seed: int, drawn: int = 6, real: int = 4) -> Case:
    generator = random_numbers(seed)
    grey, wide = generator.integers(60, 120, (drawn, 3, 4, 4)), generator.integers(0, 256, (real, 3, 4, 4))
    return grey.astype(np.uint8), wide.astype(np.uint8)


def _collapsed() -> Case:
    drawn, real = _images(4)
    return np.repeat(drawn[:1], 5, 0), real


def _extremes() -> list[Case]:
    generator, levels = random_numbers(5), np.array([0, 96, 255], np.uint8)  # of two, means and roots are alike
    shares = ((7, (0.45, 0.1, 0.45)), (5, (0.75, 0.1, 0.15)))
    return [tuple(levels[generator.choice(3, (n, 1, 6, 5), p=share)] for n, share in shares)]


def _clusters() -> list[Case]:
    drawn, real = _images(6, 2, 9)
    return [(drawn[[0, 1, 0, 1, 1, 0, 0]], real), (drawn[[0, 1, 1, 1]], drawn)]
