"""Attribute classifiers: shapes, every weight trained, batch norm kept, a start that says what it is."""

import pytest
import torch
from torch import nn

from labkit.classifier.nets import inception_classifier, lite0_classifier, resnet18_classifier
from labkit.data import vision as weights_module
from labkit.data.vision import inception_weights

IMAGES = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def inception():
    torch.manual_seed(0)
    return inception_classifier(5)


@pytest.mark.parametrize("shape", [(64, 64), (64, 48), (32, 32)])
def test_resnet_gives_a_logit_per_attribute(shape):
    net = resnet18_classifier(7, width=8)
    assert net(IMAGES[..., : shape[0], : shape[1]]).shape == (4, 7)
    assert net.features(IMAGES).shape == (4, 64)


def test_every_weight_of_the_resnet_is_trained_and_there_are_eighteen_layers():
    net = resnet18_classifier(3, width=8)
    net(IMAGES).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    wide = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(wide) + sum(isinstance(m, nn.Linear) for m in net.modules()) == 18
    full = sum(p.numel() for p in resnet18_classifier(1000).parameters())
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
    there = inception_classifier(3, state)
    assert there.start == "ImageNet"
    assert torch.equal(there.trunk.Mixed_7c.branch1x1.conv.weight, inception.trunk.Mixed_7c.branch1x1.conv.weight)


@pytest.mark.parametrize("pretrained", [True, False], ids=["ImageNet", "random"])
def test_lite0_says_how_it_began_and_keeps_its_statistics(pretrained):
    torch.manual_seed(0)
    net = lite0_classifier(5, pretrained)
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


def test_without_a_cache_no_download_is_tried_offline(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: asked.append(a))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    assert inception_weights() is None
    monkeypatch.setenv("LABKIT_OFFLINE", "0")
    assert inception_weights(0) is None
    assert not asked and "no download was allowed" in capsys.readouterr().out


def test_a_download_that_hangs_or_fails_ends_in_time_with_a_reason(monkeypatch, tmp_path, capsys):
    release = weights_module.threading.Event()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("LABKIT_OFFLINE", "0")
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: release.wait(20))
    assert inception_weights(0.1) is None
    assert "more than 0.1 s" in capsys.readouterr().out
    release.set()

    def fail(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    assert inception_weights(5) is None
    assert "no route" in capsys.readouterr().out
