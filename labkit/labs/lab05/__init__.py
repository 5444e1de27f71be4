"""Checks and claims of lab 05's exercises (parts a and b)."""

from labkit.labs.lab05.claims import C5, C6, C7, C8, C9
from labkit.labs.lab05.counting import mutual_information
from labkit.labs.lab05.differences import difference_points
from labkit.labs.lab05.matching import match_factors
from labkit.labs.lab05.parts import kl_in_three
