"""The latent explorer: a torch decoder as a script that `explorer.js` draws faces with, in a page or in a notebook.

The script holds a list of layers, and weights in base64. Where nobody is there to slide, `Model.grid` draws faces.
"""

import base64
import copy
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from labkit.data.vision import models as vision
from labkit.errors import LabkitError
from labkit.faces.pixels import to_pixels
from labkit.flows.nets import ActNorm, Flow, MaskedAffine
from labkit.vae.resnet import ResNetDecoder, UpsampledConv2d

if TYPE_CHECKING:
    from IPython.display import HTML

HERE = Path(__file__).parent
LARGEST = 2_000_000  # bytes of one model's script
ACTIVATIONS = {nn.ReLU: "relu", nn.LeakyReLU: "leaky", nn.SiLU: "silu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}


@dataclass(frozen=True)
class Model:
    """A decoder and what a reader may move."""

    title: str  # what drew the face, for the picture's alternative text: "the conditional VAE of lab 03c"
    decoder: nn.Module  # latents, then the condition → images in [−1, 1]; `vae.decoder` or `gan.generator`
    latent_dim: int  # M
    # Index → label of the sliders, in the order shown; none given, those that are the `busiest`.
    latents: dict[int, str] = field(default_factory=dict)
    # Label → value from the start (1 has it, −1 has it not), in the order of the condition vector.
    conditions: dict[str, float] = field(default_factory=dict)
    shown: tuple[str, ...] = ()  # those conditions that a reader may set
    start: Tensor | None = None  # (M,), the face to begin with; None draws one

    def __post_init__(self) -> None:
        if outside := [latent for latent in self.latents if not 0 <= latent < self.latent_dim]:
            raise LabkitError(f"Model: latents {outside} do not exist; each lies in 0 to {self.latent_dim - 1}.")

    @torch.no_grad()
    def grid(self, values: tuple[float, ...]) -> dict[str, np.ndarray]:
        """For `plots.image_rows`: a row for each latent, uint8 (len(values), C, H, W), that one alone at each value.

        The other latents stay as in `start`, or at 0.
        """
        decoder, start = _still(self.decoder), torch.zeros(self.latent_dim) if self.start is None else self.start
        z = torch.cat((start.cpu(), torch.tensor(list(self.conditions.values())))).repeat(len(values), 1)
        rows = {}
        for latent, label in self.latents.items():
            moved = z.clone()
            moved[:, latent] = torch.tensor(values)
            rows[label] = to_pixels(decoder(moved))
        return rows


def write(out: Path, name: str, model: Model) -> None:
    """Write NAME.js into `out`, for `page`; a model of more than 2 MB is left out, with a line that says so.

    Raises LabkitError: a layer that explorer.js does not know, or weights that are not finite.
    """
    text = script(name, model)
    if len(text) > LARGEST:
        print(f"{name}: {len(text) / 1e6:.1f} MB are too many for a page, so the site shows no explorer of it.")
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.js").write_text(text, encoding="utf-8")


def page(scripts: Iterable[Path], out: Path) -> str:
    """Copy what `write` wrote, and what draws it, into the folder `out`; returns the HTML of a page beside it."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [f'<link rel="stylesheet" href="{out.name}/explorer.css">']
    for path in scripts:
        shutil.copyfile(path, out / path.name)
        lines.append(f'<div class="labkit-explorer" data-model="{path.stem}" data-link></div>')
        lines.append(f'<script src="{out.name}/{path.name}"></script>')
    for asset in ("explorer.js", "explorer.css"):
        shutil.copyfile(HERE / asset, out / asset)
    # Last, and once: it fills every place that it finds.
    return "\n".join([*lines, f'<script src="{out.name}/explorer.js"></script>', ""])


def widget(model: Model) -> "HTML":
    """The explorer as the output of a cell: the script alone, so that every front end of Jupyter shows the same."""
    from IPython.display import HTML

    style, code = ((HERE / f"explorer.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    place = '<div class="labkit-explorer" data-model="notebook"></div>'
    return HTML(f"<style>{style}</style>{place}<script>{script('notebook', model)}{code}</script>")


def script(name: str, model: Model, dtype: str = "float16") -> str:
    """The text of NAME.js; weights in half precision, or in float32 to compare with torch."""
    weights: list[np.ndarray] = []
    described = {
        "title": model.title,
        "latent_dim": model.latent_dim,
        "latents": [{"index": index, "label": label} for index, label in (model.latents or busiest(model)).items()],
        "conditions": [
            {"label": label.replace("_", " "), "value": float(value), "shown": label in model.shown}
            for label, value in model.conditions.items()
        ],
        "layers": list(_layers([_still(model.decoder)], weights)),
        "start": None if model.start is None else model.start.tolist(),
        "dtype": dtype,
    }
    flat = np.concatenate(weights).astype(f"<f{np.dtype(dtype).itemsize}")
    if not np.isfinite(flat).all():
        raise LabkitError(
            f"{name}: some weights are NaN or too large for {dtype}; export a model that has not diverged."
        )
    described["weights"] = base64.b64encode(flat.tobytes()).decode()
    text = json.dumps(described).replace("</", "<\\/")  # or a label could end the script
    return f"(globalThis.labkitModels ??= {{}})[{json.dumps(name)}] = {text};\n"


@torch.no_grad()
def busiest(model: Model, count: int = 6) -> dict[int, str]:
    """The latents that change pixels most between −2 and 2, over eight faces: index → "latent 12"."""
    decoder = _still(model.decoder)
    told = torch.tensor(list(model.conditions.values())).expand(8, -1)
    z = torch.randn(8, model.latent_dim, generator=torch.Generator().manual_seed(0))

    def change(latent: int) -> float:
        ends = []
        for value in (-2.0, 2.0):
            moved = z.clone()
            moved[:, latent] = value
            ends.append(decoder(torch.cat((moved, told), 1)))
        return (ends[1] - ends[0]).abs().mean().item()

    ranked = sorted(range(model.latent_dim), key=change, reverse=True)
    return {latent: f"latent {latent}" for latent in ranked[:count]}


def _still(decoder: nn.Module) -> nn.Module:
    """A copy to look at: the lab goes on with its model as it is."""
    return copy.deepcopy(decoder).cpu().float().eval()


def _layers(modules: Iterable[nn.Module], weights: list[np.ndarray]) -> Iterable[dict]:
    """Describe modules one after another; weights are appended, and [start, length] stands for them."""
    flat = list(_flattened(modules))
    while flat:
        layer = flat.pop(0)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and flat and isinstance(flat[0], nn.BatchNorm2d):
            layer = fuse_conv_bn_eval(layer, flat.pop(0), transpose=isinstance(layer, nn.ConvTranspose2d))
        yield from _described(layer, weights)


def _flattened(modules: Iterable[nn.Module]) -> Iterable[nn.Module]:
    for module in modules:
        if isinstance(module, ResNetDecoder) or type(module).__name__ == "Generator":
            yield from _flattened(module.children())  # in the order in which they are called
        elif isinstance(module, nn.Sequential):
            yield from _flattened(module)
        elif not isinstance(module, nn.Identity):
            yield module


def _described(layer: nn.Module, weights: list[np.ndarray]) -> Iterable[dict]:
    def at(values: Tensor | None) -> list[int] | None:
        if values is None:
            return None
        start = sum(map(len, weights))
        weights.append(values.detach().flatten().numpy())
        return [start, values.numel()]

    held = lambda: {"w": at(layer.weight), "b": at(layer.bias)}  # noqa: E731
    match layer:
        case Flow(config=config) if config.family == "realnvp":
            yield {"op": "affine", "w": at(layer.q0.log_scale.exp()), "b": at(layer.q0.loc)}
            for part in layer.flows:
                yield from _described(part, weights)
        case ActNorm():
            yield {"op": "affine", "w": at(layer.s.exp()), "b": at(layer.t)}
        case MaskedAffine(bound=None):
            kept = int(layer.b.flatten()[0] == 0)  # the masks alternate: features of this parity are kept
            nets = [list(_layers([_live(net, kept)], weights)) for net in (layer.s, layer.t)]
            yield {"op": "coupling", "kept": kept, "scale": nets[0], "shift": nets[1]}
        case nn.Linear():
            yield {"op": "linear", "out": layer.out_features, **held()}
        case UpsampledConv2d():
            yield {"op": "upsample", "factor": 2}
            yield {"op": "conv2d", **_square(layer), **held()}
        case nn.Conv2d():
            yield {"op": "conv2d", **_square(layer), **held()}
        case nn.ConvTranspose2d():
            yield {"op": "transposed", "extra": layer.output_padding[0], **_square(layer), **held()}
        case nn.Unflatten():
            yield {"op": "reshape", "shape": list(layer.unflattened_size)}
        case nn.Upsample(mode="nearest") if layer.scale_factor in (2, 4):
            yield {"op": "upsample", "factor": int(layer.scale_factor)}
        case nn.GroupNorm():
            yield {"op": "norm", "groups": layer.num_groups, "eps": layer.eps, **held()}
        case nn.InstanceNorm2d(track_running_stats=False):
            yield {"op": "norm", "groups": layer.num_features, "eps": layer.eps, **held()}
        case vision.resnet.BasicBlock():
            parts = [layer.conv1, layer.bn1, nn.ReLU(), layer.conv2, layer.bn2]
            body = list(_layers(parts, weights))
            shortcut = list(_layers([layer.downsample] if layer.downsample else [], weights))
            yield {"op": "residual", "body": body, "shortcut": shortcut}
            yield {"op": "activation", "name": "relu"}
        case _ if type(layer) in ACTIVATIONS:
            yield {"op": "activation", "name": ACTIVATIONS[type(layer)], "slope": getattr(layer, "negative_slope", 0)}
        case _:
            raise LabkitError(f"explorer.js does not know {layer}; add it there and here, or leave the model out.")


def _live(net: nn.Module, kept: int) -> nn.Sequential:
    """The half of a coupling's net that is neither masked to zero nor thrown away."""
    layers = list(copy.deepcopy(net).net)
    first, last = (layers[place] for place in (0, -1))
    first.weight = nn.Parameter(first.weight[:, kept::2])
    last.weight, last.bias = nn.Parameter(last.weight[1 - kept :: 2]), nn.Parameter(last.bias[1 - kept :: 2])
    last.out_features = len(last.bias)
    return nn.Sequential(*layers)


def _square(layer: nn.Conv2d | nn.ConvTranspose2d) -> dict:
    kinds = {len(set(each)) for each in (layer.kernel_size, layer.stride, layer.padding)}
    if kinds != {1} or layer.groups != 1 or set(layer.dilation) != {1}:
        raise LabkitError(f"explorer.js knows square convolutions without groups or dilation only, not {layer}.")
    return {
        "out": layer.out_channels,
        "kernel": layer.kernel_size[0],
        "stride": layer.stride[0],
        "padding": layer.padding[0],
    }
