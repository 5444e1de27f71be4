"""Checks of lab 04's exercises (parts a to c)."""

from labkit.labs.lab04.latents import arithmetic, spherical
from labkit.labs.lab04.losses import discriminator_loss
from labkit.labs.lab04.rare import balancing_weights, wilson_interval
from labkit.labs.lab04.step import gan_step

__all__ = [
    "arithmetic",
    "balancing_weights",
    "discriminator_loss",
    "gan_step",
    "spherical",
    "wilson_interval",
]
