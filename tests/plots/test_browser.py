"""The explorer's forward pass in JavaScript draws what torch draws, and its scripts are small."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.gan import DCGANConfig
from labkit.gan.dcgan import Generator
from labkit.plots import browser
from labkit.vae.conditional import ConditionalConfig, ConditionalVAE
from labkit.vae.resnet import ResNetConfig, ResNetDecoder

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run JavaScript")
CONDITION = {"Eyeglasses": 1.0, "Bangs": 0.0}
RUN = """
const fs = require("fs"), vm = require("vm"), [explorer, model, inputs] = process.argv.slice(1);
for (const file of [explorer, model]) vm.runInThisContext(fs.readFileSync(file, "utf8"));
const decode = labkitExplorer.load(labkitModels.it);
console.log(JSON.stringify(JSON.parse(fs.readFileSync(inputs)).map((z) => Array.from(decode(z).data))));
"""


def conditional(width):
    return ConditionalVAE(ConditionalConfig(len(CONDITION), 8, (32, 48), width)).decoder


def dcgan(width):
    return Generator(DCGANConfig(width=width, size=32, latent_dim=10))


def resnet(width):
    return ResNetDecoder(ResNetConfig(latent_dim=10, size=32, width=width))


def others(width):
    """Layers that the three above do not have."""
    return nn.Sequential(
        nn.Linear(10, width * 12), nn.Unflatten(1, (width, 3, 4)), nn.GroupNorm(2, width), nn.SiLU(),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(width, 6, 3, 2, 1), nn.InstanceNorm2d(6, affine=True),
        nn.ConvTranspose2d(6, 3, 3, 2, 1, output_padding=1), nn.Sigmoid(),
    )  # fmt: skip


CASES = [(build, width) for build in (conditional, dcgan, resnet, others) for width in (2, 4)]


def shaken(decoder):
    """The decoder in eval mode, every weight and running statistic random, and its output spread over [−1, 1]."""
    generator = torch.Generator().manual_seed(0)
    for module in decoder.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.3, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.3, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return decoder.eval()


def difference(decoder, folder, dtype="float32", spoil=lambda text: text):
    """The largest difference of a pixel between node and torch, over three latents."""
    z = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    model = browser.Model("a test", decoder, 8, {0: "latent 0"}, CONDITION)
    (folder / "it.js").write_text(browser.script("it", model, dtype))
    (folder / "explorer.js").write_text(spoil((browser.HERE / "explorer.js").read_text()))
    (folder / "z.json").write_text(json.dumps(z.tolist()))
    command = ["node", "-e", RUN, *(str(folder / name) for name in ("explorer.js", "it.js", "z.json"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    with torch.no_grad():
        wanted = decoder(z).flatten(1).numpy()
    got = np.array(json.loads(done.stdout))
    assert got.shape == wanted.shape and wanted.std() > 0.1
    return np.abs(got - wanted).max()


@needs_node
@pytest.mark.parametrize("build, width", CASES)
def test_draws_what_torch_draws(build, width, tmp_path):
    assert difference(shaken(build(width)), tmp_path) < 1e-3


@needs_node
@pytest.mark.parametrize("build", [conditional, dcgan])
def test_half_precision_moves_no_pixel_by_a_grey_level(build, tmp_path):
    assert difference(shaken(build(4)), tmp_path, "float16") < 2 / 255


@needs_node
@pytest.mark.parametrize(
    "right, wrong",
    [
        ("i * s - p", "i * s"),  # no padding
        ("w[at + n]", "w[n * channels + c]"),  # weights not transposed
        ("slope * v", "0"),
        ("data.fill(bias[c]", "data.fill(0 * bias[c]"),
    ],
)  # fmt: skip
def test_a_planted_bug_is_seen(right, wrong, tmp_path):
    def spoil(text):
        assert right in text
        return text.replace(right, wrong)

    assert not difference(shaken(conditional(2)), tmp_path, spoil=spoil) < 1e-3


@needs_node
def test_batch_norm_left_out_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "fuse_conv_bn_eval", lambda conv, bn, transpose: conv)
    assert difference(shaken(dcgan(2)), tmp_path) > 1e-3


@pytest.mark.parametrize("decoder", [conditional(16), Generator(DCGANConfig(width=16))])
def test_a_model_of_a_lab_fits_a_page(decoder, tmp_path):
    browser.write(tmp_path / "run", "it", browser.Model("a test", decoder, 8, {0: "latent 0"}))
    html = browser.page([tmp_path / "run" / "it.js"], tmp_path / "explorer")
    assert {file.name for file in (tmp_path / "explorer").iterdir()} == {"it.js", "explorer.js", "explorer.css"}
    assert 'src="explorer/it.js"' in html and "http" not in html


def test_a_model_too_large_is_left_out(tmp_path, capsys):
    browser.write(tmp_path, "it", browser.Model("a test", nn.Linear(1000, 1000), 1000, {0: "latent 0"}))
    assert not list(tmp_path.iterdir()) and "too many for a page" in capsys.readouterr().out


def test_an_unknown_layer_and_nan_are_refused():
    with pytest.raises(LabkitError, match="does not know Dropout"):
        browser.script("it", browser.Model("a test", nn.Sequential(nn.Dropout()), 8, {}))
    broken = nn.Linear(2, 2)
    nn.init.constant_(broken.weight, torch.nan)
    with pytest.raises(LabkitError, match="NaN"):
        browser.script("it", browser.Model("a test", broken, 2, {}))


def test_the_busiest_latent_moves_the_picture_most():
    decoder = nn.Linear(5, 3)
    nn.init.zeros_(decoder.weight)
    with torch.no_grad():
        decoder.weight[:, 3], decoder.weight[:, 1] = 2.0, 1.0
    assert list(browser.busiest(browser.Model("a test", decoder, 5, {}), count=2)) == [3, 1]
