"""Checks and claims of lab 04's exercises (parts a to c)."""

from labkit.labs.lab04.claims import D4, D5, D6, D7, D8, D9, D10
from labkit.labs.lab04.latents import arithmetic, spherical
from labkit.labs.lab04.losses import discriminator_loss
from labkit.labs.lab04.pairs import membership_area
from labkit.labs.lab04.rare import balancing_weights, wilson_interval
from labkit.labs.lab04.spread import diversity
from labkit.labs.lab04.step import gan_step
