"""Checks of lab 06's exercises."""

from labkit.checks.lab06.cells import depthwise_cell
from labkit.checks.lab06.levels import temperature_per_level
from labkit.checks.lab06.residual import residual_kl

__all__ = ["depthwise_cell", "residual_kl", "temperature_per_level"]
