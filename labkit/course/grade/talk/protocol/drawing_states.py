"""The states of the global random generators, carried along in a conversation.

So a check that seeds them means what it says, though the student's function draws in another process.
"""

import random
from typing import Any

import numpy as np
import torch

from labkit.course.grade.talk.protocol.wire import WireError, array_data, array_from, tensor_data, tensor_from

WORDS = 624  # of a Mersenne twister


def mark() -> tuple[Any, ...]:
    """Something that differs whenever the generators' states do; cheaper than these."""
    _, keys, *rest = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), keys.tobytes(), *rest, random.getstate()


def get_states() -> list[Any]:
    """The states of torch's, numpy's and Python's global generators, as JSON can hold them."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    version, state, normal = random.getstate()
    return [
        tensor_data(torch.get_rng_state()),
        [array_data(keys), int(position), int(has_gauss), float(gauss)],
        [version, list(state), normal],
    ]


def set_states(states: Any) -> None:
    """Set the global generators; torch and Python look at what they are given, for numpy it is done here.

    Raises WireError: malformed.
    """
    try:
        for_torch, (keys, position, has_gauss, gauss), (version, state, normal) = states
        keys = array_from(keys)
        fits = keys.shape == (WORDS,) and keys.dtype == np.uint32 and type(position) is int
        if not (fits and 0 <= position <= WORDS and has_gauss in (0, 1)):
            raise ValueError("numpy's state does not fit")
        now = torch.get_rng_state()
        given = tensor_from(for_torch)
        if given.shape != now.shape or given.dtype != now.dtype:
            raise ValueError("torch's state does not fit")
        torch.set_rng_state(given)
        np.random.set_state(("MT19937", keys, position, has_gauss, float(gauss)))
        random.setstate((version, tuple(state), normal))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise WireError(f"the generators' states are malformed ({error})") from None
