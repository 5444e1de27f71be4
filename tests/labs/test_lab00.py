"""Lab 00's check: right log-densities pass; each wrong one misses its own property, with its own hint."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.nn import functional as F

from labkit.checking import Missed, evaluate
from labkit.labs.lab00 import first_check

SHAPE, FALLS, ORIGIN, FAR = (
    "one log-density for each row of x",
    "it falls from its peak by |x|²/2",
    "at the origin it is −d/2 · log 2π",
    "far from the origin it is still finite",
)
LOG_2PI = math.log(2 * math.pi)


def constant(x):
    return x.shape[1] / 2 * LOG_2PI


def by_loops(x):
    found = torch.zeros(len(x), dtype=x.dtype)
    for i, row in enumerate(x):
        for value in row:
            found[i] -= value**2 / 2 + 0.5 * math.log(2 * math.pi)
    return found


def by_numpy(x):
    values = x.numpy()
    return -0.5 * np.square(values).sum(axis=1) - values.shape[1] / 2 * np.log(2 * np.pi)


def in_place_on_a_copy(x):
    found = x.clone().pow_(2).mul_(-0.5).sub_(LOG_2PI / 2)
    return found.sum(-1)


class LogDensity(torch.nn.Module):
    def forward(self, x):
        return torch.distributions.Independent(torch.distributions.Normal(torch.zeros_like(x), 1.0), 1).log_prob(x)


def multivariate(x):
    d = x.shape[-1]
    law = torch.distributions.MultivariateNormal(torch.zeros(d, dtype=x.dtype), torch.eye(d, dtype=x.dtype))
    return law.log_prob(x)


RIGHT = {
    "loops": by_loops,
    "numpy": by_numpy,
    "in place on a copy": in_place_on_a_copy,
    "a class": LogDensity(),
    "multivariate": multivariate,
    "einsum": lambda x: -0.5 * torch.einsum("ij,ij->i", x, x) - constant(x),
    "norm": lambda x: -(torch.linalg.norm(x, dim=-1).pow(2) + x.size(-1) * LOG_2PI).div(2),
    "gaussian_nll_loss": lambda x: (
        -F.gaussian_nll_loss(x, torch.zeros_like(x), torch.ones_like(x), full=True, reduction="none").sum(1)
    ),
    "vmap": torch.func.vmap(lambda row: -0.5 * torch.dot(row, row) - 0.5 * len(row) * LOG_2PI),
    "scipy": lambda x: norm.logpdf(x.numpy()).sum(1),
    "by hand": lambda x: -0.5 * (x**2).sum(1) - constant(x),
    "torch.distributions": lambda x: torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(-1),
    "a loop over rows": lambda x: torch.stack([-0.5 * r @ r - len(r) / 2 * LOG_2PI for r in x]),
}
WRONG = {
    "not summed": (lambda x: -0.5 * x**2 - LOG_2PI / 2, {SHAPE: "for each feature"}),
    "summed over everything": (lambda x: (-0.5 * x**2 - LOG_2PI / 2).sum(), {SHAPE: "for the whole batch"}),
    "summed over rows": (lambda x: (-0.5 * x**2 - LOG_2PI / 2).sum(0), {SHAPE: ".sum(0)"}),
    "column": (lambda x: (-0.5 * x**2 - LOG_2PI / 2).sum(1, keepdim=True), {SHAPE: "keepdim"}),
    "mean over features": (lambda x: -0.5 * (x**2).mean(1) - constant(x), {FALLS: "mean over the features"}),
    "sign lost": (lambda x: 0.5 * (x**2).sum(1) - constant(x), {FALLS: "sign is flipped"}),
    "half lost": (lambda x: -(x**2).sum(1) - constant(x), {FALLS: "factor ½"}),
    "length for its square": (lambda x: -0.5 * x.norm(dim=1) - constant(x), {FALLS: "length of x"}),
    "no constant": (lambda x: -0.5 * (x**2).sum(1), {ORIGIN: "constant is missing"}),
    "constant of one feature": (lambda x: -0.5 * (x**2).sum(1) - LOG_2PI / 2, {ORIGIN: "of one feature"}),
    "constant added": (lambda x: -0.5 * (x**2).sum(1) + constant(x), {ORIGIN: "sign of the constant"}),
    "constant without its half": (lambda x: -0.5 * (x**2).sum(1) - 2 * constant(x), {ORIGIN: "factor ½"}),
    "base 10": (
        lambda x: -0.5 * (x**2).sum(1) - x.shape[1] / 2 * math.log10(2 * math.pi),
        {ORIGIN: "base 10"},
    ),
    "d written down": (
        lambda x: -0.5 * (x**2).sum(1) - 1.5 * LOG_2PI,
        {ORIGIN: "d = 1: take d from x.shape[1]"},
    ),
    "log of exp": (
        lambda x: torch.log(torch.exp(-0.5 * (x**2).sum(1)) / (2 * math.pi) ** (x.shape[1] / 2)),
        {FAR: "underflows"},
    ),
    "no return": (lambda x: None, dict.fromkeys((SHAPE, FALLS, ORIGIN, FAR), "return")),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(first_check, (RIGHT[name],))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_property_and_gets_its_hint(prove, name):
    solution, expected = WRONG[name]
    prove.wrong(first_check, (solution,), expected)


def test_stub_says_so_once(prove):
    prove.stub(first_check, arguments=1)


def test_evaluate_turns_whatever_happens_into_properties():
    def stop(error):
        raise error

    found = evaluate(
        {
            "holds": lambda: None,
            "says": lambda: "because",
            "ends": lambda: stop(Missed("early")),
            "raises": lambda: stop(ValueError("a\nb")),
            "raises without a word": lambda: stop(KeyError()),
        }
    )
    assert [each.passed for each in found] == [True, False, False, False, False]
    assert [each.hint for each in found[1:3]] == ["because", "early"]
    assert found[3].hint.startswith("your code stopped with ValueError: a b")
    assert found[3].hint.endswith("of your code: raise error")
    assert "KeyError: no message" in found[4].hint


def test_what_ends_the_session_is_not_swallowed():
    def interrupt(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first_check(interrupt)


def test_student_cannot_spoil_the_inputs_of_the_next_property(prove):
    def overwrites(x):
        value = RIGHT["by hand"](x)
        x.zero_()
        return value

    prove.wrong(first_check, (overwrites,), {"one log-density for each row of x": "work on a copy"})
