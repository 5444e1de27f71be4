"""Figures: what is drawn is what was given, nothing covers anything, pyplot keeps nothing."""

import warnings
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from labkit import plots
from labkit.errors import LabkitError
from labkit.plots.style import spread_out

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 3, 12, 8), dtype=np.uint8)
X = np.arange(1, 31)
LONG = "a label of many words that could run over everything that stands beside it"
CURVES = {
    "series": {LONG: (X, np.sqrt(X)), "other": (X, -np.sqrt(X), 0.1 * np.ones(30))},
    "title": "Two lines part " * 12,
    "xlabel": "epoch",
    "ylabel": "loss (nats)",
    "levels": {"a level with a long name": 1.0, "another very near": 1.02, "out of sight": 99.0},
    "ylim": (-6.0, 7.0),
}
FIGURES = {
    "image_grid": lambda: plots.image_grid(IMAGES, columns=4, title=LONG, labels=[LONG, *"abcde"]),
    "image_grid in colour": lambda: plots.image_grid(COLOUR, columns=2, title="Colours"),
    "image_rows": lambda: plots.image_rows(
        {LONG: IMAGES, "short": COLOUR[:3]}, title="Rows", column_labels=list("abcdef")
    ),
    "signed_maps": lambda: plots.signed_maps(
        RNG.normal(size=(7, 8, 8)), title="Maps", labels=list("abcdefg"), columns=4
    ),
    "neighbours": lambda: plots.neighbours(IMAGES, IMAGES[::-1], np.arange(6.0), title="Twins"),
    "paths": lambda: plots.paths(
        {LONG: (IMAGES, np.arange(6.0)), "b": (COLOUR, np.full(6, np.nan))},
        title="Paths",
        value_label="log-density (nats)",
    ),
    "curves": lambda: plots.curves(**CURVES),
    "panels": lambda: plots.panels([CURVES | {"title": "left"}, CURVES | {"title": LONG}], title="Both"),
    "cumulative": lambda: plots.cumulative(
        np.linspace(0.05, 1, 20),
        title="Sum",
        marks={"half": 10, "more": 12},
        xlabel="components",
        ylabel="share",
    ),
    "bars": lambda: plots.bars(
        [3.0, -1.0, np.nan],
        labels=[LONG, "b", "c"],
        title="Bars",
        xlabel="model",
        ylabel="nats",
        highlight=[0],
    ),
    "density": lambda: plots.density(
        -RNG.random((9, 7)), (0, 1, 0, 2), RNG.random((5, 2)), title="D", xlabel="x", ylabel="y"
    ),
}


def drawn(figure):
    figure.set_dpi(80)
    FigureCanvasAgg(figure).draw()
    return figure


def pictures(figure):
    """Images on the sheet, in the order drawn, as (array, extent)."""
    return [(np.asarray(each.get_array()), each.get_extent()) for each in figure.axes[0].images]


def texts(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text)]


@pytest.mark.parametrize("name", FIGURES)
def test_draws_without_a_warning_and_leaves_no_trace(name):
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = drawn(FIGURES[name]())
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
    assert isinstance(figure, mpl.figure.Figure)


