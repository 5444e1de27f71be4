"""Figures made of lines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter

from labkit.errors import LabkitError
from labkit.plots.canvas import same_length
from labkit.plots.style import COLOURS, DASHES, FONT, GREY, INK, MARKERS, SMALL, chart, label_axes, spread_out, wrap

Series = dict[str, tuple]
FEW = 8


def curves(
    series: Series,
    title: str,
    xlabel: str,
    ylabel: str,
    *,
    levels: dict[str, float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """Lines told apart by colour, dash and marker; the legend stands below them.

    A value that is not finite, or not positive on a logarithmic axis, leaves a gap, and the legend counts the gaps.

    Args:
        series: label → (x, y) or (x, y, spread), each (n,); the band is y ± spread.
        levels: label → height of a horizontal line.
        log_x, log_y: logarithmic axes.
        ylim: lowest and highest y drawn.

    Raises LabkitError: x and y of different lengths, or no series.
    """
    figure, (axes,) = chart(7.4, 4.4, title)
    notes = _lines(axes, series, _looks([series]), log_x, log_y)
    _finish(axes, xlabel, ylabel, levels, ylim)
    _legend(figure, _looks([series]), notes, columns=2)
    return figure


def panels(charts: Sequence[dict[str, Any]], title: str, **shared: Any) -> Figure:
    """Several `curves` side by side under one legend: a label looks the same in each.

    Args:
        charts: the arguments of `curves` for each; their titles stand above the panels.
        shared: arguments that all of them have.
    """
    if not charts:
        raise LabkitError("panels: there is no chart to draw; pass at least one.")
    charts = [shared | each for each in charts]
    figure, axes = chart(max(4.1 * len(charts), 5.5), 4.2, title, columns=len(charts))
    looks = _looks([each["series"] for each in charts])
    notes: dict[str, list[str]] = {}
    for each, place in zip(charts, axes, strict=True):
        for label, found in _lines(
            place, each["series"], looks, each.get("log_x", False), each.get("log_y", False)
        ).items():
            notes.setdefault(label, []).extend(f"{note} ({each['title']})" for note in found)
        place.set_title(wrap(each["title"], 42), loc="left", fontsize=FONT, color=INK)
        _finish(place, each["xlabel"], each["ylabel"], each.get("levels"), each.get("ylim"), narrow=True)
    _legend(figure, looks, notes, columns=max(2, len(charts)))
    return figure


def _looks(groups: Sequence[Series]) -> dict[str, dict[str, Any]]:
    """Label → colour, dash and marker, the same in every group."""
    labels = list(dict.fromkeys(label for series in groups for label in series))
    if not labels:
        raise LabkitError("curves: there is no series to draw; pass at least one.")
    return {
        label: {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": DASHES[i % len(DASHES)],
            "marker": MARKERS[i % len(MARKERS)],
            "linewidth": 1.6,
            "markersize": 4.5,
        }
        for i, label in enumerate(labels)
    }


def _lines(axes: Axes, series: Series, looks: dict[str, Any], log_x: bool, log_y: bool) -> dict[str, list[str]]:
    """Draw the series; returns label → what was left out."""
    axes.set(xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
    for axis, logarithmic in ((axes.xaxis, log_x), (axes.yaxis, log_y)):
        if logarithmic:
            axis.set_major_formatter(LogFormatter())
            axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.7)))
    places = np.unique(np.concatenate([np.ravel(np.asarray(x, float)) for x, *_ in series.values()]))
    # A few settings that were chosen are the ticks: latents of 32, 64 and 128 are not 30, 40 … 100.
    if log_x and 2 < len(places) <= FEW and (places > 0).all() and (places[1:] / places[:-1]).min() >= 1.3:
        # Below 1, two digits: 0.00195312 beside 0.0078125 would run into each other.
        axes.set_xticks(places, [f"{each:.2g}" if each < 1 else f"{each:g}" for each in places])
        axes.set_xticks([], minor=True)
    notes: dict[str, list[str]] = {}
    for i, (label, (x, y, *spread)) in enumerate(series.items()):
        x, y = np.asarray(x, float), np.asarray(y, float)
        same_length(f"curves: {label!r}", "values of y", len(y), len(x))
        usable = np.isfinite(y) & (y > 0) if log_y else np.isfinite(y)
        y = np.where(usable, y, np.nan)
        if lost := int((~usable).sum()):
            kind = "not finite" + (" or not positive" if log_y else "")
            notes[label] = [f"{lost} of {len(y)} {kind}"]
        every = max(1, len(x) // 10)
        axes.plot(x, y, markevery=(i * every // max(1, len(series)), every), **looks[label])
        if spread:
            half = np.asarray(spread[0], float)
            axes.fill_between(x, y - half, y + half, color=looks[label]["color"], alpha=0.18, linewidth=0)
    return notes


def _finish(
    axes: Axes,
    xlabel: str,
    ylabel: str,
    levels: dict[str, float] | None,
    ylim: tuple[float, float] | None,
    narrow: bool = False,
) -> None:
    """Axis labels, limits, and the levels, named at the right edge and moved apart where they would overlap."""
    label_axes(axes, xlabel, ylabel)
    for height in (levels or {}).values():
        axes.axhline(height, color=GREY, linewidth=1.0, linestyle=(0, (3, 3)), zorder=1)
    if ylim is not None:
        axes.set_ylim(ylim)
    if not levels:
        return
    axes.autoscale_view()
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    heights = [float(to_axes((axes.get_xlim()[1], height))[1]) for height in levels.values()]
    names = [wrap(label, 13 if narrow else 18) for label in levels]
    gap = 0.062 * max(name.count("\n") + 1 for name in names)
    for name, height, place in zip(names, heights, spread_out(np.clip(heights, 0, 1), gap), strict=True):
        arrow = " ↑" if height > 1 else " ↓" if height < 0 else ""
        axes.text(1.015, place, name + arrow, transform=axes.transAxes, va="center", fontsize=SMALL, color=GREY)


def _legend(figure: Figure, looks: dict[str, Any], notes: dict[str, list[str]], columns: int) -> None:
    """Below the axes, where it covers nothing; left out when one line needs no name and has no gaps."""
    if len(looks) == 1 and not any(notes.values()):
        return
    handles = [
        Line2D([], [], label=wrap("; ".join((label, *notes.get(label, ()))), 46), **look)
        for label, look in looks.items()
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=min(columns, len(handles)), fontsize=SMALL + 0.5,
        frameon=False, handlelength=3.4, labelcolor=INK,
    )  # fmt: skip
