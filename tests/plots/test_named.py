"""Figures with many names: what is drawn is what was given, and forty names can be read."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from labkit import plots
from labkit.errors import LabkitError
from labkit.faces.words import ATTRIBUTES

RNG = np.random.default_rng(0)
VALUES = np.where(np.arange(40) == 7, np.nan, RNG.random(40))
MATRIX = np.corrcoef(RNG.normal(size=(40, 60)))


def rows(**series):
    return plots.rows_by_name(series, names=ATTRIBUTES, title="Rows " * 30, xlabel="share", levels={"half": 0.5})


FIGURES = {
    "bars": lambda: rows(one=(VALUES,)),
    "markers": lambda: rows(one=(VALUES, 0.05 * np.ones(40)), two=(VALUES[::-1],), three=(1 - VALUES,)),
    "map": lambda: plots.heat_map(MATRIX, names=ATTRIBUTES, title="Map " * 30, label="phi"),
    "small map": lambda: plots.heat_map(MATRIX[:2, :2], names=ATTRIBUTES[:2], title="Map", label="phi"),
}


def drawn(figure):
    figure.set_dpi(80)
    FigureCanvasAgg(figure).draw()
    return figure


@pytest.mark.parametrize("name", FIGURES)
def test_no_name_covers_another_and_none_is_cut_off(name):
    figure = drawn(FIGURES[name]())
    sheet = figure.bbox
    for axis in ("xaxis", "yaxis"):
        low, high = sorted(getattr(figure.axes[0], axis).get_view_interval())
        ticks = zip(getattr(figure.axes[0], axis).get_ticklocs(), getattr(figure.axes[0], axis).get_ticklabels())
        labels = [text for place, text in ticks if low <= place <= high]  # matplotlib keeps one on either side
        boxes = [text.get_window_extent() for text in labels]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
        assert all(sheet.x0 <= box.x0 and box.x1 <= sheet.x1 and sheet.y0 <= box.y0 for box in boxes)
    title = figure._suptitle.get_window_extent()
    others = [text for text in figure.axes[0].findobj(mpl.text.Text) if text.get_text() and text.get_visible()]
    assert not any(title.overlaps(text.get_window_extent()) for text in others)


def test_bars_and_markers_stand_at_their_values_from_top_to_bottom():
    (axes,) = drawn(rows(one=(VALUES,))).axes
    assert np.allclose([bar.get_width() for bar in axes.patches], VALUES, equal_nan=True)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_yticklabels()[0].get_text() == "5 o'clock Shadow"
    (axes,) = drawn(rows(one=(VALUES, VALUES / 10), two=(VALUES[::-1],))).axes
    assert np.allclose(axes.containers[0].lines[0].get_xdata(), VALUES, equal_nan=True)
    assert np.allclose(axes.containers[1].lines[0].get_xdata(), VALUES[::-1], equal_nan=True)
    ends = axes.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert np.allclose(ends, [0.9 * VALUES[0], 1.1 * VALUES[0]])


def test_marks_stay_in_the_row_of_their_name_and_do_not_cover_each_other():
    series = {f"series {i}": (VALUES,) for i in range(7)}
    figure = drawn(plots.rows_by_name(series, names=ATTRIBUTES, title="Rows", xlabel="share"))
    (axes,) = figure.axes
    heights = np.array([lines.lines[0].get_ydata() for lines in axes.containers])
    assert np.abs(heights - np.arange(40)).max() < 0.45
    pixels = axes.transData.transform(np.stack([np.zeros(7), heights[:, 0]], 1))[:, 1]
    assert np.abs(np.diff(pixels)).min() > 4.5 / 72 * figure.dpi  # the size of a marker


def test_map_has_one_symmetric_scale():
    axes = drawn(FIGURES["map"]()).axes[0]
    (image,) = axes.images
    assert np.allclose(np.asarray(image.get_array()), MATRIX)
    assert image.get_clim() == (-1, 1) and image.get_cmap().name == "RdBu_r"


def test_what_does_not_fit_is_refused():
    with pytest.raises(LabkitError, match="2 names"):
        plots.heat_map(MATRIX, names=ATTRIBUTES[:2], title="Map", label="phi")
    with pytest.raises(LabkitError, match="'one'"):
        plots.rows_by_name({"one": (VALUES[:3],)}, names=ATTRIBUTES, title="Rows", xlabel="share")
    with pytest.raises(LabkitError, match="nothing"):
        plots.rows_by_name({}, names=ATTRIBUTES, title="Rows", xlabel="share")


def test_names_come_with_the_numbers_and_in_whatever_order():
    values, errors = pd.Series({"Pale_Skin": 0.5, "b": 0.25}), {"b": np.nan, "Pale_Skin": 0.1}
    (axes,) = drawn(plots.bars(values, "Two", "name", "share", errors=errors)).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Pale_Skin", "b"]
    assert [np.ptp(ends[:, 1]) for ends in axes.collections[0].get_segments()] == pytest.approx([0.2, 0.0])
    pairs = {"one": (values, pd.Series(errors)), "two": {"b": 2.0, "Pale_Skin": 1.0}}
    (axes,) = drawn(plots.rows_by_name(pairs, "Two", "share")).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Pale Skin", "b"]
    assert [list(each.lines[0].get_xdata()) for each in axes.containers] == [[0.5, 0.25], [1.0, 2.0]]


def test_titles_list_numbers_with_their_names_and_write_minus_signs():
    assert plots.listed({"VAE": 0.314, "Pale_Skin": -2}, ".1f") == "0.3 (VAE), -2.0 (Pale Skin)"
    figure = plots.bars({"a": 1.0}, "From 1e-3 by -2.5 to x-4, β-VAE", "x", "y")
    assert figure.get_suptitle().split() == ["From", "1e-3", "by", "−2.5", "to", "x-4,", "β-VAE"]
