"""The world of drawn faces: factors, people, attributes, and the sets that stand in for photographs."""

from labkit.drawn.factors import FACTORS, sample_factors
from labkit.drawn.grid import FactorGrid, grid_faces
from labkit.drawn.portraits import synthetic_celeba
from labkit.drawn.renderer import render
from labkit.drawn.shots import more_people, synthetic_olivetti
