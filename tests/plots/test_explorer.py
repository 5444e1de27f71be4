"""The latent explorer without a browser: its callback is driven, and a kernel is asked whether somebody is there."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from PIL import Image

from labkit.errors import LabkitError
from labkit.plots.explorer import ENLARGED, REACH, LatentExplorer, somebody_is_there

START = torch.tensor([0.5, -1.0, 0.0, 2.0])
LABELS = {2: "blue", 0: "red"}


def decode(z):
    """A picture of one colour, the first three latents in tenths of the range."""
    return (0.1 * z[:, :3])[:, :, None, None].expand(-1, -1, 8, 6)


def explorer():
    return LatentExplorer(decode, START.clone(), LABELS)


def levels(*tenths):
    return np.round((0.1 * np.array(tenths) + 1) * 127.5)


def found(widget, kind):
    if type(widget).__name__ == kind:
        return [widget]
    return [each for child in getattr(widget, "children", ()) for each in found(child, kind)]


def colour(picture):
    image = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", picture.value)[1])))
    assert image.size == (6 * ENLARGED, 8 * ENLARGED)
    return np.asarray(image)[4 * ENLARGED, 3 * ENLARGED]


def test_a_slider_moves_its_latent_alone_and_the_button_brings_it_back():
    widget = explorer().sliders()
    (picture,), (blue, red), (button,) = (found(widget, kind) for kind in ("HTML", "FloatSlider", "Button"))
    assert (blue.value, red.value, blue.min, blue.max) == (0.0, 0.5, -REACH, REACH)
    assert [knob.description for knob in (blue, red)] == ["blue", "red"]
    assert 'alt="The face of these latents: blue 0.0, red 0.5"' in picture.value
    np.testing.assert_array_equal(colour(picture), levels(0.5, -1, 0))
    blue.value = 3.0
    np.testing.assert_array_equal(colour(picture), levels(0.5, -1, 3))
    red.value = -2.0
    np.testing.assert_array_equal(colour(picture), levels(-2, -1, 3))
    button.click()
    np.testing.assert_array_equal(colour(picture), levels(0.5, -1, 0))


def test_the_grid_has_a_row_per_latent_and_moves_nothing_else():
    one = explorer()
    rows = one.grid((-3.0, 0.0, 3.0))
    assert list(rows) == ["blue", "red"]
    assert rows["blue"].shape == (3, 3, 8, 6) and rows["blue"].dtype == np.uint8
    for place, value in enumerate((-3.0, 0.0, 3.0)):
        np.testing.assert_array_equal(rows["blue"][place, :, 0, 0], levels(0.5, -1, value))
        np.testing.assert_array_equal(rows["red"][place, :, 0, 0], levels(value, -1, 0))
    assert torch.equal(one.start, START)


def test_latents_that_are_not_there_are_refused():
    for latents in ({}, {4: "none"}, {-1: "none"}):
        with pytest.raises(LabkitError, match="0 to 3"):
            LatentExplorer(decode, START, latents)


def test_somebody_is_there_only_where_the_front_end_could_ask():
    assert not somebody_is_there()  # no notebook at all
    manager, client = start_new_kernel(kernel_name="python3")
    code = "from labkit.plots.explorer import somebody_is_there\nprint(somebody_is_there())"
    try:
        for allowed in (True, False):
            printed = []
            client.execute_interactive(
                code, allow_stdin=allowed, stdin_hook=lambda _: None, output_hook=printed.append, timeout=60
            )
            text = [each["content"]["text"] for each in printed if each["msg_type"] == "stream"]
            assert text == [f"{allowed}\n"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
