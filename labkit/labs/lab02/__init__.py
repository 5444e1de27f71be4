"""Checks of lab 02's exercises."""

from labkit.labs.lab02.people import person_split
from labkit.labs.lab02.relations import phi_matrix

__all__ = ["person_split", "phi_matrix"]
