"""Checks of lab 01's exercises (parts a and b)."""

from labkit.checks.lab01.affine import coupling
from labkit.checks.lab01.counts import pca_components
from labkit.checks.lab01.loop import training_loop
from labkit.checks.lab01.walks import interpolation

__all__ = ["coupling", "interpolation", "pca_components", "training_loop"]
