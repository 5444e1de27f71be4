"""Check of the loss of flow matching (Lipman et al., arXiv:2210.02747): a regression on the velocity of pairs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.checking import Property, as_tensor, close, evaluate, explain, no_nan, normal, untouched, weak

ROWS, FEATURES = 6, 3
APART = 1.5  # the two points lie at −1.5 and 1.5
Pairs = tuple[Tensor, Tensor, Tensor]


class _Field(nn.Module):
    """A smooth field with one weight, which remembers where it was evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        self.seen.append((x.detach().clone(), torch.as_tensor(time).detach().clone()))
        return self.weight * torch.sin(2 * x) + torch.as_tensor(time).reshape(-1, 1)


class _Given(nn.Module):
    """A field whose answer is known beforehand."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.answer(x, time)


def regression(loss: Callable[..., Any]) -> list[Property]:
    """Properties of a loss (velocity, noise (N, d), data (N, d), time (N,)) → scalar.

    Args:
        loss: the mean over rows and features of (velocity(x_t, t) − (x₁ − x₀))².
    """
    return evaluate(
        {
            "the loss is one number": weak(lambda: _scalar(loss)),
            "the field is evaluated at x_t and t": lambda: _places(loss),
            "a field that is right everywhere has loss zero": weak(lambda: _right(loss)),
            "it is the mean of the squared errors, over rows and features": lambda: _mean(loss),
            "its gradient reaches the field": lambda: _gradient(loss),
            "for two points it is least at the closed form": lambda: _two_points(loss),
            "noise, data and time stay as they were": weak(
                lambda: untouched(_pairs(), lambda *pairs: loss(_Field(), *pairs))
            ),
        }
    )


def _pairs() -> Pairs:
    # Far apart, so that large errors show what becomes of them; times in no order.
    time = torch.linspace(0.1, 0.8, ROWS, dtype=torch.float64).roll(ROWS // 2)
    return 40 * normal(ROWS, FEATURES, seed=1), 40 * normal(ROWS, FEATURES, seed=2), time


def _value(loss: Callable[..., Any], field: nn.Module, pairs: Pairs) -> Tensor:
    got = no_nan(as_tensor(loss(field, *[each.clone() for each in pairs]), "the loss"))
    # A wrong shape costs the first property alone.
    return got if got.ndim == 0 else got.mean()


def _scalar(loss: Callable[..., Any]) -> str | None:
    got = as_tensor(loss(_Field(), *_pairs()), "the loss")
    if got.ndim == 0:
        return None
    return f"its shape is {tuple(got.shape)}; an optimiser needs one number, so end with .mean()."


def _places(loss: Callable[..., Any]) -> str | None:
    field, (noise, data, time) = _Field(), _pairs()
    _value(loss, field, (noise, data, time))
    if not field.seen:
        return "the field is never evaluated: call velocity(x, time)."
    seen = field.seen
    if all(x.shape == (1, FEATURES) for x, _ in seen):  # of a loop over rows
        seen = [(torch.cat([x for x, _ in seen]), torch.cat([when.reshape(-1) for _, when in seen]))]
    for x, when in seen:
        if x.shape == data.shape and (close(x, data) or close(x, noise)):
            return "the field is evaluated at an end of the path; it must answer at the point x_t on the way."
        if x.shape != data.shape or not close(x, torch.lerp(noise, data, time[:, None])):
            return "the field is evaluated elsewhere than at the point x_t of your path."
        if when.shape == (ROWS, 1):
            return "the field is given times of shape (N, 1); it takes them as (N,)."
        if when.numel() != ROWS or not close(when.reshape(-1), time):
            return "the field is given another time than that of the point: velocity(x, time)."
    return None


def _right(loss: Callable[..., Any]) -> str | None:
    noise, data, time = _pairs()

    def error(answers: Tensor) -> Tensor:
        """The loss of a field that gives each pair's answer, also to a loop that asks row by row."""
        points = torch.lerp(noise, data, time[:, None])

        def answer(x: Tensor, _: Tensor) -> Tensor:
            return answers[torch.cdist(x, points).argmin(1)] if len(x) == 1 else answers

        return _value(loss, _Given(answer), (noise, data, time)).detach()

    # Also right about the sign: a field that is wrong in sign has a large loss.
    if close(error(data - noise), torch.zeros(())):
        return None
    if close(error(noise - data), torch.zeros(())):
        return "the target's sign is wrong: the velocity points from noise to data."
    if close(error(data), torch.zeros(())):
        return "the target is the data themselves; a velocity is a difference."
    return "a field that gives every pair's velocity still has an error: what is the target?"


