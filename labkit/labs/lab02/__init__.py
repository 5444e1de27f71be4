"""Checks and claims of lab 02's exercises."""

from labkit.labs.lab02.claims import C1, C2
from labkit.labs.lab02.people import person_split
from labkit.labs.lab02.precision import average_precision
from labkit.labs.lab02.relations import phi_matrix
