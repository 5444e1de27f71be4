"""Check of one step of a GAN's training: two updates, each of its own net by its own loss."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from labkit.checking import WRITTEN, Hint, Missed, Mistake, Property, close, dtype, evaluate, explain, weak
from labkit.labs.lab04.losses import (
    LATENTS,
    MANY,
    OTHER,
    ROWS,
    SUM,
    SURE,
    Biased,
    Function,
    Judge,
    Painter,
    as_found,
    faces,
    noise_hint,
    surely,
)

RATE = 0.3
OF_BEFORE = "the generator met the discriminator of before: update D first, then ask it anew about fakes."
Weights = list[Tensor]


@dataclass(frozen=True)
class _Done:
    """One or more calls of the student's step: both nets before and after, what was returned."""

    painter: Painter
    judge: Judge
    before: tuple[Weights, Weights]
    returned: list[Any]

    @property
    def painted(self) -> Tensor:
        """The generator's weights now, flat."""
        return _flat(self.painter.parameters())

    @property
    def judged(self) -> Tensor:
        """The discriminator's weights now, flat."""
        return _flat(self.judge.parameters())


def gan_step(step: Function) -> list[Property]:
    """Properties of a function (generator, discriminator, optimizer_d, optimizer_g, real, latent_dim) → both losses.

    Args:
        step: the student's function; it updates the discriminator, then the generator by the non-saturating loss.
    """
    return evaluate(
        {
            "it returns both losses as plain numbers, D's first": lambda: _returned(step),
            "noise is standard normal, one row per real face, new at each call": lambda: _noise(step),
            "the discriminator's step leaves the generator alone": weak(lambda: _alone(step, "generator")),
            "the generator's step leaves the discriminator alone": weak(lambda: _alone(step, "discriminator")),
            "the discriminator goes down its loss": lambda: _discriminator(step),
            "the generator goes down −log D(G(z)), the non-saturating loss": lambda: _generator(step),
            "the discriminator is updated first": lambda: _order(step),
            "no gradient is left over from the batch before": weak(lambda: _cleared(step)),
        }
    )


def _run(
    step: Function,
    rate_d: float,
    rate_g: float,
    calls: int = 1,
    rows: int = ROWS,
    judge: Judge | None = None,
    latents: int = LATENTS,
) -> _Done:
    painter, judge = Painter(latents), judge or Judge()
    optimizers = (torch.optim.SGD(judge.parameters(), lr=rate_d), torch.optim.SGD(painter.parameters(), lr=rate_g))
    before = _copies(painter), _copies(judge)
    returned = []
    for _ in range(calls):
        given = faces(rows)
        returned.append(step(painter, judge, *optimizers, given, latents))
        as_found(painter, judge)
        if not torch.equal(given, faces(rows)):
            raise Missed(WRITTEN)
    if len(painter.given) < calls:
        raise Missed("the generator was not asked in each call: fakes are generator(z).")
    return _Done(painter, judge, before, returned)


def _copies(net: torch.nn.Module) -> Weights:
    return [parameter.detach().clone() for parameter in net.parameters()]


def _flat(parameters: Any) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


def _nets(done: _Done) -> tuple[Painter, Judge]:
    """Fresh nets with the weights of before."""
    painter, judge = Painter(), copy.deepcopy(done.judge)
    for net, weights in zip((painter, judge), done.before, strict=True):
        for parameter, weight in zip(net.parameters(), weights, strict=True):
            parameter.data.copy_(weight)
    return painter, judge


def _loss_d(painter: Painter, judge: Judge, z: Tensor) -> Tensor:
    fake = painter.draw(z).detach()
    return -logsigmoid(judge.judge(faces())).mean() - logsigmoid(-judge.judge(fake)).mean()


def _loss_g(painter: Painter, judge: Judge, z: Tensor) -> Tensor:
    return -logsigmoid(judge.judge(painter.draw(z))).mean()


def _saturating(painter: Painter, judge: Judge, z: Tensor) -> Tensor:
    return logsigmoid(-judge.judge(painter.draw(z))).mean()


def _down(net: torch.nn.Module, loss: Tensor, rate: float) -> None:
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            parameter -= rate * gradient


