"""No damaged checkpoint is trained on."""

import random

import torch

from labkit.errors import LabkitError
from labkit.fit.checkpoint import Checkpoints


def test_a_flipped_byte_is_refused_or_harmless(tmp_path, same):
    state = {"weights": torch.randn(64, 64, generator=torch.Generator().manual_seed(0)), "epoch": 3}
    checkpoints = Checkpoints(tmp_path, {"lr": 0.1}, 60.0)
    checkpoints.save(state)
    whole = checkpoints.path.read_bytes()
    refused, dice = 0, random.Random(0)
    for place in dice.sample(range(len(whole)), 100):
        checkpoints.path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            assert same(checkpoints.load(), state), place
        except LabkitError:
            refused += 1
    assert refused > 50
