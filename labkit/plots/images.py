"""Figures made of images: grids, labelled rows, weight maps, samples beside their nearest neighbours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from labkit.errors import LabkitError
from labkit.plots.canvas import LINE, MARGIN, Canvas, as_images, lines, rows_needed, same_length, side_for
from labkit.plots.style import DIVERGING, FONT, SMALL

GAP = 0.05
LABEL = 1.25  # inches of a row's label


def image_grid(images: Any, title: str, *, columns: int = 12, labels: Sequence[str] | None = None) -> Figure:
    """Images in rows of `columns`, with a label beneath each where given.

    Args:
        images: (N, H, W) or (N, C, H, W); uint8, or float in [0, 1].

    Raises LabkitError: shapes that do not fit.
    """
    images = as_images(images, "image_grid")
    rows = rows_needed(len(images), columns, "image_grid")
    side = side_for(columns)
    captions = [lines(label, side) for label in labels or ()]
    if labels is not None:
        same_length("image_grid", "labels", len(captions), len(images))
    step = side * _aspect(images) + GAP + LINE * max((count for _, count in captions), default=0)
    canvas = Canvas(2 * MARGIN + columns * (side + GAP), rows * step, title)
    for i, image in enumerate(images):
        x, y = MARGIN + (i % columns) * (side + GAP), (i // columns) * step
        canvas.image(image, x, y, side)
        if captions:
            canvas.text(x + side / 2, y + side * _aspect(images) + 0.02, captions[i][0], ha="center")
    return canvas.figure


def image_rows(rows: dict[str, Any], title: str, *, column_labels: Sequence[str] | None = None) -> Figure:
    """Rows of images, each with its label at the left; shorter rows end earlier.

    Args:
        rows: label → images (N, H, W) or (N, C, H, W); uint8, or float in [0, 1].
        column_labels: a caption above each column.

    Raises LabkitError: shapes that do not fit.
    """
    if not rows:
        raise LabkitError("image_rows: there is no row to draw; pass at least one.")
    pictures = {label: as_images(images, "image_rows") for label, images in rows.items()}
    columns = max(map(len, pictures.values()))
    side = side_for(columns, width=9.0 - LABEL)
    heads = [lines(label, side) for label in column_labels or ()]
    if column_labels is not None:
        same_length("image_rows", "column labels", len(heads), columns)
    top = LINE * max((count for _, count in heads), default=0)
    heights = [side * _aspect(images) + GAP for images in pictures.values()]
    canvas = Canvas(2 * MARGIN + LABEL + columns * (side + GAP), top + sum(heights), title)
    for column, (text, _) in enumerate(heads):
        x = MARGIN + LABEL + column * (side + GAP) + side / 2
        canvas.text(x, top - 0.03, text, ha="center", va="bottom")
    y = top
    for (label, images), height in zip(pictures.items(), heights, strict=True):
        canvas.text(MARGIN, y + height / 2, lines(label, LABEL - 0.08)[0], va="center", fontsize=SMALL + 0.5)
        for column, image in enumerate(images):
            canvas.image(image, MARGIN + LABEL + column * (side + GAP), y, side)
        y += height
    return canvas.figure


def signed_maps(maps: Any, title: str, *, labels: Sequence[str] | None = None, columns: int = 5) -> Figure:
    """Maps of signed weights under one symmetric colour scale: zero is white, the largest magnitude saturates.

    Args:
        maps: (k, H, W) weights.

    Raises LabkitError: shapes that do not fit.
    """
    maps = maps.detach().cpu().numpy() if hasattr(maps, "detach") else np.asarray(maps, float)
    as_images(maps.astype(float), "signed_maps")
    captions = [lines(label, 1.5) for label in labels or ()]
    if labels is not None:
        same_length("signed_maps", "labels", len(captions), len(maps))
    rows, columns = rows_needed(len(maps), columns, "signed_maps"), min(columns, len(maps))
    side, largest = 1.5, float(np.nanmax(np.abs(maps))) or 1.0
    step = side * _aspect(maps) + 0.1 + LINE * max((count for _, count in captions), default=0)
    canvas = Canvas(2 * MARGIN + columns * (side + 0.1) + 0.8, rows * step, title)
    drawn = None
    for i, weights in enumerate(maps):
        x, y = MARGIN + (i % columns) * (side + 0.1), (i // columns) * step
        drawn = canvas.image(weights, x, y, side, cmap=DIVERGING, vmin=-largest, vmax=largest) or drawn
        if captions:
            canvas.text(x + side / 2, y + side * _aspect(maps) + 0.03, captions[i][0], ha="center")
    if drawn is not None:
        axes = canvas.chart(MARGIN + columns * (side + 0.1) + 0.05, 0.05, 0.14, rows * step - 0.3)
        bar = canvas.figure.colorbar(drawn, cax=axes)
        bar.set_label("weight", fontsize=FONT)
        bar.outline.set_visible(False)
    return canvas.figure


def neighbours(samples: Any, nearest: Any, distances: Sequence[float], title: str) -> Figure:
    """Each sample above its nearest training image, with the distance between them beneath.

    Args:
        samples, nearest: (N, H, W) or (N, C, H, W); uint8, or float in [0, 1].
        distances: (N,), in the unit that the title names.

    Raises LabkitError: shapes that do not fit.
    """
    samples, nearest = as_images(samples, "neighbours"), as_images(nearest, "neighbours")
    same_length("neighbours", "nearest images", len(nearest), len(samples))
    same_length("neighbours", "distances", len(distances), len(samples))
    columns = min(9, len(samples))
    side, label = 0.9, 0.85
    height = side * _aspect(samples)
    step = 2 * height + LINE + 0.22
    bands = rows_needed(len(samples), columns, "neighbours")
    canvas = Canvas(2 * MARGIN + label + columns * (side + GAP), bands * step, title)
    for i, (sample, twin) in enumerate(zip(samples, nearest, strict=True)):
        x, y = MARGIN + label + (i % columns) * (side + GAP), (i // columns) * step
        canvas.image(sample, x, y, side)
        canvas.image(twin, x, y + height + 0.03, side)
        canvas.text(x + side / 2, y + 2 * height + 0.05, f"{float(distances[i]):.3g}", ha="center")
    for band in range(bands):
        captions = (("sample", height / 2), ("nearest training image", 1.5 * height), ("distance", 2 * height + 0.12))
        for caption, y in captions:
            canvas.text(MARGIN, band * step + y, lines(caption, label - 0.05)[0], va="center")
    return canvas.figure


def _aspect(images: np.ndarray) -> float:
    """Height over width."""
    return images.shape[1] / images.shape[2]
