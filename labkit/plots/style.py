"""The house style: colours that survive colour-blindness and a grey printer, one font, few lines.

Settings are given to each axes rather than to `rcParams`: a figure of a student's own keeps the look it had.
"""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008), without yellow, which is lost on white paper.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
AMBER, SKY, BLACK = "#E69F00", "#56B4E9", "#000000"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, BLACK)
DASHES = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)), (0, (8, 2, 2, 2, 2, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

INK, GREY, PALE = "#1c1c1c", "#6b6b6b", "#dddddd"
DIVERGING, SEQUENTIAL = "RdBu_r", "cividis"
FONT, SMALL, TITLE = 10, 8.5, 11.5


def wrap(text: str, width: int) -> str:
    """`text` broken at words into lines of at most `width` characters; its own line breaks stay, "K = 8" whole.

    A hyphen before a number that nothing precedes is a minus sign.
    """
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", str(text)).replace(" = ", "\u00a0=\u00a0")
    return "\n".join(textwrap.fill(line, max(width, 6)) for line in text.split("\n"))


def listed(values: Any, spec: str) -> str:
    """Numbers and their names for a title, "0.31 (GAN), 0.52 (VAE)", of a dict or Series; `spec` as in f-strings."""
    return ", ".join(f"{value:{spec}} ({plain_name(name)})" for name, value in values.items())


def plain_name(name: str) -> str:
    """CelebA's names as a reader would write them."""
    return str(name).replace("_", " ").replace("5 o Clock", "5 o'clock")


def heading(figure: Figure, title: str) -> None:
    """The finding, left-aligned above everything, wrapped to the figure's width."""
    width = int(figure.get_figwidth() * 11)
    figure.suptitle(wrap(title, width), x=0.012, ha="left", fontsize=TITLE, fontweight="bold", color=INK)


def chart(width: float, height: float, title: str, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A titled figure of `width` × `height` inches with `columns` axes in the house style."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, wspace=0.04)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    heading(figure, title)
    for each in axes:
        plain_axes(each)
    return figure, list(axes)


def plain_axes(axes: Axes) -> None:
    """Thin lines left and below only, a pale grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(linewidth=0.7, color=GREY)
    axes.tick_params(labelsize=SMALL, width=0.7, color=GREY, labelcolor=INK)
    axes.tick_params(which="minor", labelsize=SMALL - 1, width=0.4, color=GREY, labelcolor=INK)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def label_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Axis labels, wrapped so that neither is cut off."""
    width, height = axes.figure.get_size_inches()
    axes.set_xlabel(wrap(xlabel, int(width * 11)), fontsize=FONT, color=INK)
    axes.set_ylabel(wrap(ylabel, int(height * 10)), fontsize=FONT, color=INK)


def spread_out(positions: Sequence[float], gap: float) -> np.ndarray:
    """Positions in [0, 1] moved apart to at least `gap` in their order, no further than that takes."""
    positions = np.asarray(positions, float)
    order = np.argsort(positions, kind="stable")
    placed = positions[order].copy()
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    if len(placed) and placed[-1] > 1:
        placed[-1] = 1.0
        for i in range(len(placed) - 2, -1, -1):
            placed[i] = min(placed[i], placed[i + 1] - gap)
    result = np.empty_like(placed)
    result[order] = placed
    return result
