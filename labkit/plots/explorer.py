"""The latent explorer: sliders for the most active latents, or a grid of pictures where nobody is there to slide."""

import base64
import html
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from labkit.errors import LabkitError
from labkit.faces.pixels import to_pixels

if TYPE_CHECKING:
    import ipywidgets

REACH = 3.0  # standard deviations of the prior, to either side
ENLARGED = 5  # a pixel's side on the screen
# ipywidgets has no alternative text for an image, and no name for a slider's handle: each handle gets its label's.
PICTURE = """<img alt="{alt}" src="data:image/png;base64,{png}" onload="
for (const handle of this.closest('.latent-explorer').querySelectorAll('.noUi-handle'))
  handle.setAttribute('aria-label', handle.closest('.widget-slider').querySelector('label').textContent)">"""


def somebody_is_there() -> bool:
    """Whether the cell that runs was started by a person who could move a slider.

    Every request to run a cell says whether the front end could ask its user for input (`allow_stdin` in the
    messaging specification of Jupyter). JupyterLab, Notebook and VS Code say yes. What runs a notebook unattended
    says no: papermill, and so `labkit run`, nbconvert, nbval. Outside a notebook there is nobody either.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))  # the kernel keeps it nowhere else


@dataclass(frozen=True)
class LatentExplorer:
    """A face and some latents to move."""

    # Latents (n, M), any n → images (n, 3, H, W) in [−1, 1]; the condition, if any, is fixed in it.
    decode: Callable[[Tensor], Tensor]
    start: Tensor  # (M,), the latent to begin at
    latents: dict[int, str]  # index → label of those to move, in the order shown

    def __post_init__(self) -> None:
        outside = [latent for latent in self.latents if not 0 <= latent < len(self.start)]
        if not self.latents or outside:
            raise LabkitError(
                f"LatentExplorer: latents {list(self.latents)} must be at least one, "
                f"each in 0 to {len(self.start) - 1}."
            )

    @torch.no_grad()
    def faces(self, settings: list[dict[int, float]]) -> np.ndarray:
        """uint8 (n, 3, H, W): the start with the latents of each setting at its values."""
        z = self.start.repeat(len(settings), 1)
        for row, setting in zip(z, settings, strict=True):
            for latent, value in setting.items():
                row[latent] = value
        return to_pixels(self.decode(z))

    def grid(self, values: tuple[float, ...]) -> dict[str, np.ndarray]:
        """For `plots.image_rows`: a row per latent, that latent alone at each of the values."""
        return {label: self.faces([{latent: value} for value in values]) for latent, label in self.latents.items()}

    def sliders(self) -> "ipywidgets.Widget":
        """A slider per latent beside the face, drawn anew whenever one is moved, and a button back to the start."""
        import ipywidgets as widgets

        picture = widgets.HTML()
        knobs = {
            latent: widgets.FloatSlider(
                float(self.start[latent].clamp(-REACH, REACH)), min=-REACH, max=REACH, step=0.1, description=label,
                style={"description_width": "12em"}, layout={"width": "30em"},
            )
            for latent, label in self.latents.items()
        }  # fmt: skip
        first = {latent: knob.value for latent, knob in knobs.items()}

        def draw(_: object = None) -> None:
            values = {latent: knob.value for latent, knob in knobs.items()}
            shown = ", ".join(f"{self.latents[latent]} {value:.1f}" for latent, value in values.items())
            picture.value = PICTURE.format(
                alt=html.escape(f"The face of these latents: {shown}"),
                png=base64.b64encode(_png(self.faces([values])[0])).decode(),
            )

        def back(_: object) -> None:
            for latent, knob in knobs.items():
                knob.value = first[latent]

        for knob in knobs.values():
            knob.observe(draw, "value")
        reset = widgets.Button(description="back to the start")
        reset.on_click(back)
        draw()
        return widgets.HBox([widgets.VBox([*knobs.values(), reset]), picture]).add_class("latent-explorer")


def _png(image: np.ndarray) -> bytes:
    height, width = image.shape[1:]
    buffer = io.BytesIO()
    large = Image.fromarray(image.transpose(1, 2, 0)).resize((ENLARGED * width, ENLARGED * height))
    large.save(buffer, "PNG")
    return buffer.getvalue()
