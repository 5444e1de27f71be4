"""Pixels between the forms that images, nets and densities want them in."""

import math

import numpy as np
import torch
from torch import Tensor


def to_input(images: np.ndarray | Tensor) -> Tensor:
    """uint8 images (N, C, H, W) → float32 in [−1, 1]; floats pass as they are."""
    images = torch.as_tensor(np.ascontiguousarray(images) if isinstance(images, np.ndarray) else images)
    return images if images.is_floating_point() else images.float().div_(127.5).sub_(1.0)


def to_pixels(x: Tensor) -> np.ndarray:
    """Images in [−1, 1] → uint8 (N, C, H, W), rounded and clipped."""
    levels = (x.detach().float() + 1) * 127.5
    return levels.round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def dequantise(images: np.ndarray, levels: int = 255, seed: int = 0) -> np.ndarray:
    """Grey levels k/levels (N, D) → float64 (k + u − ½)/levels with u uniform in [0, 1)."""
    noise = np.random.default_rng(seed).random(np.shape(images)) - 0.5
    return np.asarray(images, np.float64) + noise / levels


def bits_per_dim(log_prob_nats: np.ndarray | Tensor, dims: int) -> np.ndarray | Tensor:
    """−log₂ p(x) / dims from log p(x) in nats: the mean code length of one dimension, in bits.

    It is 8 for the uniform distribution over 256 levels.
    """
    return -log_prob_nats / (dims * math.log(2))
