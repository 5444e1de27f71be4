"""Training: one loop for every model of the course, and the checkpoint that makes it resume."""

from labkit.training.callbacks import Callback, at, every
from labkit.training.fit import Batches, FitResult, TrainingDiverged, fit
from labkit.training.interrupt import Interrupted
from labkit.training.step import Update

__all__ = [
    "Batches",
    "Callback",
    "FitResult",
    "Interrupted",
    "TrainingDiverged",
    "Update",
    "at",
    "every",
    "fit",
]
