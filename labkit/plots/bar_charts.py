"""Figures of one number per name, and of how shares add up."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.errors import LabkitError
from labkit.plots.canvas import named, same_length
from labkit.plots.style import BLUE, COLOURS, DASHES, GREY, INK, MARKERS, ORANGE, SMALL, chart, label_axes, wrap

FAR_FROM_ZERO = 0.35  # a range below this share of the largest magnitude would be lost on bars
CROWDED = 20  # bars beyond which a number of four digits is wider than its bar


def bars(
    values: Any,
    title: str,
    xlabel: str,
    ylabel: str,
    *,
    labels: Sequence[str] | None = None,
    highlight: Sequence[int] = (),
    errors: Any = None,
) -> Figure:
    """A bar per value; those highlighted are hatched and carry their number.

    Values that differ little for their distance from zero, as log-densities do, become dots on an axis of their own
    range: a bar that does not start at zero would lie.

    Args:
        values: (n,), or name → value; one that is not finite is written out instead of drawn.
        labels: n, where the values have no names.
        highlight: indices of the bars to point out.
        errors: (n,) half lengths of the error bars, or name → half length; one that is not finite is left out.

    Raises LabkitError: no value, or labels or errors that do not match the values.
    """
    values, labels = named(values, labels)
    halves = np.zeros(len(values)) if errors is None else np.nan_to_num(named(errors, labels)[0], posinf=0)
    if not values.size:
        raise LabkitError("bars: there is no value to draw; pass at least one.")
    same_length("bars", "labels", len(labels), len(values))
    same_length("bars", "errors", len(halves), len(values))
    marked = {int(i) % len(values) for i in highlight}
    figure, (axes,) = chart(_width(labels), 4.0, title)
    finite = np.isfinite(values)
    from_zero = _bars_from_zero(values[finite])
    (_draw_bars if from_zero else _draw_dots)(axes, values, marked)
    if errors is not None:
        place = np.arange(len(values))[finite]
        axes.errorbar(place, values[finite], halves[finite], fmt="none", ecolor=INK, elinewidth=0.9, capsize=2.5)
    axes.margins(y=0.12)
    beside = max(0.5, len(values) / 50)  # room for the number of the first bar
    axes.set_xlim(-beside, len(values) - 1 + beside)
    floor = 0.0 if from_zero else axes.get_ylim()[0]
    for i in [i for i in range(len(values)) if i in marked or not finite[i]]:
        _write_value(axes, i, values[i], halves[i], floor, digits=3 if from_zero or len(values) > CROWDED else 4)
    _name_bars(axes, labels)
    label_axes(axes, xlabel, ylabel)
    return figure


def cumulative(shares: Any, title: str, xlabel: str, ylabel: str, *, marks: dict[str, int]) -> Figure:
    """How much of the variance the first 1, 2, …, n components hold, with marked counts.

    Args:
        shares: (n,) running sum of the components' shares, rising to at most one.
        marks: label → number of components.

    Raises LabkitError: the shares fall or pass one, or a mark lies outside 1…n.
    """
    total = np.asarray(shares, float)
    if np.any(np.diff(total) < 0) or total[-1] > 1 + 1e-6:
        raise LabkitError(
            "cumulative: shares must rise to at most 1; pass the running sum of the components' shares."
        )
    if outside := [count for count in marks.values() if not 1 <= count <= len(total)]:
        raise LabkitError(f"cumulative: marks must lie in 1 to {len(total)}, not {outside[0]}.")
    figure, (axes,) = chart(7.0, 4.2, title)
    axes.plot(np.arange(1, len(total) + 1), total, color=BLUE, linewidth=1.8)
    axes.set(xlim=(0, len(total) * 1.02), ylim=(0, 1.02))
    label_axes(axes, xlabel, ylabel)
    for i, (label, count) in enumerate(sorted(marks.items(), key=lambda mark: mark[1])):
        share, colour = total[count - 1], COLOURS[(i + 1) % len(COLOURS)]
        dash, marker = DASHES[(i + 1) % len(DASHES)], MARKERS[i % len(MARKERS)]
        axes.vlines(count, 0, share, color=colour, linestyle=dash, linewidth=1)
        name = wrap(f"{label}: {count} components hold {100 * share:.2f} %", 50)
        axes.plot([count], [share], marker, linestyle=dash, color=colour, markersize=6, linewidth=1, label=name)
    if marks:
        figure.legend(loc="outside lower left", fontsize=SMALL + 0.5, frameon=False, handlelength=3.4, labelcolor=INK)
    return figure


def _width(labels: Sequence[str]) -> float:
    """Inches: room for the longest word under each bar, within a page."""
    word = max(len(word) for label in labels for word in str(label).split() or [""])
    return min(11.0, max(5.5, max(0.24, word / 12 + 0.15) * len(labels) + 1.2))


def _bars_from_zero(values: np.ndarray) -> bool:
    """Whether differences stay visible on an axis that includes zero."""
    if not len(values):
        return True
    reach = np.abs(values).max()
    return len(values) < 2 or np.ptp(values) >= FAR_FROM_ZERO * reach


def _draw_bars(axes: Axes, values: np.ndarray, marked: set[int]) -> None:
    drawn = axes.bar(np.arange(len(values)), np.where(np.isfinite(values), values, 0), width=0.74, color=BLUE)
    for i in marked:
        drawn[i].set(facecolor=ORANGE, hatch="///", edgecolor="white", linewidth=0)
    axes.axhline(0, color=GREY, linewidth=0.7)


def _draw_dots(axes: Axes, values: np.ndarray, marked: set[int]) -> None:
    place = np.arange(len(values))
    rest = np.array([i not in marked for i in range(len(values))])
    axes.plot(place[rest], values[rest], "o", color=BLUE, markersize=5.5)
    axes.plot(place[~rest], values[~rest], "D", color=ORANGE, markersize=7.5)
    axes.grid(axis="x", color=GREY, alpha=0.15, linewidth=0.6)


def _write_value(axes: Axes, place: int, value: float, error: float, floor: float, digits: int) -> None:
    """A value beyond its end and its error bar; one that is not finite stands at the floor."""
    finite = bool(np.isfinite(value))
    end = value + np.copysign(np.nan_to_num(error), value) if finite else floor
    down = finite and value < 0
    axes.annotate(
        f"{value:.{digits}g}".replace("-", "−") if finite else str(value), (place, end),
        xytext=(0, -6 if down else 6), textcoords="offset points", ha="center",
        va="top" if down else "bottom", fontsize=SMALL, color=INK,
    )  # fmt: skip


def _name_bars(axes: Axes, labels: Sequence[str]) -> None:
    """Bar names, wrapped where there is room beside each other, slanted where there is not."""
    inches = (axes.figure.get_figwidth() - 1.0) / len(labels)
    room = int(inches * 11)
    slanted = max(len(word) for label in labels for word in str(label).split() or [""]) > max(room, 3)
    names = [wrap(label, 26 if slanted else max(room, 6)) for label in labels]
    style = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(np.arange(len(labels)), names, fontsize=SMALL, **style)
    axes.tick_params(axis="x", length=0)
