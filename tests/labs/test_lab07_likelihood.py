"""Lab 07's check of the likelihood by divergence, put through right and wrong solutions."""

from itertools import pairwise

import pytest
import torch
from torch.autograd.functional import jacobian

from labkit.checking import salted
from labkit.labs import lab07
from labkit.matching import divergence as by_torch_func
from labkit.matching import euler, gaussian_log_prob, grid, heun

ROWS, TRACE, CURVED, NATS_ROWS, STILL, GAUSSIAN, NEARER = (
    "the divergence has one number per row",
    "of a linear field it is the trace of the matrix",
    "of a curved field it differs from row to row",
    "the log-likelihood has one number per row",
    "where nothing moves it is that of the noise",
    "of a Gaussian's flow it is the closed form to 0.001 nats a feature",
    "more steps bring it nearer",
)


def derivatives(velocity, x, time):
    """∂vᵢ/∂xᵢ of each feature and row, (N, d)."""
    x = x.detach().requires_grad_()
    flow = velocity(x, time)
    columns = [torch.autograd.grad(flow[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(x.shape[1])]
    return torch.stack(columns, 1)


def divergence(velocity, x, time):
    return derivatives(velocity, x, time).sum(1)


def by_jacobian(velocity, x, time):
    return torch.stack([jacobian(lambda row: velocity(row[None], time)[0], row).trace() for row in x])


def of_all(velocity, x, time):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(velocity(x, time).sum(), x)[0].sum(1)


def likelihood(
    solver=heun,
    sign=1,
    density=gaussian_log_prob,
    spread=divergence,
    at_x=False,
    backwards=True,
    fixed=None,
    step=1.0,
):
    """A log-likelihood that carries point and integral together, with one thing changed."""

    def log_likelihood(velocity, x, steps):
        def field(state, time):
            point = state[:, :-1]
            slope = velocity(point, time).detach()
            return torch.cat([slope, spread(velocity, point, time)[:, None]], 1)

        state = torch.cat([x, torch.zeros(len(x), 1, dtype=x.dtype)], 1)
        state = solver(field, state, grid(fixed or steps, backwards=backwards, like=x))
        return density(x if at_x else state[:, :-1]) + sign * state[:, -1] * (steps if step is None else step)

    return log_likelihood


def by_trapezoids(velocity, x, steps):
    """The way back first, then the integral along it."""
    total, h = torch.zeros(len(x), dtype=x.dtype), 1 / steps
    time = torch.tensor(1.0, dtype=x.dtype)
    for _ in range(steps):
        here, slope = divergence(velocity, x, time), velocity(x, time).detach()
        ahead = x - h * slope
        x = x - h / 2 * (slope + velocity(ahead, time - h).detach())
        time = time - h
        total = total + h / 2 * (here + divergence(velocity, x, time))
    return gaussian_log_prob(x) - total


def by_ones(velocity, x, time):
    """Gradients of columns, each by a vector of ones."""
    x = x.clone().requires_grad_(True)
    v, total = velocity(x, time), torch.zeros(len(x), dtype=x.dtype)
    for i in range(x.size(1)):
        total += torch.autograd.grad(v[:, i], x, torch.ones_like(v[:, i]), retain_graph=True)[0][:, i]
    return total


def by_backward(velocity, x, time):
    found = []
    for i in range(x.shape[1]):
        at = x.detach().clone().requires_grad_()
        velocity(at, time)[:, i].sum().backward()
        found.append(at.grad[:, i])
    return torch.stack(found, dim=-1).sum(dim=-1)


def by_einsum(velocity, x, time):
    whole = jacobian(lambda at: velocity(at, time), x)
    return torch.einsum("nini->n", whole)


def by_probes(velocity, x, time):
    """Hutchinson's estimate with each axis once is exact."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = velocity(x, time)
        axes = torch.eye(x.shape[1], dtype=x.dtype)
        return sum((torch.autograd.grad(v, x, e.expand_as(x), retain_graph=True)[0] * e).sum(-1) for e in axes)


def by_numbers(velocity, x, time):
    """Number by number."""
    found = torch.empty(len(x), dtype=x.dtype)
    for n, row in enumerate(x):
        at = row[None].clone().requires_grad_()
        v = velocity(at, time)[0]
        found[n] = sum(torch.autograd.grad(v[i], at, retain_graph=True)[0][0, i] for i in range(len(row)))
    return found


def by_normal(x):
    return torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(-1)


def by_multivariate(x):
    d = x.shape[1]
    return torch.distributions.MultivariateNormal(x.new_zeros(d), torch.eye(d, dtype=x.dtype)).log_prob(x)


def midpoint(velocity, x, steps):
    total, times = 0, torch.linspace(1, 0, steps + 1, dtype=x.dtype)
    for start, end in pairwise(times):
        h = end - start
        middle = x + h / 2 * velocity(x, start).detach()
        x = x + h * velocity(middle, (start + end) / 2).detach()
        total = total + h * by_backward(velocity, middle, (start + end) / 2)
    return by_multivariate(x) + total


RIGHT = {
    "one state": (divergence, likelihood()),
    "trapezoids": (by_jacobian, by_trapezoids),
    "gradients of ones, Normal": (by_ones, likelihood(density=by_normal)),
    "backward, midpoints": (by_backward, midpoint),
    "einsum, trapezoids": (by_einsum, by_trapezoids),
    "probes, MultivariateNormal": (by_probes, likelihood(density=by_multivariate)),
    "number by number": (by_numbers, likelihood()),
    "in float64": (
        lambda v, x, time: divergence(v, x.double(), time.double()).to(x),
        lambda v, x, steps: likelihood()(v, x.double(), steps).to(x),
    ),
}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "all of the Jacobian": ((of_all, likelihood()), {TRACE: "only ∂vᵢ/∂xᵢ", CURVED: "feature i"}),
    "mean of the diagonal": (
        (lambda *a: derivatives(*a).mean(1), likelihood()), {TRACE: "take the sum", CURVED: "feature i"}
    ),
    "last feature only": (
        (lambda *a: derivatives(*a)[:, -1], likelihood()), {TRACE: "only the last feature", CURVED: "feature i"}
    ),
    "sign of the divergence": ((lambda *a: -divergence(*a), likelihood()), {TRACE: "sign", CURVED: "feature i"}),
    "of two features": (
        (lambda *a: derivatives(*a)[:, :2].sum(1), likelihood(density=lambda z: by_normal(z[:, :2]))),
        {TRACE: "expected", STILL: "expected"},
    ),
    "not summed": (
        (derivatives, likelihood()), {ROWS: "for each feature", TRACE: "expected", CURVED: "added up"}
    ),
    "rows added up": (
        (lambda *a: divergence(*a).sum(), likelihood()),
        {ROWS: "whole batch", TRACE: "number of rows", CURVED: "added up"},
    ),
    "by torch.func": (
        (lambda v, x, t: by_torch_func(v, x, t)[1], likelihood()),
        dict.fromkeys((ROWS, TRACE, CURVED), "torch.autograd.grad"),
    ),
    "sign of the integral": (
        (divergence, likelihood(sign=-1)), dict.fromkeys((GAUSSIAN, NEARER), "sign of the integral")
    ),
    "no integral": (
        (divergence, likelihood(sign=0)), {GAUSSIAN: "divergence is left out", NEARER: "argument steps set"}
    ),
    "noise's density at x": (
        (divergence, likelihood(at_x=True)), {GAUSSIAN: "at t = 0", NEARER: "argument steps set"}
    ),
    "forwards": (
        (divergence, likelihood(backwards=False)), {GAUSSIAN: "from t = 0 to 1", NEARER: "from t = 0 to 1"}
    ),
    "by Euler": ((divergence, likelihood(solver=euler)), {GAUSSIAN: "Heun's method", NEARER: "ninth"}),
    "no step length": (
        (divergence, likelihood(step=None)), {GAUSSIAN: "", NEARER: "argument steps set"}
    ),
    "steps not used": ((divergence, likelihood(fixed=40)), {NEARER: "argument steps set"}),
    "negative": (
        (divergence, lambda *a: -likelihood()(*a)),
        {STILL: "negative", GAUSSIAN: "from t = 1 back", NEARER: "argument steps set"},
    ),
    "density, no logarithm": (
        (divergence, lambda *a: likelihood()(*a).exp()),
        {STILL: "its logarithm", GAUSSIAN: "", NEARER: "argument steps set"},
    ),
    "no constant": (
        (divergence, likelihood(density=lambda z: -0.5 * (z**2).sum(1))),
        dict.fromkeys((STILL, GAUSSIAN, NEARER), "constant is missing"),
    ),
    "limited": ((divergence, lambda *a: likelihood()(*a).clamp(-20, 20)), {STILL: "expected"}),
    "no density of noise": (
        (divergence, likelihood(density=lambda z: 0 * z.sum(1))),
        {STILL: "noise's own", GAUSSIAN: "", NEARER: "argument steps set"},
    ),
    "mean over the batch": (
        (divergence, lambda *a: likelihood()(*a).mean()),
        dict.fromkeys((NATS_ROWS, STILL, GAUSSIAN, NEARER), "whole batch"),
    ),
    "as a column": ((divergence, lambda *a: likelihood()(*a)[:, None]), {NATS_ROWS: "keepdim"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab07.likelihood, RIGHT[name])


@pytest.mark.parametrize("salt", [21 * 7919 + 1, 36 * 7919 + 1])  # with them some noise lies far out
def test_a_right_solution_has_every_property_whatever_is_drawn(prove, salt):
    with salted(salt):
        prove.right(lab07.likelihood, RIGHT["one state"])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab07.likelihood, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab07.likelihood, arguments=2)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab07.likelihood, RIGHT, WRONG)
