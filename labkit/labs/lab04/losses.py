"""Checks of a GAN's two losses and of its step (Goodfellow et al., arXiv:1406.2661, its non-saturating form)."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from labkit.checking import (
    WRITTEN,
    Missed,
    Mistake,
    Property,
    as_tensor,
    close,
    dtype,
    evaluate,
    explain,
    normal,
    weak,
)
from labkit.noise import independent, normal_law

ROWS, LATENTS, SIDE = 24, 5, 2
MANY, OTHER = 20_000, 8  # rows and latents of the noise that is judged by its law
SURE = {torch.float64: 24.0, torch.float32: 6.0}  # logits: farther out torch's BCELoss has no exact gradient
SUM = "that is the sum over the batch: take the mean."
Function = Callable[..., Any]


class Painter(nn.Module):
    """A generator (N, latents) → (N, 3, SIDE, SIDE) in [−1, 1] that remembers what it was given and gave."""

    def __init__(self, latents: int = LATENTS) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(latents, 3 * SIDE * SIDE, seed=1))
        self.given: list[Tensor] = []
        self.drawn: list[Tensor] = []

    def forward(self, z: Tensor) -> Tensor:
        _asked_in_train(self)
        z = as_tensor(z, "the generator's noise").to(self.weight.dtype)
        if z.ndim != 2 or z.shape[1] != self.latents:
            raise Missed(
                f"the generator takes noise (N, latent_dim) = (…, {self.latents}); yours is {tuple(z.shape)}."
            )
        images = self.draw(z)
        self.given.append(z.detach())
        self.drawn.append(images.detach())
        return images

    @property
    def latents(self) -> int:
        """Numbers of noise for each image."""
        return len(self.weight)

    def draw(self, z: Tensor) -> Tensor:
        """The same, without a note of it."""
        return torch.tanh(z @ self.weight).view(-1, 3, SIDE, SIDE)


class Judge(nn.Module):
    """A discriminator (N, 3, SIDE, SIDE) → logits (N,) that remembers what it was shown; `scale` 0 cannot tell."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(normal(3 * SIDE * SIDE, seed=2))
        self.bias = nn.Parameter(torch.full((), 0.5, dtype=dtype()))
        self.shown: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        _asked_in_train(self)
        x = as_tensor(x, "what the discriminator is shown").to(self.weight.dtype)
        self.shown.append(x.detach().clone())
        return self.judge(x)

    def judge(self, x: Tensor) -> Tensor:
        """The same, without a note of it."""
        return self.scale * (x.flatten(1) @ self.weight + self.bias)


class Biased(Judge):
    """A discriminator that knows these real faces and says so, or says the opposite; of dark pictures less surely."""

    def __init__(self, real: Tensor, wins: bool, of_dark: float = 4.0) -> None:
        super().__init__()
        self.real, self.wins, self.of_dark = real.flatten(1), wins, of_dark

    def judge(self, x: Tensor) -> Tensor:
        own = x.detach().flatten(1)
        known = (torch.cdist(own, self.real, compute_mode="donot_use_mm_for_euclid_dist") < 1e-6).any(1)
        sure = torch.where(own[:, 0] > -0.5, SURE[dtype()], self.of_dark).to(own)
        return super().judge(x) / 3 + torch.where(known == self.wins, sure, -sure)


def _asked_in_train(net: nn.Module) -> None:
    if not net.training:
        raise Missed("a net is asked in eval(): while it learns, its batch norm is that of the batch.")


def faces(rows: int = ROWS) -> Tensor:
    """Images (rows, 3, SIDE, SIDE) in [−1, 1], rather dark."""
    return torch.tanh(normal(rows, 3, SIDE, SIDE, seed=3) - 0.5)


def discriminator_loss(loss: Function) -> list[Property]:
    """Properties of a function (generator, discriminator, real (N, C, H, W), latent_dim) → D's loss, in nats.

    Args:
        loss: the student's function; the generator is (N, latent_dim) → images, the discriminator images → logits.
    """
    labels = cache(lambda: _labels(loss))
    return evaluate(
        {
            "the loss is one number": weak(lambda: _one_number(loss)),
            "noise is standard normal, one row per real face, new at each call": lambda: _noise(loss),
            "the discriminator sees real faces and fakes as they are": lambda: _shown(loss),
            "it is ln 4 where the discriminator cannot tell": lambda: _chance(loss),
            "real faces are labelled 1 and fakes 0": labels,
            "a very sure discriminator leaves it finite": weak(lambda: _sure(loss, labels)),
            "the gradient reaches the discriminator": lambda: _reaches(loss),
            "no gradient reaches the generator": weak(lambda: _detached(loss)),
        }
    )


