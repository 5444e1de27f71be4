"""The explorer's forward pass in JavaScript draws what torch draws, and its scripts are small."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.faces.pixels import to_pixels
from labkit.fit.reference import ROOT
from labkit.flows import FlowConfig, build_flow
from labkit.flows.nets import MaskedAffine
from labkit.gan import DCGAN, DCGANConfig
from labkit.gan.dcgan import Generator
from labkit.plots import browser
from labkit.vae.conditional import ConditionalConfig, ConditionalVAE
from labkit.vae.resnet import ResNetConfig, ResNetDecoder

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run JavaScript")
CONDITION = {"Eyeglasses": 1.0, "Bangs": -1.0}
RUN = """
const fs = require("fs"), vm = require("vm"), [explorer, model, inputs, name] = process.argv.slice(1);
for (const file of [explorer, model]) vm.runInThisContext(fs.readFileSync(file, "utf8"));
const decode = labkitExplorer.load(labkitModels[name]);
console.log(JSON.stringify(JSON.parse(fs.readFileSync(inputs)).map((z) => Array.from(decode(z).data))));
"""


def conditional(width):
    return ConditionalVAE(ConditionalConfig(len(CONDITION), 8, (32, 48), width)).decoder


def dcgan(width):
    return Generator(DCGANConfig(width=width, size=32, latent_dim=10))


def resnet(width):
    return ResNetDecoder(ResNetConfig(latent_dim=10, size=32, width=width))


def flow(width):
    """A flow whose weights are all random, and the linear map that stands for components."""
    flow = build_flow(FlowConfig(10, 3, hidden=8 * width))
    generator = torch.Generator().manual_seed(0)
    for weight in (*flow.q0.parameters(), *(each for norm in flow.flows[1::2] for each in norm.parameters())):
        nn.init.normal_(weight, 0, 0.3, generator=generator)
    return nn.Sequential(flow, nn.Linear(10, 12), nn.Unflatten(1, (1, 3, 4)))


def others(width):
    """Layers that the four above do not have."""
    return nn.Sequential(
        nn.Linear(10, width * 12), nn.Unflatten(1, (width, 3, 4)), nn.GroupNorm(2, width), nn.SiLU(),
        nn.Upsample(scale_factor=2), nn.Conv2d(width, 6, 3, 2, 1), nn.InstanceNorm2d(6, affine=True),
        nn.ConvTranspose2d(6, 3, 3, 2, 1, output_padding=1), nn.Sigmoid(),
    )  # fmt: skip


CASES = [(build, width) for build in (conditional, dcgan, resnet, flow, others) for width in (2, 4)]


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
    for module in decoder.modules():
        if isinstance(module, MaskedAffine):  # else the exponentials of three layers reach thousands
            for net in (module.s, module.t):
                net.net[-1].weight.data /= 5
    return decoder.eval()


def drawn(name, script, z, folder, spoil=lambda text: text):
    """What node draws of latents z (N, M) with the model `name` of a script: (N, pixels)."""
    (folder / "explorer.js").write_text(spoil((browser.HERE / "explorer.js").read_text()))
    (folder / "z.json").write_text(json.dumps(z.tolist()))
    command = ["node", "-e", RUN, str(folder / "explorer.js"), str(script), str(folder / "z.json"), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    return np.array(json.loads(done.stdout))


def difference(decoder, folder, dtype="float32", spoil=lambda text: text):
    """The largest difference of a pixel between node and torch, over three latents."""
    z = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    model = browser.Model("a test", decoder, 8, {0: "latent 0"}, CONDITION)
    (folder / "it.js").write_text(browser.script("it", model, dtype))
    with torch.no_grad():
        wanted = decoder(z).flatten(1).numpy()
    got = drawn("it", folder / "it.js", z, folder, spoil)
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
    "build, right, wrong",
    [
        (conditional, "i * s - p", "i * s"),  # no padding
        (conditional, "w[at + n]", "w[n * channels + c]"),  # weights not transposed
        (conditional, "slope * v", "0"),
        (conditional, "data.fill(bias[c]", "data.fill(0 * bias[c]"),
        (flow, "=== kept", "!== kept"),
        (flow, "Math.exp(s[j])", "s[j]"),
        (flow, "+ b[i]", ""),
    ],
)  # fmt: skip
def test_a_planted_bug_is_seen(build, right, wrong, tmp_path):
    def spoil(text):
        assert right in text
        return text.replace(right, wrong)

    assert not difference(shaken(build(2)), tmp_path, spoil=spoil) < 1e-3


@needs_node
def test_the_reference_draws_in_a_browser_what_its_checkpoint_draws(tmp_path):
    """Of lab 04a; its weights are rounded a second time, after batch normalisation has been merged into them."""
    state = torch.load(ROOT / "04a_dcgan_training/main/checkpoint.pt", map_location="cpu", weights_only=True)["state"]
    gan = DCGAN(DCGANConfig(width=16))
    gan.load_state_dict(state["model"], strict=False)  # the reference keeps no discriminator
    z = torch.randn(2, gan.latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = gan.eval().decode(z).flatten(1).numpy()
    (script,) = (ROOT / "04a_dcgan_training" / "explorer").glob("*.js")
    assert np.abs(drawn("04a", script, z, tmp_path) - wanted).max() < 2 / 255


@needs_node
@pytest.mark.parametrize("script", sorted(ROOT.glob("*/explorer/*.js")), ids=lambda script: script.stem)
def test_every_model_of_the_reference_draws_pictures_that_differ(script, tmp_path):
    described = json.loads(script.read_text().split(" = ", 1)[1].rstrip(";\n"))
    told = torch.tensor([each["value"] for each in described["conditions"]]).expand(3, -1)
    z = torch.randn(3, described["latent_dim"], generator=torch.Generator().manual_seed(0))
    pictures = drawn(script.stem, script, torch.cat((z, told), 1), tmp_path)
    assert len(script.read_bytes()) <= browser.LARGEST and described["latents"]
    assert np.isfinite(pictures).all() and pictures.std(0).mean() > 0.05 and np.abs(pictures).max() < 2


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


def test_the_grid_moves_one_latent_of_the_start_alone():
    decoder = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Unflatten(1, (3, 1, 1)))
    with torch.no_grad():
        decoder[0].weight.copy_(0.1 * torch.eye(3, 4))
    start = torch.tensor([0.5, -1.0, 0.0])
    model = browser.Model("a test", decoder, 3, {2: "blue", 0: "red"}, {"Bangs": 1.0}, start=start)
    rows = model.grid((-3.0, 3.0))
    assert list(rows) == ["blue", "red"] and rows["blue"].shape == (2, 3, 1, 1)
    for label, latent in (("blue", 2), ("red", 0)):
        for place, value in enumerate((-3.0, 3.0)):
            wanted = start.clone()
            wanted[latent] = value
            np.testing.assert_array_equal(rows[label][place], to_pixels(0.1 * wanted[None, :, None, None])[0])
    assert torch.equal(start, torch.tensor([0.5, -1.0, 0.0]))


def test_latents_that_are_not_there_are_refused_and_a_label_cannot_end_the_script():
    with pytest.raises(LabkitError, match="0 to 4"):
        browser.Model("a test", nn.Linear(5, 3), 5, {5: "none"})
    shown = browser.widget(browser.Model("a test", nn.Linear(5, 3), 5, {0: "</script><b>"})).data
    assert shown.count("</script>") == 1
