"""Figures of densities and of paths through a latent space."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.errors import LabkitError
from labkit.plots.canvas import MARGIN, Canvas, as_images, lines, same_length, side_for
from labkit.plots.style import BLUE, FONT, GREY, ORANGE, SEQUENTIAL, SMALL, chart, label_axes

SHOWN_NATS = 10.0


def paths(rows: dict[str, tuple[Any, Any]], title: str, value_label: str) -> Figure:
    """Paths as rows of images, each with a small curve of a value at every step right beneath its images.

    All curves share one scale, so that paths can be compared.

    Args:
        rows: label → (images (S, H, W) or (S, C, H, W), values (S,)).
        value_label: what the curve shows, with its unit, e.g. "log-density (nats)".

    Raises LabkitError: shapes that do not fit.
    """
    if not rows:
        raise LabkitError("paths: there is no path to draw; pass at least one.")
    pictures = {label: as_images(images, "paths") for label, (images, _) in rows.items()}
    curves = {label: np.asarray(_array(values), float) for label, (_, values) in rows.items()}
    for label, images in pictures.items():
        same_length(f"paths: {label!r}", "values", len(curves[label]), len(images))
    steps = max(map(len, pictures.values()))
    label_width, gap, curve = 1.75, 0.04, 0.5
    side = side_for(steps, width=8.0)
    aspect = max(images.shape[1] / images.shape[2] for images in pictures.values())
    step = side * aspect + curve + 0.22
    canvas = Canvas(2 * MARGIN + label_width + steps * (side + gap), len(rows) * step, title)
    limits = _shared_limits(curves.values())
    for row, (label, images) in enumerate(pictures.items()):
        y, left = row * step, MARGIN + label_width
        middle = y + side * aspect / 2
        canvas.text(MARGIN, middle, lines(label, label_width - 0.7)[0], va="center", fontsize=SMALL + 0.5)
        for place, image in enumerate(images):
            canvas.image(image, left + place * (side + gap), y, side)
        axes = canvas.chart(left, y + side * aspect + 0.06, len(images) * (side + gap) - gap, curve)
        _small_curve(axes, curves[label], limits, side / (side + gap))
        canvas.text(
            left - 0.55, y + side * aspect + 0.06 + curve / 2, _value_caption(value_label, curves[label]),
            ha="right", va="center", color=GREY,
        )  # fmt: skip
    return canvas.figure


def density(
    log_density: Any, extent: tuple[float, float, float, float], points: Any, title: str, xlabel: str, ylabel: str
) -> Figure:
    """A density in the plane as colour, with data points over it; what lies over 10 nats below the peak is darkest.

    Args:
        log_density: (H, W) in nats; row 0 is the lowest y.
        extent: (x at the left, x at the right, y at the bottom, y at the top).
        points: (N, 2).

    Raises LabkitError: shapes that do not fit, or no finite value.
    """
    log_density, points = np.asarray(_array(log_density), float), np.asarray(_array(points), float)
    if log_density.ndim != 2 or points.ndim != 2 or points.shape[1] != 2:
        raise LabkitError(
            f"density: needs log_density (H, W) and points (N, 2), got {log_density.shape} and {points.shape}."
        )
    if not np.isfinite(log_density).any():
        raise LabkitError("density: no value of log_density is finite; look at the model before drawing it.")
    figure, (axes,) = chart(6.4, 4.8, title)
    axes.grid(False)
    peak = log_density[np.isfinite(log_density)].max()
    shown = np.clip(np.nan_to_num(log_density, nan=-np.inf), peak - SHOWN_NATS, peak)
    drawn = axes.imshow(
        shown, extent=extent, origin="lower", cmap=SEQUENTIAL, aspect="equal", interpolation="bilinear"
    )
    axes.scatter(*points.T, s=7, color="white", edgecolor="black", linewidth=0.4)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85, pad=0.02, extend="min")
    bar.set_label("log-density (nats)", fontsize=FONT)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)
    label_axes(axes, xlabel, ylabel)
    return figure


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def _shared_limits(curves: Any) -> tuple[float, float]:
    """Lowest and highest finite value with a margin; (0, 1) if there is none."""
    values = np.concatenate([*curves])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    room = 0.12 * (values.max() - values.min()) or 1.0
    return float(values.min() - room), float(values.max() + room)


def _value_caption(label: str, values: np.ndarray) -> str:
    lost = int((~np.isfinite(values)).sum())
    note = f"\n× {lost} of {len(values)} not finite" if lost else ""
    return lines(label + note, 1.2)[0]


def _small_curve(axes: Axes, values: np.ndarray, limits: tuple[float, float], fill: float) -> None:
    """Values at the middle of their images, gaps marked on the lower edge."""
    place = np.arange(len(values))
    finite = np.isfinite(values)
    axes.plot(place, np.where(finite, values, np.nan), "-o", color=BLUE, linewidth=1.4, markersize=3)
    axes.set(xlim=(-fill / 2, len(values) - 1 + fill / 2), ylim=limits, xticks=[])
    if not finite.all():
        lost = np.full((~finite).sum(), limits[0])
        axes.plot(place[~finite], lost, "x", color=ORANGE, markersize=6, clip_on=False)
    axes.tick_params(labelsize=SMALL - 1)
    axes.locator_params(axis="y", nbins=3)
