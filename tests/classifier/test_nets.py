"""Attribute classifiers: shapes, every weight trained, batch norm kept, a start that says what it is."""

import hashlib

import pytest
import torch
from torch import nn

from labkit.classifier.nets import EfficientNetLite0, InceptionV3, ResNet18
from labkit.data import vision
from labkit.data.vision import inception_weights

IMAGES = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def inception():
    torch.manual_seed(0)
    return InceptionV3(5)


@pytest.mark.parametrize("shape", [(64, 64), (64, 48), (32, 32)])
def test_resnet_gives_a_logit_per_attribute(shape):
    net = ResNet18(7, width=8)
    assert net(IMAGES[..., : shape[0], : shape[1]]).shape == (4, 7)
    assert net.features(IMAGES).shape == (4, 64)


def test_every_weight_of_the_resnet_is_trained_and_there_are_eighteen_layers():
    net = ResNet18(3, width=8)
    net(IMAGES).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    wide = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(wide) + sum(isinstance(m, nn.Linear) for m in net.modules()) == 18
    full = sum(p.numel() for p in ResNet18(1000).parameters())
    assert abs(full / 11_689_512 - 1) < 0.01  # torchvision's own, but for the stem


def test_inception_has_two_heads_in_training_and_one_afterwards(inception):
    inception.train()
    main, auxiliary = inception(IMAGES[:2])
    assert main.shape == auxiliary.shape == (2, 5)
    with torch.no_grad():
        assert inception.eval()(IMAGES[:2]).shape == (2, 5)
        assert inception.features(IMAGES[:2]).shape == (2, 2048)
        assert inception.scaled(IMAGES[:2]).shape == (2, 3, 299, 299)
    assert inception.start == "random"


def test_training_mode_leaves_the_statistics_of_batch_norm_alone(inception):
    before = {name: value.clone() for name, value in inception.named_buffers()}
    inception.train()
    with torch.no_grad():
        inception(IMAGES[:2])
    assert all(torch.equal(value, before[name]) for name, value in inception.named_buffers())


def test_a_random_trunk_has_features_that_differ_once_it_has_statistics(inception):
    inception.set_statistics(IMAGES)
    norms = [m for m in inception.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not inception.training and all(m.momentum == norms[0].momentum != 1.0 for m in norms)
    with torch.no_grad():
        features = inception.features(IMAGES)
    assert features.isfinite().all()
    assert 1e-2 < features.std(0).mean() < 1e2


def test_imagenet_weights_are_used_where_they_are_given(inception):
    state = dict(inception.trunk.state_dict())
    sizes = {"fc": 2048, "AuxLogits.fc": 768}
    for name, width in sizes.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.zeros(1000, width), torch.zeros(1000)
    there = InceptionV3(3, state)
    assert there.start == "ImageNet"
    assert torch.equal(there.trunk.Mixed_7c.branch1x1.conv.weight, inception.trunk.Mixed_7c.branch1x1.conv.weight)


@pytest.mark.parametrize("pretrained", [True, False], ids=["ImageNet", "random"])
def test_lite0_says_how_it_began_and_keeps_its_statistics(pretrained):
    torch.manual_seed(0)
    net = EfficientNetLite0(5, pretrained)
    assert net.start == ("ImageNet" if pretrained else "random")
    if not pretrained:
        net.set_statistics(IMAGES)
    before = {name: value.clone() for name, value in net.named_buffers()}
    net.train()(IMAGES).square().sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    with torch.no_grad():
        features = net.eval().features(IMAGES)
    assert features.shape == (4, 1280) and 1e-3 < features.std(0).mean() < 1e2


def bilinear(length, side):
    """Weights (side, length) of a line's pixels in each pixel of the scaled line: a triangle around its centre."""
    step = length / side
    rows = [
        [max(0.0, 1 - abs((i + 0.5) * step - j - 0.5) / max(step, 1)) for j in range(length)] for i in range(side)
    ]
    return torch.tensor([[weight / sum(row) for weight in row] for row in rows])


@pytest.mark.parametrize("side", [48, 96])
def test_lite0_sees_pictures_at_its_side(side):
    net, across = EfficientNetLite0(3, side=side).eval(), bilinear(64, side)
    with torch.no_grad():
        features, seen = net.features(IMAGES), net.trunk(2 * (across @ IMAGES @ across.T) - 1)
        assert torch.allclose(features, seen, rtol=1e-3, atol=1e-3 * seen.std())


def test_inception_weights_are_read_from_the_cache_or_a_line_says_why_not(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    assert inception_weights(60) is None
    assert "LABKIT_OFFLINE is set" in capsys.readouterr().out
    cached = tmp_path / "checkpoints" / vision.ADDRESS.rsplit("/", 1)[1]
    cached.parent.mkdir()
    cached.write_bytes(b"cut short")
    assert inception_weights(60) is None and "no ImageNet weights" in capsys.readouterr().out
    torch.save({"fc.bias": torch.ones(2)}, cached)
    assert torch.equal(inception_weights(60)["fc.bias"], torch.ones(2))


def test_inception_weights_are_downloaded_in_time_and_whole(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("LABKIT_OFFLINE", "0")
    monkeypatch.setattr(vision, "fetch", lambda *given, **options: asked.append((given, options)) or given[2])
    assert inception_weights(0.1) is None and "No such file" in capsys.readouterr().out
    (((url, letters, target), options),) = asked
    assert letters in url and letters == target.stem.rpartition("-")[2] and options["timeout"] == 0.1
    target.parent.mkdir()
    target.write_bytes(b"a file")
    assert options["digest"](target) == hashlib.sha256(b"a file").hexdigest()[:8]