def _value(loss: Function, painter: Painter, judge: Judge, real: Tensor) -> Tensor:
    """The loss with its graph, one number even of a function that gives one per row."""
    given = real.clone()
    got = as_tensor(loss(painter, judge, given, painter.latents), "the loss")
    if not torch.equal(given, real):
        raise Missed(WRITTEN)
    if not painter.given:
        raise Missed("the generator was never asked: fakes are generator(z).")
    as_found(painter, judge)
    return got if got.ndim == 0 else got.mean()


def as_found(*nets: nn.Module) -> None:
    """Raise `Missed` if a net that came in train() is left in eval(), or its weights frozen."""
    if not all(net.training for net in nets):
        raise Missed("a net is left in eval(): leave train() and eval() as they were found.")
    if not all(parameter.requires_grad for net in nets for parameter in net.parameters()):
        raise Missed("a net is left frozen: set requires_grad back to True, or leave it alone.")


def _one_number(loss: Function) -> str | None:
    got = as_tensor(loss(Painter(), Judge(), faces(), LATENTS), "the loss")
    if got.ndim == 0:
        return None
    return f"the loss has shape {tuple(got.shape)}: take the mean over the batch."


def noise_hint(z: Tensor, again: Tensor) -> str | None:
    """None if the noise of two calls for `MANY` faces is fresh and standard normal, a row for each face."""
    if z.shape != (MANY, OTHER):
        return f"for {MANY} real faces there should be noise of shape {MANY, OTHER}, not {tuple(z.shape)}."
    if torch.equal(z, again):
        return "two calls had the same noise: draw it inside the function, and set no seed there."
    if bool((z[1:] == z[:1]).all()):
        return "all fakes of a batch come from the same noise: draw a row for each."
    mean, deviation = z.mean().item(), z.std().item()
    if abs(mean) < 0.1 and abs(deviation - 1) < 0.1:
        return normal_law(z, "the noise") or independent(z, again)
    if z.min() >= 0:
        return "the noise is never negative: torch.rand is uniform, torch.randn is normal."
    return f"the noise has mean {mean:.2f} and deviation {deviation:.2f}; N(0, 1) has 0 and 1."


def _noise(loss: Function) -> str | None:
    def draw() -> Tensor:
        painter = Painter(OTHER)
        _value(loss, painter, Judge(), faces(MANY))
        return painter.given[0]

    return noise_hint(draw(), draw())


def _shown(loss: Function) -> str | None:
    painter, judge, real = Painter(), Judge(), faces()
    _value(loss, painter, judge, real)
    if not judge.shown:
        return "the discriminator was never asked."
    shown, fake = torch.cat([x.flatten(1) for x in judge.shown]), painter.drawn[0].flatten(1)
    real = real.flatten(1)
    if close(shown, torch.cat((real, fake))) or close(shown, torch.cat((fake, real))):
        return None
    for name, change in (("(x + 1) / 2", lambda x: (x + 1) / 2), ("a second tanh", torch.tanh)):
        if any(close(x.flatten(1), change(fake)) for x in judge.shown):
            return f"fakes went through {name}: the generator's range is tanh's, [−1, 1], as is that of real faces."
    return "show it the real faces and generator(z), each once and unchanged."


def _chance(loss: Function) -> str | None:
    got = _value(loss, Painter(), Judge(scale=0.0), faces()).detach()
    return explain(
        got,
        math.log(4),
        [
            (lambda: math.log(2), "that is ln 2: add both terms, real and fake, and do not halve them."),
            (lambda: -math.log(4), "the sign is flipped: a loss is −log D."),
            (lambda: ROWS * math.log(4), SUM),
            (lambda: (ROWS + 1) * math.log(2), SUM),
            (lambda: 0.0, "both terms cancel: they are added."),
        ],
        "where D(x) = D(G(z)) = ½, −log ½ − log ½ is ln 4.",
    )


