"""Checks and claims of lab 06's exercises."""

from labkit.labs.lab06.cells import depthwise_cell
from labkit.labs.lab06.claims import C10
from labkit.labs.lab06.levels import temperature_per_level
from labkit.labs.lab06.residual import residual_kl
