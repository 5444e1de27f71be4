"""Noise must follow the normal law: what looks normal only in its mean and spread is caught."""

import pytest
import torch

from labkit.noise import normal_law

COUNT = 160_000
NEARLY = {
    "a sum of 4 uniform numbers": lambda: (torch.rand(4, COUNT) - 0.5).sum(0) * 3**0.5,
    "a sum of 12 uniform numbers": lambda: torch.rand(12, COUNT).sum(0) - 6,
    "limited to ±3.9": lambda: torch.randn(COUNT).clamp(-3.9, 3.9),
    "Student's t, 20 degrees": lambda: torch.distributions.StudentT(20.0, 0.0, 0.9**0.5).sample((COUNT,)),
}


@pytest.mark.parametrize("name", NEARLY)
def test_what_is_nearly_normal_is_not(name):
    torch.manual_seed(0)
    assert sum(normal_law(NEARLY[name](), "it") is not None for _ in range(10)) >= 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_numbers_are(dtype):
    torch.manual_seed(0)
    assert all(normal_law(torch.randn(COUNT, dtype=dtype), "it") is None for _ in range(100))