def _terms(painter: Painter, judge: Judge, real: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of real faces and of the fakes that were drawn."""
    return judge.judge(real).detach(), judge.judge(painter.drawn[0]).detach()


def _labels(loss: Function) -> str | None:
    real = faces(64)
    wide = Judge(scale=2.0 if dtype() == torch.float64 else 1.0)
    for judge in (wide, Biased(real, wins=True)):  # the second one's loss is nearly 0
        painter = Painter()
        got = _value(loss, painter, judge, real).detach()
        on_real, on_fake = _terms(painter, judge, real)
        expected = -logsigmoid(on_real).mean() - logsigmoid(-on_fake).mean()
        if hint := explain(got, expected, _loss_mistakes(on_real, on_fake, expected), _FORMULA):
            return hint
    return None


_FORMULA = "−mean log D(real) − mean log(1 − D(fake)), where D is the sigmoid of the logits."


def _loss_mistakes(on_real: Tensor, on_fake: Tensor, expected: Tensor) -> list[Mistake]:
    yes, no = -logsigmoid(on_real).mean(), -logsigmoid(-on_fake).mean()
    chance = on_real.sigmoid(), on_fake.sigmoid()
    return [
        (
            lambda: -logsigmoid(-on_real).mean() - logsigmoid(on_fake).mean(),
            "the labels are the wrong way round: 1 is real.",
        ),
        (lambda: yes - logsigmoid(on_fake).mean(), "fakes are labelled 1: that is the generator's wish, not D's."),
        (lambda: yes, "the term of the fakes is missing."),
        (lambda: no, "the term of the real faces is missing."),
        (lambda: expected / 2, "the two terms are averaged: add them."),
        (lambda: -expected, "the sign is flipped: this loss is to be made small."),
        (lambda: len(on_real) * expected, SUM),
        (lambda: len(on_real) * yes + no, SUM),
        (lambda: yes + len(on_real) * no, SUM),
        (
            lambda: -logsigmoid(chance[0]).mean() - logsigmoid(-chance[1]).mean(),
            "the sigmoid is taken twice: …_with_logits and softplus want the logits themselves.",
        ),
        (lambda: on_fake.mean() - on_real.mean(), "that is a difference of logits: take logarithms of D."),
    ]


def surely(got: Tensor, *each: Tensor) -> bool:
    """Whether a loss is the sum of the means of these cross entropies, of a judge that is very sure.

    Where D is rounded to 0 or 1, torch's binary cross entropy of probabilities is 100.
    """
    ways = (lambda x: x, lambda x: x.clamp(max=100.0), lambda x: torch.where(x > 15, 100.0, x))
    return any(close(got, sum(way(one).mean() for one in each), 1e-4) for way in ways)


def _sure(loss: Function, labels: Function) -> str | None:
    painter, judge, real = Painter(), Judge(scale=1e4), faces()
    got = _value(loss, painter, judge, real).detach()
    if not bool(got.isfinite()):
        return "log(sigmoid(…)) is −inf where D is 0 or 1: use softplus, logsigmoid or …_with_logits."
    on_real, on_fake = _terms(painter, judge, real)
    # A loss that is wrong anyway misses another property for it.
    if labels() is not None or surely(got, -logsigmoid(on_real), -logsigmoid(-on_fake)):
        return None
    return "where D is very sure it is off: add nothing to D before its logarithm, limit nothing; use softplus."


def _backward(loss: Function) -> tuple[Painter, Judge, Tensor]:
    painter, judge, real = Painter(), Judge(), faces()
    value = _value(loss, painter, judge, real)
    if judge.weight.grad is not None:
        raise Missed("it calls backward() itself: return the loss, and leave that to the caller.")
    if not value.requires_grad:
        raise Missed("no gradient: leave out .item(), .detach() on the logits, and numpy.")
    value.backward()
    return painter, judge, real


def _reaches(loss: Function) -> str | None:
    painter, judge, real = _backward(loss)
    if judge.weight.grad is None:
        return "the discriminator gets none: only the fakes are detached, not what it says of them."
    on_fake = judge.judge(painter.drawn[0])
    expected = (-logsigmoid(judge.judge(real)).mean(), -logsigmoid(-on_fake).mean())
    both, of_real = (torch.autograd.grad(e, judge.weight, retain_graph=True)[0] for e in (sum(expected), expected[0]))
    got = judge.weight.grad
    if torch.nn.functional.cosine_similarity(got, both, dim=0) > 1 - 1e-6:
        return None
    if torch.nn.functional.cosine_similarity(got, of_real, dim=0) > 1 - 1e-6:
        return "it comes from the real faces alone: torch.no_grad() belongs around the generator, not around D."
    return f"its direction is not that of the loss: {_FORMULA}"


def _detached(loss: Function) -> str | None:
    painter, _, _ = _backward(loss)
    if painter.weight.grad is None or not painter.weight.grad.any():
        return None
    return "the generator gets a gradient to help the discriminator: detach the fakes, or draw them under no_grad."
