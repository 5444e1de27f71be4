"""A sweep of seven small models that can be killed: `sweep_job.py FOLDER SECONDS_PER_EPOCH`.

Each epoch that is trained adds a line "config seed epoch" to FOLDER/calls.txt.
"""

import sys
import time
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from labkit.faces.batches import ResidentBatches
from labkit.fit import Update, checkpoint, every, fit, grid_sweep

SIZES = (2, 3, 4, 5, 6, 7, 8)
EPOCHS = 4


def train(size: int, seed: int, run_dir: Path, folder: Path, seconds: float) -> float:
    """Mean size of the weights of a linear layer that was trained on noise."""
    torch.manual_seed(seed)
    model = nn.Linear(size, size)

    def note(model: nn.Module, epoch: int) -> None:
        with open(folder / "calls.txt", "a") as log:
            print(size, seed, epoch, file=log, flush=True)
        time.sleep(seconds)

    fit(
        model,
        Update("loss", lambda model, x: (model(x) - x).square().mean(), torch.optim.Adam(model.parameters(), 0.1)),
        ResidentBatches(torch.randn(20, size), batch_size=5, seed=seed),
        epochs=EPOCHS,
        callbacks=[every(1, note)],
        seed=seed,
        run_dir=run_dir,
        checkpoint_seconds=0.0,
        progress=False,
    )
    return model.weight.abs().mean().item()


def sweep(folder: Path, seconds: float = 0.0) -> pd.DataFrame:
    """The seven models, one seed."""

    def train_one(config: dict, seed: int, run_dir: Path) -> dict[str, float]:
        return {"weight": train(config["size"], seed, run_dir, folder, seconds)}

    return grid_sweep([{"size": size} for size in SIZES], train_one, folder, [0], progress=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    checkpoint.WRITING_SHARE = 0.5  # these epochs are so short that few would meet a checkpoint
    sweep(Path(sys.argv[1]), float(sys.argv[2]))
