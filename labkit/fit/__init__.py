"""Training: one loop for every model of the course, the checkpoint that makes it resume, and sweeps of models."""

from labkit.fit.equal_time import fit_for
from labkit.fit.loop import Batches, Callback, FitResult, TrainingDiverged, at, every, fit, held_out
from labkit.fit.progress import Interrupted
from labkit.fit.step import Update
from labkit.fit.sweep import cell_name, grid_sweep, summary
