"""Training: one loop for every model of the course, the checkpoint that makes it resume, and sweeps of models."""

from labkit.fit.loop import Batches, Callback, FitResult, TrainingDiverged, at, every, fit, held_out
from labkit.fit.progress import Interrupted
from labkit.fit.step import Update
from labkit.fit.sweep import cell_name, grid_sweep, summary

__all__ = [
    "Batches",
    "Callback",
    "FitResult",
    "Interrupted",
    "TrainingDiverged",
    "Update",
    "at",
    "cell_name",
    "every",
    "fit",
    "grid_sweep",
    "held_out",
    "summary",
]
