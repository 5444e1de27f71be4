"""Checks of lab 05's exercises (parts a and b)."""

from labkit.labs.lab05.differences import difference_points
from labkit.labs.lab05.parts import kl_in_three

__all__ = ["difference_points", "kl_in_three"]
