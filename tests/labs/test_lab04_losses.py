"""Lab 04's checks of a GAN's losses and of its step, put through right and wrong solutions."""

import pytest
import torch
from torch.nn.functional import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    logsigmoid,
    softplus,
)

from labkit.labs import lab04

ONE, NOISE, SHOWN, CHANCE, LABELS, SURE, REACHES, DETACHED = (
    "the loss is one number",
    "noise is standard normal, one row per real face, new at each call",
    "the discriminator sees real faces and fakes as they are",
    "it is ln 4 where the discriminator cannot tell",
    "real faces are labelled 1 and fakes 0",
    "a very sure discriminator leaves it finite",
    "the gradient reaches the discriminator",
    "no gradient reaches the generator",
)
RETURNED, G_ALONE, D_ALONE, D_DOWN, G_DOWN, ORDER, CLEARED = (
    "it returns both losses as plain numbers, D's first",
    "the discriminator's step leaves the generator alone",
    "the generator's step leaves the discriminator alone",
    "the discriminator goes down its loss",
    "the generator goes down −log D(G(z)), the non-saturating loss",
    "the discriminator is updated first",
    "no gradient is left over from the batch before",
)


def noise_for(real, latent_dim):
    return torch.randn(len(real), latent_dim, dtype=real.dtype)


def loss_of(combine, noise=noise_for, change=lambda fake: fake.detach(), real_change=lambda real: real):
    """A solution of exercise 1 that combines the logits of real faces and of changed fakes."""

    def loss(generator, discriminator, real, latent_dim):
        fake = change(generator(noise(real, latent_dim)))
        return combine(discriminator(real_change(real)), discriminator(fake))

    return (loss,)


def right(on_real, on_fake):
    return softplus(-on_real).mean() + softplus(on_fake).mean()


def by_cross_entropy(generator, discriminator, real, latent_dim):
    with torch.no_grad():
        fake = generator(torch.randn(real.shape[0], latent_dim).to(real))
    on_real, on_fake = discriminator(real), discriminator(fake)
    told = binary_cross_entropy_with_logits
    return told(on_real, torch.ones_like(on_real)) + told(on_fake, torch.zeros_like(on_fake))


def in_one_pass(generator, discriminator, real, latent_dim):
    fake = generator(noise_for(real, latent_dim)).detach()
    logits = discriminator(torch.cat((real, fake)))
    wanted = torch.cat((torch.ones(len(real)), torch.zeros(len(real)))).to(logits)
    return 2 * binary_cross_entropy_with_logits(logits, wanted)


def seeded(real, latent_dim):
    return torch.randn(len(real), latent_dim, dtype=real.dtype, generator=torch.Generator().manual_seed(0))


def plain_logs(on_real, on_fake):
    return -torch.log(on_real.sigmoid()).mean() - torch.log(1 - on_fake.sigmoid()).mean()


def without_a_graph(generator, discriminator, real, latent_dim):
    with torch.no_grad():
        return by_cross_entropy(generator, discriminator, real, latent_dim)


def deaf_to_fakes(generator, discriminator, real, latent_dim):
    with torch.no_grad():
        on_fake = discriminator(generator(noise_for(real, latent_dim)))
    return right(discriminator(real), on_fake)


told = torch.nn.BCEWithLogitsLoss()


def of(logits):
    return torch.distributions.Bernoulli(logits=logits)


def by_two_classes(on_real, on_fake):
    logits = torch.cat([on_real, on_fake])
    classes = torch.cat([torch.ones(len(on_real)), torch.zeros(len(on_fake))]).long()
    return 2 * cross_entropy(torch.stack([torch.zeros_like(logits), logits], 1), classes)


class Loss(torch.nn.Module):
    """Fakes first, noise by the method normal_."""

    def forward(self, generator, discriminator, real, latent_dim):
        z = torch.empty(real.size(0), latent_dim, dtype=real.dtype).normal_()
        with torch.no_grad():
            fakes = generator(z)
        return softplus(discriminator(fakes)).mean().add(softplus(discriminator(real).neg()).mean())


