"""The two steps of a GAN: which net each moves, on what noise, with which labels; and augmentation."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.faces.pixels import to_input
from labkit.fit import fit
from labkit.fit.step import GuardedStep
from labkit.gan.diff_augment import POLICIES, augment
from labkit.gan.health import HealthMonitor, HealthRule
from labkit.gan.training import discriminator_loss, discriminator_step, generator_loss, generator_step, updates

_spec = importlib.util.spec_from_file_location("gan_pictures", Path(__file__).with_name("gan_pictures.py"))
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
pictures, small = _module.pictures, _module.small
ALL = tuple(POLICIES)


def state(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def moved(net, before):
    return {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}


def test_the_losses_are_cross_entropies_with_the_labels_the_right_way_round():
    real, fake = torch.randn(9), torch.randn(9)
    ones, zeros = torch.ones(9), torch.zeros(9)
    bce = binary_cross_entropy_with_logits
    torch.testing.assert_close(discriminator_loss(real, fake), bce(real, ones) + bce(fake, zeros))
    torch.testing.assert_close(generator_loss(fake), bce(fake, ones))
    assert discriminator_loss(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(math.log(4))
    assert math.isfinite(discriminator_loss(torch.tensor([-500.0]), torch.tensor([500.0])))


@pytest.mark.parametrize("policy", [(), ALL])
@pytest.mark.parametrize("which", [0, 1])
def test_each_step_moves_its_own_net_alone(which, policy):
    """Weights, running statistics and gradients of the other stay bit for bit."""
    model = small()
    update = updates(model, augment=policy)[which]
    own, other = (model.discriminator, model.generator)[:: 1 - 2 * which]
    for parameter in other.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    before, theirs = state(own), state(other)
    GuardedStep(update, model.train())(to_input(pictures(8)), 8)
    assert not moved(other, theirs)
    assert all((parameter.grad == 7).all() for parameter in other.parameters())
    assert all(norm.track_running_stats for norm in other.modules() if hasattr(norm, "track_running_stats"))
    changed = moved(own, before)
    assert {name for name, _ in own.named_parameters()} <= changed
    assert {name for name, _ in own.named_buffers()} <= changed


def test_the_fakes_of_the_discriminators_step_are_drawn_as_in_training():
    """From the statistics of the batch, not the running ones of eval mode."""
    model, real = small().train(), to_input(pictures(8))
    torch.manual_seed(3)
    loss, _ = discriminator_step(model, real)
    torch.manual_seed(3)
    fake = model.sample(8).detach()
    torch.testing.assert_close(loss, discriminator_loss(model.discriminator(real), model.discriminator(fake)))


def test_noise_is_fresh_in_every_step():
    model, drawn = small(), []
    noise = model.noise
    model.noise = lambda n, generator=None: drawn.append(noise(n, generator)) or drawn[-1]
    batches = ResidentBatches(pictures(24), batch_size=8, normalise="symmetric")
    fit(model, updates(model), batches, epochs=2, progress=False)
    assert len(drawn) == 12 and all(z.shape == (8, 16) for z in drawn)
    assert len({z.numpy().tobytes() for z in drawn}) == 12


def test_what_is_logged_is_what_is_said():
    model, real = small(), to_input(pictures(32))
    _, terms = discriminator_step(model, real)
    assert 0.3 < terms["d_real"] < 0.7 and terms["d_saturated"] == 0
    with torch.no_grad():
        model.discriminator.layers[-1].weight.zero_()
        model.discriminator.layers[-1].bias.fill_(9.0)
    _, terms = discriminator_step(model, real)
    assert terms["d_real"] > 0.99 and terms["d_fake"] > 0.99 and terms["d_saturated"] == 1
    generator_step(model, real).backward()


def test_the_discriminator_learns_to_tell_and_the_generator_to_be_taken_for_real():
    model, batches = small(), ResidentBatches(pictures(64), batch_size=16, normalise="symmetric")
    d, g = updates(model, rate=2e-3)
    told = fit(model, d, batches, epochs=6, progress=False).history.iloc[-1]
    assert told.d_real > 0.8 and told.d_fake < 0.2
    torch.manual_seed(1)
    before = discriminator_step(model.train(), to_input(pictures(64)))[1]["d_fake"]
    fit(model, g, batches, epochs=6, progress=False)
    after = discriminator_step(model.train(), to_input(pictures(64)))[1]["d_fake"]
    assert after > before + 0.3


def test_the_logged_gradient_is_the_gradient():
    model, real = small().train(), to_input(pictures(8))
    update = updates(model)[1]
    step = GuardedStep(update, model)
    torch.manual_seed(5)
    step(real, 8)
    means, _ = step.books.close()
    twin = small().train()
    torch.manual_seed(5)
    generator_step(twin, real).backward()
    wanted = torch.nn.utils.get_total_norm([p.grad for p in twin.generator.parameters()])
    assert means["generator_gradient"] == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_an_augmentation_differs_by_image_and_lets_gradients_through(name):
    torch.manual_seed(0)
    x = (torch.rand(1, 3, 16, 16) * 2 - 1).repeat(64, 1, 1, 1).requires_grad_()
    y = augment(x, (name,))
    assert y.shape == x.shape and len({image.numpy().tobytes() for image in y.detach()}) > 20
    y.square().sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.flatten(1).any(1).float().mean() > 0.9


def test_colour_keeps_shapes_translation_keeps_pixels_cutout_blanks_a_square():
    torch.manual_seed(0)
    x = torch.rand(200, 3, 16, 16) + 0.5
    shifted = POLICIES["translation"](x)
    reach = set()
    for image, other in zip(x, shifted):
        row, column = (other.abs().sum(0) > 0).nonzero().min(0).values.tolist()
        body = other[:, other.abs().sum((0, 2)) > 0][:, :, other.abs().sum((0, 1)) > 0]
        options = [(r, c) for r in range(3) for c in range(3)]
        height, width = body.shape[1:]
        assert any(torch.equal(body, image[:, r : r + height, c : c + width]) for r, c in options)
        reach |= {(row, 16 - height), (16 - width, column)}
    assert max(max(pair) for pair in reach) == 2  # an eighth of 16, and no more
    blank = (POLICIES["cutout"](x) == 0).float()
    assert (blank == blank[:, :1]).all() and 0 < blank.mean() < 0.25
    assert blank.flatten(1).sum(1).max() == 3 * 8 * 8
    flat = torch.full((200, 3, 4, 4), 0.2)
    coloured = POLICIES["colour"](flat)
    assert (coloured.amax((1, 2, 3)) - coloured.amin((1, 2, 3))).max() < 1e-5  # no shape appears
    shift = coloured.mean((1, 2, 3)) - 0.2
    assert shift.abs().max() <= 0.5 and abs(shift.mean()) < 0.1 and shift.std() > 0.2


def test_real_and_fake_are_augmented_alike(monkeypatch):
    seen = []
    monkeypatch.setitem(POLICIES, "colour", lambda x: seen.append(x.detach()) or x)
    model, real = small(), to_input(pictures(8))
    discriminator_step(model, real, ("colour",))
    generator_step(model, real, ("colour",))
    assert len(seen) == 3 and torch.equal(seen[0], real)
    discriminator_step(model, real), generator_step(model, real)
    assert len(seen) == 3


def test_a_training_resumes_bit_for_bit_and_refuses_another_run(tmp_path, same):
    images = pictures(40)

    def train(model, epochs, run_dir=None, augment=ALL, rate=2e-4):
        batches = ResidentBatches(images, batch_size=16, flip=True, normalise="symmetric")
        options = {"monitor": HealthMonitor(HealthRule(), model, images), "run_dir": run_dir, "progress": False}
        return fit(model, updates(model, rate=rate, augment=augment), batches, epochs=epochs, **options).history

    whole, resumed = small(), small()
    history = train(whole, 3)
    train(small(), 1, tmp_path)
    again = train(resumed, 3, tmp_path)
    assert same(whole.state_dict(), resumed.state_dict())
    assert same(history.to_dict("list"), again.to_dict("list"))
    wanted = {"discriminator", "generator", "d_real", "d_fake", "d_saturated", "diversity", "pixels_saturated"}
    assert wanted | {"discriminator_gradient", "generator_gradient"} <= set(history.columns)
    for other in ({"augment": ()}, {"rate": 1e-3}):
        with pytest.raises(LabkitError, match="another run"):
            train(small(), 3, tmp_path, **other)


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(LabkitError, match="'blur' is not known"):
        updates(small(), augment=("blur",))