def _error(noise: Tensor, data: Tensor, time: Tensor) -> Tensor:
    """Of `_Field`, along the paths."""
    return _Field()(torch.lerp(noise, data, time[:, None]), time).detach() - (data - noise)


def _mean(loss: Callable[..., Any]) -> str | None:
    noise, data, time = _pairs()
    error = _error(noise, data, time)
    square = error.square()
    hint = explain(
        _value(loss, _Field(), (noise, data, time)).detach(),
        square.mean(),
        [
            (lambda: square.sum(), "it is the sum over the whole batch, which grows with the batch: take the mean."),
            (lambda: square.sum(1).mean(), "it sums over the features; here the mean goes over features too."),
            (
                lambda: error.abs().mean(),
                "it is the absolute error: its least value is at a median, not at the mean.",
            ),
            (lambda: square.mean().sqrt(), "it is the root of the mean; leave the square as it is."),
            (lambda: square.mean() / 2, "it is half of the mean square."),
            (lambda: error.mean(), "the errors are not squared, so that they cancel."),
            (lambda: error.mean().square(), "the square comes after the mean, so that errors cancel before."),
        ],
        "compare the field with the target by the mean of the squared differences.",
    )
    if hint:
        return _places(loss) or _right(loss) or hint  # of a wrong place or target the mean is wrong as well
    far = 1000 * noise, 1000 * data, time
    if not close(_value(loss, _Field(), far).detach(), _error(*far).square().mean()):
        return "of points a thousand times as far apart it is not the mean square: is a value limited?"
    return None


def _gradient(loss: Callable[..., Any]) -> str | None:
    field, (noise, data, time) = _Field(), _pairs()
    value = _value(loss, field, (noise, data, time))
    if not value.requires_grad:
        return "the loss has no gradient: leave out detach(), item() and no_grad()."
    (got,) = torch.autograd.grad(value, [field.weight], allow_unused=True)
    if got is not None and bool(got.isfinite()) and bool(got != 0):
        right = (field(torch.lerp(noise, data, time[:, None]), time) - (data - noise)).square().mean()
        (wanted,) = torch.autograd.grad(right, [field.weight])
        # Of a wrong value the gradient is another one.
        if not close(value.detach(), right.detach()) or close(got.double(), wanted, 1e-4):
            return None
        return "the gradient is not that of the mean squared error: is a part of it detached?"
    return "the loss does not depend on the field's weights: is the field's answer detached on the way?"


def _two_points(loss: Callable[..., Any]) -> str | None:
    """Data ±a with equal odds: E[x₁ | x_t] = a tanh(a t x / (1 − t)²), and v = (E[x₁ | x_t] − x) / (1 − t).

    Quantiles of the noise instead of draws, so that the mean over pairs is sharp.
    """
    noise = torch.special.ndtri((torch.arange(100, dtype=torch.float64) + 0.5) / 100)
    time = (torch.arange(10, dtype=torch.float64) + 0.5) / 12.5
    data = torch.tensor([-APART, APART], dtype=torch.float64)
    noise, data, time = (each.reshape(-1, 1) for each in torch.meshgrid(noise, data, time, indexing="ij"))

    def value(amount: float) -> float:
        def answer(x: Tensor, when: Tensor) -> Tensor:
            t = torch.as_tensor(when).reshape(-1, 1)
            best = (APART * torch.tanh(APART * t * x / (1 - t) ** 2) - x) / (1 - t)
            return best + amount * x

        return float(_value(loss, _Given(answer), (noise, data, time[:, 0])).detach())

    less, best, more = value(-0.2), value(0.0), value(0.2)
    if min(less, more) > best + 1e-3 and abs(more - less) < 0.05 * (more + less - 2 * best):
        return None
    if hint := _places(loss) or _right(loss):
        return hint  # of a wrong place or target the least loss is elsewhere as well
    return (
        "with data at two points the loss should be least at v(x, t) = E[x₁ − x₀ | x_t = x], the mean velocity of "
        "all pairs that pass through x; here another field has a lower loss."
    )