def _returned(step: Function) -> str | None:
    done = _run(step, 0.0, 0.0)
    losses = done.returned[0]
    if losses is None:
        return "it returns None: the `return` is missing."
    if not isinstance(losses, tuple | list) or len(losses) != 2:
        return "return two numbers: the discriminator's loss and the generator's."
    if any(isinstance(loss, Tensor) for loss in losses):
        return "return loss.item(): a tensor keeps its whole graph in memory."
    z = done.painter.given
    painter, judge = _nets(done)
    expected = [_loss_d(painter, judge, z[0]).item(), _loss_g(painter, judge, z[-1]).item()]
    got = torch.tensor([float(loss) for loss in losses], dtype=torch.float64)
    hint = explain(
        got,
        expected,
        [
            (lambda: [expected[0], ROWS * expected[1]], SUM),
            (lambda: [ROWS * expected[0], expected[1]], SUM),
            (lambda: expected[::-1], "they are in the other order: D's comes first."),
            (lambda: [_loss_d(painter, judge, z[-1]).item(), _loss_g(painter, judge, z[0]).item()], OF_BEFORE),
            (
                lambda: [expected[0], _saturating(painter, judge, z[-1]).item()],
                "the generator's is log(1 − D(G(z))), the saturating form: it should be −log D(G(z)).",
            ),
        ],
        "they should be the two losses on this batch: D's of exercise 1, and −mean log D(G(z)).",
    )
    return hint or _second(step) or _sure(step)