LOSS_RIGHT = {
    "by softplus": loss_of(right),
    "by cross entropy": (by_cross_entropy,),
    "in one pass": (in_one_pass,),
    "logsigmoid": loss_of(lambda r, f: -logsigmoid(r).mean() - logsigmoid(-f).mean()),
    "BCEWithLogitsLoss": loss_of(lambda r, f: told(r, torch.ones_like(r)) + told(f, torch.zeros_like(f))),
    "BCELoss": loss_of(
        lambda r, f: torch.nn.BCELoss()(r.sigmoid(), torch.ones_like(r)) + torch.nn.BCELoss()(f.sigmoid(), 0 * f)
    ),
    "Bernoulli": loss_of(lambda r, f: -(of(r).log_prob(torch.ones_like(r)) + of(f).log_prob(0 * f)).mean()),
    "logaddexp": loss_of(lambda r, f: (torch.logaddexp(-r, 0 * r) + torch.logaddexp(f, 0 * f)).mean()),
    "cross_entropy": loss_of(by_two_classes),
    "loops": loss_of(lambda r, f: sum(softplus(-each) for each in r) / len(r) + sum(map(softplus, f)) / len(f)),
    "a class": (Loss(),),
    "in float64": loss_of(lambda r, f: right(r.double(), f.double())),
}
# Name → solution, and property → part of the hint that it must get.
LOSS_WRONG = {
    "not reduced": (loss_of(lambda r, f: softplus(-r) + softplus(f)), {ONE: "take the mean"}),
    "summed": (
        loss_of(lambda r, f: softplus(-r).sum() + softplus(f).sum()),
        {CHANCE: "sum over the batch", LABELS: "sum over the batch"},
    ),
    "noise is kept": (loss_of(right, seeded), {NOISE: "two calls"}),
    "uniform noise": (
        loss_of(right, lambda real, m: torch.rand(len(real), m, dtype=real.dtype)), {NOISE: "never negative"}
    ),
    "noise shared": (
        loss_of(right, lambda real, m: noise_for(real, m)[:1].expand(len(real), m)), {NOISE: "same noise"}
    ),
    "one fake": (loss_of(right, lambda real, m: noise_for(real[:1], m)), {NOISE: "shape"}),
    "fakes rescaled": (
        loss_of(right, change=lambda fake: (fake.detach() + 1) / 2), {SHOWN: "(x + 1) / 2", LABELS: "", REACHES: ""}
    ),
    "tanh again": (
        loss_of(right, change=lambda fake: fake.detach().tanh()), {SHOWN: "second tanh", LABELS: "", REACHES: ""}
    ),
    "labels turned": (
        loss_of(lambda r, f: softplus(r).mean() + softplus(-f).mean()), {LABELS: "wrong way round", REACHES: ""}
    ),
    "fakes labelled 1": (
        loss_of(lambda r, f: softplus(-r).mean() + softplus(-f).mean()), {LABELS: "labelled 1", REACHES: ""}
    ),
    "real faces alone": (
        loss_of(lambda r, f: softplus(-r).mean()), {CHANCE: "ln 2", LABELS: "fakes is missing", REACHES: "real faces"}
    ),
    "fakes alone": (
        loss_of(lambda r, f: softplus(f).mean()), {CHANCE: "ln 2", LABELS: "real faces is missing", REACHES: ""}
    ),
    "averaged": (loss_of(lambda r, f: right(r, f) / 2), {CHANCE: "ln 2", LABELS: "averaged"}),
    "sign turned": (
        loss_of(lambda r, f: -right(r, f)), {CHANCE: "sign is flipped", LABELS: "sign is flipped", REACHES: ""}
    ),
    "sigmoid twice": (
        loss_of(lambda r, f: right(r.sigmoid(), f.sigmoid())), {CHANCE: "", LABELS: "twice", REACHES: ""}
    ),
    "plain logarithms": (loss_of(plain_logs), {SURE: "softplus"}),
    "entropy of sigmoids": (
        loss_of(
            lambda r, f: binary_cross_entropy(r.sigmoid(), torch.ones_like(r)) - torch.log(1 - f.sigmoid()).mean()
        ),
        {SURE: "softplus"},
    ),
    "no graph": ((without_a_graph,), {REACHES: "no gradient", DETACHED: ""}),
    "D's answer detached": ((deaf_to_fakes,), {REACHES: "real faces alone"}),
    "not detached": (loss_of(right, change=lambda fake: fake), {DETACHED: "detach"}),
}  # fmt: skip


