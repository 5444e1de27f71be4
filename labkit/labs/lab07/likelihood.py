"""Check of the log-likelihood of a continuous flow by the divergence of its field (Chen et al., arXiv:1806.07366)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.checking import (
    Missed,
    Property,
    any_number,
    as_tensor,
    close,
    evaluate,
    explain,
    no_nan,
    normal,
    one_per_row,
    size,
    untouched,
    weak,
)
from labkit.matching import GaussianVelocity, gaussian_log_prob

ROWS, FEATURES, STEPS = 4, 2, 50
TIME = 0.3  # of the divergence
NATS = 1e-3 * FEATURES
FORWARD = "the way runs from t = 0 to 1: a face lies at t = 1, so start there and go back to its noise at t = 0."


class _Linear(nn.Module):
    """x A: its divergence is the trace of A everywhere. Of three features, since the other fields have two."""

    matrix = 20 * torch.tensor([[0.5, 2.0, 0.3], [-1.0, -1.3, 0.6], [0.4, -0.7, 2.1]], dtype=torch.float64)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return x @ self.matrix


class _Curved(nn.Module):
    """Its divergence differs from row to row and from time to time."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.stack([torch.sin(2 * x[:, 0]) * x[:, 1], x[:, 0] + time * x[:, 1] ** 2], 1)

    @staticmethod
    def divergence(x: Tensor) -> Tensor:
        return 2 * torch.cos(2 * x[:, 0]) * x[:, 1] + 2 * TIME * x[:, 1]


class _Bent(nn.Module):
    """2 t c √(1 + x²): asinh x grows by c t², which gives the density; the divergence differs along the way."""

    c = torch.tensor([0.8, -0.5], dtype=torch.float64)

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        self.times.append(float(time.reshape(-1)[0]))
        return 2 * time.reshape(-1, 1) * self.c * torch.sqrt(1 + x**2)

    def flow(self, noise: Tensor) -> Tensor:
        return torch.sinh(torch.asinh(noise) + self.c)

    def log_prob(self, x: Tensor) -> Tensor:
        noise = torch.sinh(torch.asinh(x) - self.c)
        return gaussian_log_prob(noise) + 0.5 * (torch.log1p(noise**2) - torch.log1p(x**2)).sum(1)


class _Still(nn.Module):
    """Nothing moves: the density stays that of the noise."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return 0.0 * x


class _Plain(nn.Module):
    """Refuses torch.func, which cannot look into a field of another process, as the grader's are."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def forward(self, x: Tensor, time: Any) -> Tensor:
        if torch._C._functorch.is_functorch_wrapped_tensor(x):
            raise Missed("torch.func cannot look into this field: differentiate with torch.autograd.grad.")
        return self.field(x, torch.as_tensor(time))


def likelihood(divergence: Callable[..., Any], log_likelihood: Callable[..., Any]) -> list[Property]:
    """Properties of the divergence of a field, and of the log-likelihood that follows from it.

    Args:
        divergence: (velocity, x (N, d), t ()) → Σᵢ ∂vᵢ/∂xᵢ (N,).
        log_likelihood: (velocity, x (N, d), steps) → log p₁(x) (N,) in nats, from t = 1 back to standard normal
            noise at t = 0.
    """

    def spread(field: nn.Module, x: Tensor) -> Tensor:
        got = divergence(_Plain(field), x.clone(), torch.tensor(TIME, dtype=torch.float64))
        return no_nan(as_tensor(got, "the divergence").detach())

    def nats(field: nn.Module, x: Tensor, steps: int = STEPS) -> Tensor:
        got = as_tensor(log_likelihood(_Plain(field), x.clone(), steps), "the log-likelihood").detach()
        if got.shape != (len(x),) and got.numel() != len(x):
            raise Missed(one_per_row(got, len(x), FEATURES, "the log-likelihood"))
        return got.reshape(-1)

    return evaluate(
        {
            "the divergence has one number per row": weak(lambda: one_per_row(
                spread(_Curved(), normal(ROWS, FEATURES)), ROWS, FEATURES, "the divergence"
            ) or any_number(lambda x: spread(_Curved(), x), normal(ROWS, FEATURES), most=100) or untouched(
                [normal(ROWS, FEATURES)], lambda x: divergence(_Plain(_Curved()), x, torch.tensor(TIME).double())
            )),
            "of a linear field it is the trace of the matrix": lambda: _trace(spread),
            "of a curved field it differs from row to row": lambda: _curved(spread),
            "the log-likelihood has one number per row": weak(lambda: one_per_row(
                as_tensor(log_likelihood(_Plain(_Still()), normal(ROWS, FEATURES), 2), "the log-likelihood"),
                ROWS, FEATURES, "the log-likelihood",
            ) or any_number(lambda x: log_likelihood(_Plain(_Still()), x, 2), normal(ROWS, FEATURES), most=100)
            or untouched([normal(ROWS, FEATURES)], lambda x: log_likelihood(_Plain(_Curved()), x, 2))),
            "where nothing moves it is that of the noise": lambda: _still(nats),
            "of a Gaussian's flow it is the closed form to 0.001 nats a feature": lambda: _gaussian(nats),
            "more steps bring it nearer": lambda: _nearer(nats),
        }
    )  # fmt: skip


