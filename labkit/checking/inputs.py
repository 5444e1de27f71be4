"""The inputs of checks: the same at every call, others under a salt, in float64 or what a student's code wants."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

DTYPE = ContextVar("dtype", default=torch.float64)
_SALT = ContextVar("salt", default=0)


@contextmanager
def salted(value: int) -> Iterator[None]:
    """Within it all checks draw other inputs: what was learnt from the ones that students see is of no use there.

    Args:
        value: of 0 to 2⁶³ − 1; with 0 the inputs are those that students see.
    """
    before = _SALT.set(value)
    try:
        yield
    finally:
        _SALT.reset(before)


def drawing_seed(seed: int) -> int:
    """A check's own seed under the salt in force."""
    salt = _SALT.get()
    if not salt:
        return seed
    digest = hashlib.blake2b(f"{salt}/{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers of `dtype()`, the same at every call under one salt."""
    generator = torch.Generator().manual_seed(drawing_seed(seed))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype())


def dtype() -> torch.dtype:
    """What inputs of a check are: float64, or float32 where a student's code wants that."""
    return DTYPE.get()


def random_numbers(seed: int = 0) -> np.random.Generator:
    """numpy's generator for a check's inputs, the same at every call under one salt."""
    return np.random.default_rng(drawing_seed(seed))


def size(low: int, high: int) -> int:
    """A size of a check's inputs, `low` to `high`: another one under another salt, so that none can be written in."""
    return int(random_numbers().integers(low, high + 1))