def _second(step: Function) -> str | None:
    done = _run(step, 0.0, 0.0, calls=2)
    z, (painter, judge) = done.painter.given[len(done.painter.given) // 2 :], _nets(done)
    expected = torch.stack([_loss_d(painter, judge, z[0]), _loss_g(painter, judge, z[-1])])
    moved = not torch.equal(done.judged, _flat(judge.parameters()))  # another property tells that
    if moved or close(torch.tensor(done.returned[1], dtype=torch.float64), expected.detach()):
        return None
    return "in a second call the losses are not those of this call: keep nothing from the call before."


def _sure(step: Function) -> str | None:
    done = _run(step, 0.0, 0.0, judge=Judge(scale=1e4))
    painter, judge = _nets(done)
    z = done.painter.given
    on_real, *on_fake = (judge.judge(x).detach() for x in (faces(), painter.draw(z[0]), painter.draw(z[-1])))
    each = (-logsigmoid(on_real), -logsigmoid(-on_fake[0])), (-logsigmoid(on_fake[1]),)
    for got, right, which in zip(done.returned[0], each, ("discriminator's", "generator's"), strict=True):
        if not surely(torch.tensor(got), *right):
            return (
                f"where the discriminator is very sure, the {which} loss is {got:.4g}: take no logarithm of a D that "
                "can be 0, and add nothing to it; use softplus, logsigmoid or …_with_logits."
            )
    return None


def _noise(step: Function) -> str | None:
    one, again = (_run(step, 0.0, 0.0, rows=MANY, latents=OTHER).painter.given for _ in range(2))
    few = _run(step, 0.0, 0.0).painter.given[-1]
    if len(few) != ROWS:
        return f"for {ROWS} real faces the generator is given noise for {len(few)}."
    return noise_hint(one[0], again[0]) or noise_hint(one[-1], again[-1])


def _alone(step: Function, which: str) -> str | None:
    """With the rate of one net at 0, that net must stay bit for bit, whatever the other does."""
    rates = (RATE, 0.0) if which == "generator" else (0.0, RATE)
    done = _run(step, *rates)
    net = done.painter if which == "generator" else done.judge
    before = done.before[0 if which == "generator" else 1]
    if all(torch.equal(a, b.detach()) for a, b in zip(before, net.parameters(), strict=True)):
        return None
    return f"the {which} moved although its own optimizer stood still: each optimizer steps its own net alone."


def _discriminator(step: Function) -> "str | Hint | None":
    return _steps_of_d(step, 0.0) or _steps_of_d(step, SURE[dtype()])


def _steps_of_d(step: Function, of_dark: float) -> "str | Hint | None":
    """With large losses, of some faces or of all, so that a limit on one or on their mean shows."""
    done = _run(step, RATE, 0.0, judge=Biased(faces(), wins=False, of_dark=of_dark))
    z = done.painter.given

    def after(change: Callable[[Painter, Judge], Tensor]) -> Tensor:
        painter, judge = _nets(done)
        _down(judge, change(painter, judge), RATE)
        return _flat(judge.parameters())

    def twice() -> Tensor:
        painter, judge = _nets(done)
        first = torch.autograd.grad(_loss_d(painter, judge, z[0]), list(judge.parameters()))
        for loss, z_of in ((_loss_d, z[0]), (_loss_g, z[-1])):
            _down(judge, loss(painter, judge, z_of), RATE)
        return _flat(judge.parameters()) - RATE * _flat(first)

    mistakes: list[Mistake] = [
        (twice, "optimizer_d steps a second time, after the generator's backward(): it steps once in each call."),
        (lambda: _flat(done.before[1]), "it has not moved: optimizer_d.step() comes after its loss's backward()."),
        (lambda: after(lambda p, j: -_loss_d(p, j, z[0])), "it goes up its loss: the sign is flipped."),
        (lambda: after(lambda p, j: _loss_d(p, j, z[-1])), OF_BEFORE),
        (
            lambda: after(lambda p, j: _loss_d(p, j, z[0]) + _loss_g(p, j, z[-1])),
            "the generator's loss moves it too: call optimizer_d.step() before the generator's backward().",
        ),
        (
            lambda: after(lambda p, j: _loss_g(p, j, z[-1])),
            "it is moved by the generator's loss, which wants it to be fooled.",
        ),
    ]
    expected = after(lambda p, j: _loss_d(p, j, z[0]))
    return explain(done.judged, expected, mistakes, "its step is not −rate · gradient of its loss.")


def _generator(step: Function) -> "str | Hint | None":
    return _steps_of_g(step, 0.0) or _steps_of_g(step, SURE[dtype()])


def _steps_of_g(step: Function, of_dark: float) -> "str | Hint | None":
    done = _run(step, 0.0, RATE, judge=Biased(faces(), wins=True, of_dark=of_dark))
    z = done.painter.given

    def after(change: Callable[[Painter, Judge], Tensor]) -> Tensor:
        painter, judge = _nets(done)
        _down(painter, change(painter, judge), RATE)
        return _flat(painter.parameters())

    def leaked(p: Painter, j: Judge) -> Tensor:
        return _loss_g(p, j, z[-1]) - logsigmoid(-j.judge(p.draw(z[0]))).mean()

    mistakes: list[Mistake] = [
        (
            lambda: _flat(done.before[0]),
            "it has not moved: do not detach the fakes here, and call backward() and optimizer_g.step().",
        ),
        (lambda: after(lambda p, j: _loss_g(p, j, z[0])), OF_BEFORE),
        (
            lambda: after(lambda p, j: _saturating(p, j, z[-1])),
            "that is log(1 − D(G(z))), which saturates: its gradient vanishes where D wins. Use −log D(G(z)).",
        ),
        (
            lambda: after(lambda p, j: -_loss_g(p, j, z[-1])),
            "it goes up −log D(G(z)): the sign is flipped, or fakes are labelled 0.",
        ),
        (
            lambda: after(lambda p, j: -_saturating(p, j, z[-1])),
            "it helps the discriminator: fakes are labelled 1 in its own step.",
        ),
        (
            lambda: after(leaked),
            "a gradient of D's loss reached it: detach the fakes in D's step, or clear optimizer_g after it.",
        ),
    ]
    expected = after(lambda p, j: _loss_g(p, j, z[-1]))
    return explain(done.painted, expected, mistakes, "its step is not −rate · gradient of −mean log D(G(z)).")


def _order(step: Function) -> str | None:
    """The generator must meet the discriminator that has already learnt from this batch."""
    done = _run(step, RATE, RATE)
    z = done.painter.given
    painter, judge = _nets(done)
    old = _nets(done)
    _down(judge, _loss_d(painter, judge, z[0]), RATE)
    _down(painter, _loss_g(painter, judge, z[-1]), RATE)
    if close(done.painted, _flat(painter.parameters())):
        return None
    for z_old in (z[0], z[-1]):
        met_old = _nets(done)[0]
        _down(met_old, _loss_g(met_old, old[1], z_old), RATE)
        if close(done.painted, _flat(met_old.parameters())):
            return OF_BEFORE
    return "after one call the generator is not where the two updates in turn lead."


def _cleared(step: Function) -> str | None:
    """Two calls are two clean pairs of updates, of a discriminator that wins as well."""
    if hint := _order(step):
        return hint  # what one call does wrong, two do as well, but less where the discriminator wins
    done = _run(step, RATE, RATE, calls=2, judge=Biased(faces(), wins=True))
    z = done.painter.given
    pairs = ((z[0], z[len(z) // 2 - 1]), (z[len(z) // 2], z[-1]))
    painter, judge = _nets(done)
    for of_d, of_g in pairs:
        _down(judge, _loss_d(painter, judge, of_d), RATE)
        _down(painter, _loss_g(painter, judge, of_g), RATE)
    if close(done.judged, _flat(judge.parameters())) and close(done.painted, _flat(painter.parameters())):
        return None
    if hint := _discriminator(step):
        return hint
    if close(done.judged, _flat(done.before[1])):
        return "a discriminator that wins is not updated: each call is one update of either net."
    return (
        "the second call does not start clean: the generator's backward() leaves gradients in D as well, so call "
        "zero_grad() of each optimizer just before its own backward()."
    )