def _per_row(got: Tensor, expected: Tensor) -> Tensor:
    """A wrong shape costs a property of its own."""
    return got if got.shape == expected.shape else got.reshape(-1)[:1].expand(expected.shape)


def _trace(spread: Callable) -> str | None:
    matrix = _Linear.matrix
    x = normal(ROWS, len(matrix), seed=1)
    expected = matrix.trace().expand(ROWS)
    return explain(
        _per_row(spread(_Linear(), x), expected),
        expected,
        [
            (lambda: matrix.sum().expand(ROWS), "it sums all of the Jacobian: only ∂vᵢ/∂xᵢ, the diagonal, counts."),
            (lambda: expected * ROWS, "it is multiplied by the number of rows."),
            (lambda: expected / len(matrix), "it is the mean of the diagonal; take the sum."),
            (lambda: -expected, "its sign is wrong."),
            (lambda: torch.linalg.det(matrix).expand(ROWS), "that is the determinant; the divergence is the trace."),
            (lambda: matrix[-1, -1].expand(ROWS), "only the last feature counts: add them up over the loop."),
        ],
        "differentiate feature i of the velocity by feature i of x, for each i, and add up.",
    )


def _curved(spread: Callable) -> str | None:
    x = normal(ROWS, FEATURES, seed=2)
    expected = _Curved.divergence(x)
    got = spread(_Curved(), x)
    if got.shape == expected.shape and close(got, expected):
        return None
    if close(got.sum(), expected.sum()) or close(got.reshape(-1)[:1], expected.sum()):
        return "the rows are added up: keep one number for each."
    return "at each row, add up the derivative of velocity i by feature i of that row."


def _still(nats: Callable) -> str | None:
    x = normal(ROWS, FEATURES + 1, seed=3)
    x[0] *= 40  # far out, so that a limit shows
    expected = gaussian_log_prob(x)
    return explain(
        nats(_Still(), x),
        expected,
        [
            (lambda: -expected, "that is the negative log-likelihood."),
            (lambda: expected.exp(), "that is the density itself: return its logarithm."),
            (lambda: -0.5 * (x**2).sum(1), "the normal density's constant is missing, −½ log 2π for each feature."),
            (lambda: torch.zeros(ROWS), "the noise's own log-density is missing."),
        ],
        "with a field of zeros it is log N(x; 0, 1), summed over the features.",
    )


def _gaussian(nats: Callable) -> str | None:
    field = GaussianVelocity(*(torch.tensor(each, dtype=torch.float64) for each in ([0.5, -0.5], [0.5, 0.6])))
    # Within two deviations Heun's 50 steps are off by 0.0012 nats at most; the error grows with the square.
    x = field.flow(normal(size(ROWS + 1, 2 * ROWS), FEATURES, seed=4).clamp(-2, 2))
    got, expected = nats(field, x), field.log_prob(x)
    off = (got - expected).abs().max().item()
    if off < NATS:
        return None
    if hint := _still(nats):
        return hint
    noise = (x - field.mean) / field.spread
    change = expected - gaussian_log_prob(noise)
    for wrong, hint in (
        (gaussian_log_prob(noise), "the divergence is left out: only the noise's density counts."),
        (
            gaussian_log_prob(noise) - change,
            "the sign of the integral is wrong: where a flow spreads, density falls.",
        ),
        (gaussian_log_prob(x) + change, "the noise's density is taken at x; take it where x comes from, at t = 0."),
        *((gaussian_log_prob(field.flow(x)) + side * change, FORWARD) for side in (1, -1)),
        (expected - 2 * change + change * STEPS, "the divergence is added up without the steps' length."),
    ):
        if (got - wrong).abs().max() < 30 * NATS:
            return hint
    if off < 100 * NATS:
        return f"it is off by {off:.2g} nats with {STEPS} steps: carry point and integral with Heun's method."
    return f"it is off by {off:.2g} nats: follow x from t = 1 back to t = 0, and the integral along the same way."


def _nearer(nats: Callable) -> str | None:
    field = _Bent()
    x = field.flow(normal(ROWS, FEATURES, seed=5))
    few, many = ((nats(field, x, steps) - field.log_prob(x)).abs().max().item() for steps in (16, 48))
    if many > few / 6:  # a method of second order gives 9
        return _gaussian(nats) or (
            f"on a curved field 16 steps are off by {few:.2g} nats, 48 by {many:.2g}; with Heun's method that is a "
            "ninth. Does the argument steps set the grid, and is the divergence taken where the point then is?"
        )
    field.times.clear()
    nats(field, x, 5)
    missing = [k for k in range(1, 6) if min(abs(time - k / 5) for time in field.times) > 1e-5]
    if missing:
        return f"with steps = 5 the field is never evaluated at t = {missing[0]}/5: 5 steps have 6 times."
    return None