def step(generator, discriminator, optimizer_d, optimizer_g, real, latent_dim):
    loss_d = by_cross_entropy(generator, discriminator, real, latent_dim)
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_d.step()
    loss_g = softplus(-discriminator(generator(noise_for(real, latent_dim)))).mean()
    optimizer_g.zero_grad()
    loss_g.backward()
    optimizer_g.step()
    return loss_d.item(), loss_g.item()


def tutorial(
    generator,
    discriminator,
    optimizer_d,
    optimizer_g,
    real,
    latent_dim,
    *,
    noise=noise_for,
    detach=True,
    wish=lambda logits: softplus(-logits).mean(),
    clear=True,
    sign=1.0,
    seen=lambda fake: fake,
):
    """The widespread form: one batch of fakes for both updates; options plant mistakes."""
    if clear:
        discriminator.zero_grad()
    fake = generator(noise(real, latent_dim))
    on_fake = discriminator(fake.detach() if detach else fake)
    loss_d = sign * right(discriminator(real), on_fake)
    loss_d.backward(retain_graph=True)
    optimizer_d.step()
    if clear and detach:
        generator.zero_grad()
    loss_g = wish(discriminator(seen(fake)))
    loss_g.backward()
    optimizer_g.step()
    return [loss_d.item(), loss_g.item()]


def changed(**options):
    return (lambda *arguments: tutorial(*arguments, **options),)


def old_judge(generator, discriminator, optimizer_d, optimizer_g, real, latent_dim):
    """Both losses first, then both updates."""
    loss_d = by_cross_entropy(generator, discriminator, real, latent_dim)
    loss_g = softplus(-discriminator(generator(noise_for(real, latent_dim)))).mean()
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_g.zero_grad()
    loss_g.backward(inputs=list(generator.parameters()))
    optimizer_d.step()
    optimizer_g.step()
    return loss_d.item(), loss_g.item()


def both_backward_first(generator, discriminator, optimizer_d, optimizer_g, real, latent_dim):
    optimizer_d.zero_grad(), optimizer_g.zero_grad()
    loss_d = by_cross_entropy(generator, discriminator, real, latent_dim)
    loss_d.backward()
    loss_g = softplus(-discriminator(generator(noise_for(real, latent_dim)))).mean()
    loss_g.backward()
    optimizer_d.step(), optimizer_g.step()
    return loss_d.item(), loss_g.item()


def generator_first(generator, discriminator, optimizer_d, optimizer_g, real, latent_dim):
    loss_g = softplus(-discriminator(generator(noise_for(real, latent_dim)))).mean()
    optimizer_g.zero_grad()
    loss_g.backward()
    optimizer_g.step()
    loss_d = by_cross_entropy(generator, discriminator, real, latent_dim)
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_d.step()
    return loss_d.item(), loss_g.item()


def moves_by_hand(generator, discriminator, *rest):
    losses = step(generator, discriminator, *rest)
    with torch.no_grad():
        for parameter in (*generator.parameters(), *discriminator.parameters()):
            parameter.mul_(0.99)
    return losses


def discriminator_again(generator, discriminator, optimizer_d, *rest):
    losses = step(generator, discriminator, optimizer_d, *rest)
    optimizer_d.step()
    return losses


def never(which):
    def lazy(generator, discriminator, optimizer_d, optimizer_g, real, latent_dim):
        still = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
        optimizers = (still, optimizer_g) if which == "d" else (optimizer_d, still)
        discriminator.zero_grad(), generator.zero_grad()
        return step(generator, discriminator, *optimizers, real, latent_dim)

    return (lazy,)


