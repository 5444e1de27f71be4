"""Checks of lab 07's exercises, and its claims."""

from labkit.labs.lab07.claims import F1, F2, F3, F4, F5, F6
from labkit.labs.lab07.energy import energy_distance
from labkit.labs.lab07.guidance import guided_velocity
from labkit.labs.lab07.likelihood import likelihood
from labkit.labs.lab07.loss import regression
from labkit.labs.lab07.path import straight_path
from labkit.labs.lab07.solvers import solvers
from labkit.labs.lab07.waves import time_waves
