"""Checks and claims of lab 01's exercises (parts a and b)."""

from labkit.labs.lab01.affine import coupling
from labkit.labs.lab01.claims import A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, B1, B2, B3
from labkit.labs.lab01.counts import pca_components
from labkit.labs.lab01.loop import training_loop
from labkit.labs.lab01.people import interval_over_people
from labkit.labs.lab01.walks import interpolation
