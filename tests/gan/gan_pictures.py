"""Small pictures and small GANs for the tests of their training."""

import numpy as np
import torch

from labkit.gan.dcgan import DCGAN, DCGANConfig


def pictures(n: int = 128, seed: int = 0) -> np.ndarray:
    """Discs (n, 3, 16, 16) of any colour and place on a plain ground of any colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    cy, cx = rng.uniform(4, 12, (2, n, 1, 1))
    disc = np.hypot(y - cy, x - cx) < 4
    colours = rng.integers(0, 256, (2, n, 3, 1, 1))
    return np.where(disc[:, None], *colours).astype(np.uint8)


def small(seed: int = 0) -> DCGAN:
    torch.manual_seed(seed)
    return DCGAN(DCGANConfig(8, 16, 16))
