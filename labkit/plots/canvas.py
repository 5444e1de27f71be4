"""A sheet measured in inches, for figures made of images: each image, caption and small chart has its exact place."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from labkit.errors import LabkitError
from labkit.plots.style import INK, SMALL, TITLE, plain_axes, wrap

MARGIN = 0.12
LINE = 0.155  # height of a caption's line at the size `SMALL`
TITLE_LINE = 0.215
CHARACTERS = 13.0  # of the size `SMALL` to an inch


def as_images(images: object, name: str) -> np.ndarray:
    """uint8 or float images, (N, H, W) or (N, C, H, W) with C 1 or 3 → float (N, H, W) or (N, H, W, 3) in [0, 1].

    Values outside [0, 1] are clipped; NaN and infinities become NaN, which is drawn as a box that says so.

    Raises LabkitError: another shape or type, or no image.
    """
    if hasattr(images, "detach"):
        images = images.detach().cpu().numpy()
    array = np.asarray(images)
    coloured = array.ndim == 4 and array.shape[1] in (1, 3)
    if not (array.ndim == 3 or coloured) or array.size == 0:
        raise LabkitError(
            f"{name}: images must be (N, H, W) or (N, C, H, W) with one or three channels, not {array.shape}."
        )
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    elif not np.issubdtype(array.dtype, np.floating):
        raise LabkitError(f"{name}: images must be uint8, or float in [0, 1], not {array.dtype}.")
    array = np.where(np.isfinite(array), np.clip(array, 0, 1), np.nan)
    if not coloured:
        return array
    return array[:, 0] if array.shape[1] == 1 else np.moveaxis(array, 1, -1)


def lines(text: str, inches: float) -> tuple[str, int]:
    """A caption wrapped to a width, and its number of lines."""
    wrapped = wrap(text, int(inches * CHARACTERS))
    return wrapped, wrapped.count("\n") + 1


class Canvas:
    """A sheet of `width` × `height` inches under its title; (0, 0) is the top left corner below the title."""

    def __init__(self, width: float, height: float, title: str) -> None:
        width = max(width, 4.2)
        title = wrap(title, int((width - 2 * MARGIN) * 10.5))
        head = (title.count("\n") + 1) * TITLE_LINE + 0.12
        self.width, self.height, self.head = width, height + head + MARGIN, head
        self.figure = Figure(figsize=(self.width, self.height))
        self.sheet = self.figure.add_axes((0, 0, 1, 1))
        self.sheet.set(xlim=(0, self.width), ylim=(self.height - head, -head))
        self.sheet.axis("off")
        self.figure.suptitle(
            title, x=MARGIN / self.width, y=1 - 0.08 / self.height, va="top", ha="left",
            fontsize=TITLE, fontweight="bold", color=INK, linespacing=1.15,
        )  # fmt: skip

    def image(self, image: np.ndarray, x: float, y: float, side: float, **options: object) -> AxesImage | None:
        """An image (H, W) or (H, W, 3), `side` inches wide, top left corner at (x, y); None if it is not finite."""
        height = side * image.shape[0] / image.shape[1]
        if not np.isfinite(image).all():
            box = {"facecolor": "#f6f0ea", "edgecolor": "#a08060", "hatch": "//", "linewidth": 0.6}
            self.sheet.add_patch(Rectangle((x, y), side, height, **box))
            self.text(x + side / 2, y + height / 2, wrap("not finite", int(side * 9)), ha="center", va="center")
            return None
        options = {"cmap": "gray", "vmin": 0, "vmax": 1} | options
        limits = self.sheet.axis()
        drawn = self.sheet.imshow(image, extent=(x, x + side, y + height, y), aspect="auto", **options)
        self.sheet.axis(limits)
        return drawn

    def text(self, x: float, y: float, text: str, **options: object) -> None:
        """A caption; by default its top left corner is at (x, y)."""
        style = {"fontsize": SMALL, "color": INK, "va": "top", "ha": "left", "linespacing": 1.1}
        self.sheet.text(x, y, text, **(style | options))

    def chart(self, x: float, y: float, width: float, height: float) -> Axes:
        """A small axes in the house style, its top left corner at (x, y)."""
        bottom = self.height - self.head - y - height
        place = (x / self.width, bottom / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        plain_axes(axes)
        return axes


def side_for(columns: int, width: float = 9.0) -> float:
    """Inches of an image, so that `columns` of them with their gaps fill at most `width`."""
    return min(1.15, max(0.45, width / columns - 0.05))


def rows_needed(count: int, columns: int, name: str) -> int:
    """Rows of a grid.

    Raises LabkitError: fewer than one column.
    """
    if columns < 1:
        raise LabkitError(f"{name}: columns must be at least 1, not {columns}.")
    return math.ceil(count / columns)


def named(values: Any, names: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """Numbers (n,) and their names, those of a Series or dict where none are given; it may be in another order."""
    values = pd.Series(values, dtype=float) if isinstance(values, dict) else values
    own = list(values.index) if isinstance(values, pd.Series) else []
    names = own if names is None else list(names)
    if own != names and sorted(map(str, own)) == sorted(map(str, names)):
        values = values[names]
    return np.asarray(values, float), names


def same_length(name: str, what: str, given: int, needed: int) -> None:
    """Refuse captions and the like that do not match what they describe."""
    if given != needed:
        raise LabkitError(f"{name}: got {given} {what} for {needed}; give one for each.")
