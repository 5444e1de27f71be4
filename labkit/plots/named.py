"""Figures with many names down the side: attributes, and how they go together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from labkit.errors import LabkitError
from labkit.plots.canvas import named, same_length
from labkit.plots.style import (
    BLUE,
    COLOURS,
    DIVERGING,
    FONT,
    GREY,
    INK,
    MARKERS,
    PALE,
    SMALL,
    chart,
    label_axes,
    plain_name,
    wrap,
)

ROW = 0.185  # inches of a name
MARK = 0.07  # inches of a marker with room around it
NAMES = 1.9  # inches of the column of names


def rows_by_name(
    series: dict[str, Any],
    title: str,
    xlabel: str,
    *,
    names: Sequence[str] | None = None,
    levels: dict[str, float] | None = None,
    xlim: tuple[float, float] | None = None,
) -> Figure:
    """A row per name: a bar where there is one series, else a marker for each, with error bars where given.

    What is not finite is left out.

    Args:
        series: label → values (n,), or (values (n,), errors (n,)); or a table with a column for each label.
        names: n, from top to bottom, where the values are no Series or dict that has them.
        levels: label → place of a vertical line.
        xlim: lowest and highest value drawn.

    Raises LabkitError: no series, or lengths that do not fit.
    """
    pairs = {label: each if isinstance(each, tuple) else (each,) for label, each in series.items()}
    names = names if names is not None or not pairs else named(next(iter(pairs.values()))[0])[1]
    if not pairs or not len(names):
        raise LabkitError("rows_by_name: there is nothing to draw; pass at least one series and one name.")
    row = max(ROW, MARK * (len(series) + 1))
    figure, (axes,) = chart(7.4, 1.5 + row * len(names) + 0.2 * (len(series) > 1), title)
    place = np.arange(len(names))
    if len(series) > 2:  # marks spread over a row: a band shows to which name they belong
        for each in place[::2]:
            axes.axhspan(each - 0.5, each + 0.5, color=PALE, alpha=0.35, linewidth=0, zorder=0)
    axes.set(ylim=(len(names) - 0.4, -0.6))
    for i, (label, (values, *errors)) in enumerate(pairs.items()):
        values = named(values, names)[0]
        same_length(f"rows_by_name: {label!r}", "values", len(values), len(names))
        spread = named(errors[0], names)[0] if errors else None
        if len(series) == 1:
            axes.barh(place, values, height=0.7, color=BLUE, xerr=spread, error_kw={"elinewidth": 0.9})
            continue
        shift = place + (i - (len(series) - 1) / 2) * MARK / row
        axes.errorbar(
            values, shift, xerr=spread, fmt=MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)],
            markersize=4.5, elinewidth=0.9, label=wrap(plain_name(label), 46),
        )  # fmt: skip
    for label, level in (levels or {}).items():
        axes.axvline(level, color=GREY, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        axes.annotate(
            label, (level, 1), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize=SMALL, color=GREY,
        )  # fmt: skip
    axes.set_yticks(place, [plain_name(name) for name in names], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    if xlim is not None:
        axes.set_xlim(xlim)
    label_axes(axes, xlabel, "")
    if len(series) > 1:
        figure.legend(loc="outside lower left", ncols=2, fontsize=SMALL + 0.5, frameon=False, labelcolor=INK)
    return figure


def heat_map(values: Any, title: str, *, names: Sequence[str], label: str) -> Figure:
    """A symmetric matrix of values between −1 and 1: red and blue of one darkness are opposites, white is zero.

    Args:
        values: (n, n).
        label: what the colours mean.

    Raises LabkitError: another shape.
    """
    values = np.asarray(values, float)
    if values.shape != (len(names), len(names)):
        raise LabkitError(f"heat_map: {len(names)} names do not fit a matrix of shape {values.shape}.")
    side = max(2.5, ROW * len(names))
    figure, (axes,) = chart(side + NAMES + 0.9, side + NAMES + 0.4, title)
    drawn = axes.imshow(values, cmap=DIVERGING, vmin=-1, vmax=1, aspect="equal")
    written = [plain_name(name) for name in names]
    axes.set_xticks(np.arange(len(names)), written, rotation=90, fontsize=SMALL)
    axes.set_yticks(np.arange(len(names)), written, fontsize=SMALL)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=30)
    bar.set_label(label, fontsize=FONT, color=INK)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)
    return figure
