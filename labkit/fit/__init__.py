"""Training: one loop for every model of the course, and the checkpoint that makes it resume."""

from labkit.fit.callbacks import Callback, at, every
from labkit.fit.interrupt import Interrupted
from labkit.fit.loop import Batches, FitResult, TrainingDiverged, fit
from labkit.fit.step import Update

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
