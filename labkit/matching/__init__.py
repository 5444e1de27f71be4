"""Flow matching: a velocity field learnt by regression, whose flow carries noise to data (lab 07)."""

from labkit.matching.density import divergence, gaussian_log_prob, hutchinson, log_prob
from labkit.matching.gaussian import GaussianVelocity
from labkit.matching.guidance import guided
from labkit.matching.measures import bend
from labkit.matching.nets import CodeConfig, CodeFlow, build_code_flow
from labkit.matching.path import independent, optimal, path
from labkit.matching.solvers import euler, grid, heun, trajectory
from labkit.matching.training import matching_loss, update
from labkit.matching.unet import PixelConfig, PixelFlow