@pytest.mark.parametrize("name", FIGURES)
def test_title_stays_inside_the_figure_and_above_the_axes(name):
    figure = drawn(FIGURES[name]())
    titles = [each for each in figure.texts if each.get_fontweight() == "bold"]
    assert len(titles) == 1
    box = titles[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    shown = [axes for axes in figure.axes if axes.axison]
    assert all(axes.get_window_extent().y1 <= box.y0 + 1 for axes in shown)


@pytest.mark.parametrize("name", ["curves", "panels"])
def test_legend_and_level_names_cover_no_data(name):
    figure = drawn(FIGURES[name]())
    legend = figure.legends[0].get_window_extent()
    assert len(figure.legends) == 1
    for axes in figure.axes:
        assert not legend.overlaps(axes.get_tightbbox())
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 3
        assert all(box.x0 >= axes.get_window_extent().x1 for box in boxes)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    lefts = sorted(axes.get_window_extent().x0 for axes in figure.axes)
    rights = sorted(axes.get_tightbbox().x1 for axes in figure.axes)
    assert all(right <= left for right, left in zip(rights[:-1], lefts[1:], strict=True))


@pytest.mark.parametrize(
    "same",
    [
        IMAGES[:, 0],
        torch.from_numpy(IMAGES),
        IMAGES.astype(np.float32) / 255,
        torch.from_numpy(IMAGES[:, 0]).double() / 255,
    ],
    ids=["no channel", "tensor", "float", "float tensor"],
)
def test_every_accepted_form_of_an_image_gives_the_same_pixels(same):
    for (got, place), (expected, expected_place) in zip(
        pictures(plots.image_grid(same, columns=4, title="t")),
        pictures(plots.image_grid(IMAGES, columns=4, title="t")),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-6)
        assert place == expected_place


def test_grid_shows_each_image_in_reading_order_without_overlap():
    shown = pictures(plots.image_grid(IMAGES, columns=4, title="t"))
    for (array, _), image in zip(shown, IMAGES, strict=True):
        np.testing.assert_allclose(array, image[0] / 255, atol=1e-6)
    places = [extent for _, extent in shown]
    assert [place[0] for place in places[:4]] == sorted(place[0] for place in places[:4])
    assert places[4][0] == places[0][0] and places[4][3] > places[0][2]
    assert all(left[1] < right[0] for left, right in pairwise(places[:4]))


def test_colour_keeps_its_channels():
    ((array, _),) = pictures(plots.image_grid(COLOUR[:1], columns=1, title="t"))
    np.testing.assert_allclose(array, np.moveaxis(COLOUR[0], 0, -1) / 255, atol=1e-6)


def test_values_outside_0_to_1_are_clipped():
    image = np.array([[[-1.0, 0.5], [0.0, 7.0]]])
    ((array, _),) = pictures(plots.image_grid(image, columns=1, title="t"))
    np.testing.assert_array_equal(array, [[0, 0.5], [0, 1]])


def test_images_stand_upright():
    """Seen in the drawn pixels: black above white, and dark at the left of bright."""
    upright = np.array([[[0.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    figure = drawn(plots.image_grid(upright, columns=2, title="t"))
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, 0]  # row 0 is the lowest, as in display coordinates
    corners = []
    for image in figure.axes[0].images:
        x0, x1, y0, y1 = image.get_extent()
        (left, low), (right, high) = np.sort(figure.axes[0].transData.transform([(x0, y0), (x1, y1)]), axis=0)
        for x, y in ((0.25, 0.75), (0.75, 0.75), (0.25, 0.25), (0.75, 0.25)):
            corners.append(int(pixels[int(low + y * (high - low)), int(left + x * (right - left))]))
    assert np.round(np.array(corners) / 255).tolist() == [0, 0, 1, 1, 0, 1, 0, 1]


def test_image_that_is_not_finite_is_marked_instead_of_drawn():
    images = IMAGES[:3, 0] / 255
    images[1, 2, 2] = np.inf
    figure = plots.image_rows({"a": images}, title="t")
    assert len(pictures(figure)) == 2
    assert any("not" in text and "finite" in text for text in texts(figure))


def test_weight_maps_share_one_symmetric_scale():
    maps = np.stack([np.full((4, 4), 0.1), np.full((4, 4), -3.0)])
    figure = drawn(plots.signed_maps(maps, title="t"))
    assert {each.get_clim() for each in figure.axes[0].images} == {(-3.0, 3.0)}
    assert "weight" in texts(figure)


def test_neighbours_stand_beneath_their_samples():
    samples, nearest = IMAGES[:2], IMAGES[2:4]
    shown = pictures(plots.neighbours(samples, nearest, [1.5, 2.5], title="t"))
    for i in range(2):
        (sample, above), (twin, below) = shown[2 * i], shown[2 * i + 1]
        np.testing.assert_allclose(sample, samples[i, 0] / 255, atol=1e-6)
        np.testing.assert_allclose(twin, nearest[i, 0] / 255, atol=1e-6)
        assert above[0] == below[0] and below[3] > above[2]
    assert {"1.5", "2.5"} <= set(texts(plots.neighbours(samples, nearest, [1.5, 2.5], title="t")))


def test_gaps_are_left_and_counted():
    y = np.where(X > 20, np.inf, X * 1.0)
    figure = plots.curves({"held out": (X, y), "train": (X, X)}, title="t", xlabel="x", ylabel="y")
    line = figure.axes[0].lines[0]
    assert np.isnan(line.get_ydata()[20:]).all() and not np.isnan(line.get_ydata()[:20]).any()
    assert "10 of 30 not finite" in figure.legends[0].get_texts()[0].get_text().replace("\n", " ")
    assert figure.legends[0].get_texts()[1].get_text() == "train"


def test_logarithmic_axis_leaves_out_what_has_no_logarithm():
    figure = plots.curves({"a": (X, X - 3.0)}, title="t", xlabel="x", ylabel="y", log_y=True)
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[:3]).all()
    assert "3 of 30" in figure.legends[0].get_texts()[0].get_text()


def test_lines_differ_without_colour_and_look_the_same_in_every_panel():
    one = {"series": {"a": (X, X), "b": (X, -X)}, "title": "1", "xlabel": "x", "ylabel": "y"}
    two = {"series": {"b": (X, X), "c": (X, -X)}, "title": "2", "xlabel": "x", "ylabel": "y"}
    left, right = plots.panels([one, two], title="t").axes

    def look(line):
        return line.get_color(), line.get_marker(), str(line._unscaled_dash_pattern)

    assert look(left.lines[1]) == look(right.lines[0])
    first, second, third = look(left.lines[0]), look(left.lines[1]), look(right.lines[1])
    assert all(len({each[i] for each in (first, second, third)}) == 3 for i in range(3))


def test_cumulative_states_the_share_at_each_mark():
    shares = np.array([0.5, 0.75, 0.875, 1.0])
    figure = plots.cumulative(shares, title="t", marks={"three": 3}, xlabel="x", ylabel="y")
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), shares)
    assert any("3 components hold 87.50 %" in text for text in texts(figure))
    assert not figure.axes[0].texts  # named in the legend: no leader crosses a word


def test_a_few_settings_on_a_logarithmic_axis_are_its_ticks():
    def ticks(*x):
        axes = plots.curves({"a": (x, x)}, title="t", xlabel="x", ylabel="y", log_x=True).axes[0]
        return [text.get_text() for text in axes.get_xticklabels()]

    assert ticks(32, 64, 128) == ["32", "64", "128"]
    assert ticks(1e-6, 1e-5, 1e-4) == ["1e-06", "1e-05", "0.0001"]
    assert ticks(1 / 512, 1 / 128, 0.5, 1500) == ["0.002", "0.0078", "0.5", "1500"]
    assert ticks(*range(1, 30)) != [str(i) for i in range(1, 30)]


def test_values_far_from_zero_are_dots_and_others_bars_that_start_at_zero():
    shared = {"labels": list("abc"), "title": "t", "xlabel": "x", "ylabel": "y", "highlight": [1]}
    near = plots.bars([1.0, 3.0, np.nan], **shared).axes[0]
    assert [bar.get_height() for bar in near.patches] == [1.0, 3.0, 0.0]
    assert [bool(bar.get_hatch()) for bar in near.patches] == [False, True, False]
    assert {"3", "nan"} <= {text.get_text() for text in near.texts}
    far = plots.bars([301.0, 303.0, 302.0], errors=[1, 1, 1], **shared).axes[0]
    assert not far.patches and far.get_ylim()[0] > 250
    assert [text.get_text() for text in far.texts] == ["303"]
    two = plots.bars([301.0, 303.0], **{**shared, "labels": list("ab"), "highlight": [0, 1]})
    two.canvas.draw()
    boxes = [text.get_window_extent() for text in two.axes[0].texts]
    frame = two.axes[0].get_window_extent()
    assert all(frame.x0 < box.x0 and box.x1 < frame.x1 for box in boxes)  # a number beside the axis' own


def test_density_is_drawn_from_its_lowest_row_up_and_cut_ten_nats_below_its_peak():
    values = np.array([[0.0, -5.0], [-40.0, -np.inf]])
    axes = plots.density(values, (0, 1, 0, 1), np.zeros((1, 2)), title="t", xlabel="x", ylabel="y").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0, -5], [-10, -10]])
    assert axes.images[0].origin == "lower"