STEP_RIGHT = {"two draws": (step,), "one draw, as in the tutorial": changed()}
STEP_WRONG = {
    "tensors returned": ((lambda *a: tuple(torch.tensor(x) for x in step(*a)),), {RETURNED: "item()"}),
    "nothing returned": ((lambda *a: step(*a) and None,), {RETURNED: "`return` is missing"}),
    "in the other order": ((lambda *a: step(*a)[::-1],), {RETURNED: "other order"}),
    "noise is kept": (changed(noise=seeded), {NOISE: "two calls"}),
    "uniform noise": (
        changed(noise=lambda real, m: torch.rand(len(real), m, dtype=real.dtype)), {NOISE: "never negative"}
    ),
    "detach forgotten": (changed(detach=False), {G_DOWN: "detach", ORDER: "", CLEARED: ""}),
    "saturating": (
        changed(wish=lambda logits: -softplus(logits).mean()),
        {RETURNED: "saturating", G_DOWN: "saturates", ORDER: "in turn", CLEARED: "in turn"},
    ),
    "generator's sign": (
        changed(wish=lambda logits: -softplus(-logits).mean()),
        {RETURNED: "", G_DOWN: "goes up", ORDER: "", CLEARED: ""},
    ),
    "discriminator's sign": (
        changed(sign=-1.0), {RETURNED: "", D_DOWN: "sign is flipped", ORDER: "", CLEARED: ""}
    ),
    "generator's fakes detached": (
        changed(seen=torch.Tensor.detach), {G_DOWN: "not moved", ORDER: "", CLEARED: ""}
    ),
    "D steps again": ((discriminator_again,), dict.fromkeys((D_DOWN, CLEARED), "a second time")),
    "gradients never cleared": (changed(clear=False), {CLEARED: "zero_grad"}),
    "both losses first": ((old_judge,), {ORDER: "of before", CLEARED: "of before"}),
    "the generator first": (
        (generator_first,),
        dict.fromkeys((RETURNED, D_DOWN, G_DOWN, ORDER, CLEARED), "of before"),
    ),
    "both backwards first": (
        (both_backward_first,), {D_DOWN: "moves it too", ORDER: "of before", CLEARED: ""}
    ),
    "weights moved by hand": (
        (moves_by_hand,),
        {G_ALONE: "stood still", D_ALONE: "stood still", D_DOWN: "", G_DOWN: "", ORDER: "", CLEARED: ""},
    ),
    "no step of D": (never("d"), {D_DOWN: "not moved", ORDER: "of before", CLEARED: ""}),
    "no step of G": (never("g"), {G_DOWN: "not moved", ORDER: "", CLEARED: ""}),
}  # fmt: skip

CHECKS = {
    "discriminator_loss": (lab04.discriminator_loss, LOSS_RIGHT, LOSS_WRONG),
    "gan_step": (lab04.gan_step, STEP_RIGHT, STEP_WRONG),
}
EACH_RIGHT = [(check, name) for check, (_, right, _) in CHECKS.items() for name in right]
EACH_WRONG = [(check, name) for check, (_, _, wrong) in CHECKS.items() for name in wrong]


@pytest.mark.parametrize(("check", "name"), EACH_RIGHT)
def test_right_solution_has_every_property(prove, check, name):
    function, solutions, _ = CHECKS[check]
    prove.right(function, solutions[name])


@pytest.mark.parametrize(("check", "name"), EACH_WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, check, name):
    function, _, wrong = CHECKS[check]
    prove.wrong(function, *wrong[name])


@pytest.mark.parametrize("check", CHECKS)
def test_stub_fails_cleanly_in_every_property(prove, check):
    prove.stub(CHECKS[check][0], arguments=1)


@pytest.mark.parametrize("check", CHECKS)
def test_every_property_is_missed_by_some_wrong_solution(prove, check):
    prove.complete(*CHECKS[check])


def test_right_solutions_pass_whatever_was_drawn_before(prove):
    for seed in range(20):
        torch.manual_seed(seed)
        for check, solutions, _ in CHECKS.values():
            prove.right(check, next(iter(solutions.values())))
