"""Checks of lab 01's exercises (parts a and b)."""

from labkit.labs.lab01.affine import coupling
from labkit.labs.lab01.counts import pca_components
from labkit.labs.lab01.loop import training_loop
from labkit.labs.lab01.walks import interpolation

__all__ = ["coupling", "interpolation", "pca_components", "training_loop"]