def test_labels_are_spread_in_order_and_inside():
    placed = spread_out([0.98, 0.1, 0.99, 0.11], 0.1)
    assert list(np.argsort(placed)) == [1, 3, 0, 2]
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-12
    assert placed.max() <= 1 and placed[1] == 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.image_grid(IMAGES[0, 0], columns=2, title="t"), "must be"),
        (lambda: plots.image_grid(IMAGES.astype(int), columns=2, title="t"), "uint8"),
        (lambda: plots.image_grid(IMAGES, columns=0, title="t"), "columns"),
        (lambda: plots.image_grid(IMAGES, columns=2, title="t", labels=["one"]), "labels"),
        (lambda: plots.image_rows({}, title="t"), "no row"),
        (lambda: plots.neighbours(IMAGES, IMAGES[:2], np.ones(6), title="t"), "nearest"),
        (lambda: plots.paths({"a": (IMAGES, [1.0])}, title="t", value_label="v"), "values"),
        (lambda: plots.paths({}, title="t", value_label="v"), "no path"),
        (lambda: plots.curves({"a": (X, X[1:])}, title="t", xlabel="x", ylabel="y"), "'a'"),
        (lambda: plots.curves({}, title="t", xlabel="x", ylabel="y"), "no series"),
        (lambda: plots.panels([], title="t"), "no chart"),
        (lambda: plots.bars([1.0], labels=[], title="t", xlabel="x", ylabel="y"), "labels"),
        (lambda: plots.bars([], labels=[], title="t", xlabel="x", ylabel="y"), "no value"),
        (
            lambda: plots.cumulative([0.6, 0.4], title="t", marks={}, xlabel="x", ylabel="y"),
            "running sum",
        ),
        (
            lambda: plots.cumulative([0.5, 1.0], title="t", marks={"m": 3}, xlabel="x", ylabel="y"),
            "1 to 2",
        ),
        (
            lambda: plots.density(
                np.full((2, 2), np.nan), (0, 1, 0, 1), np.ones((1, 2)), title="t", xlabel="x", ylabel="y"
            ),
            "finite",
        ),
    ],
)
def test_bad_input_is_met_with_one_sentence(call, message):
    with pytest.raises(LabkitError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
