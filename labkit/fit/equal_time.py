"""Training for as long as another model took."""

import math
from collections.abc import Callable
from pathlib import Path

from labkit.fit.checkpoint import trained_epochs
from labkit.fit.loop import FitResult


def fit_for(seconds: float, train: Callable[[int], FitResult], run_dir: str | Path) -> FitResult:
    """What `train(epochs)` returns after as many whole epochs as fit into these seconds, at least one.

    Called again, it goes on from the epochs of the checkpoint in `run_dir`, where `train` is to keep it. The pace is
    measured on the way: each time the training is prolonged by half of what is left, until that is half an epoch.
    """
    epochs = max(1, trained_epochs(run_dir))
    while True:
        result = train(epochs)
        left = (seconds - result.seconds) / (result.seconds / epochs)
        if left <= 0.5:
            return result
        epochs += math.ceil(left / 2)
