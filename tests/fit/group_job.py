"""A run for several processes: `torchrun … group_job.py RUN_DIR OUT EPOCHS [ACCIDENT RANK]`.

The accident befalls that process: it is "lost" or "interrupted" in its ninth loss, "lost looking" in its first
validation, or "odd", with epochs of its own.

Process 0 writes its weights and history to OUT. Nothing in it draws noise, so that any number of processes must give
the same; batch normalisation, two updates, a batch that is not finite and an odd last batch are in it.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit import Update, fit
from labkit.fit.group import join

# Accident, place and how often it was passed.
SIGNALS = {
    ("lost", "loss", 9): "SIGKILL",
    ("interrupted", "loss", 9): "SIGINT",
    ("lost looking", "look", 1): "SIGKILL",
}


def run(run_dir: Path | None, epochs: int, passes=lambda place: None):
    torch.manual_seed(1)
    # No bias before a normalisation: its gradient is rounding error alone, which Adam would make steps of.
    trunk = nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Tanh(), nn.Flatten())
    trunk.append(nn.Linear(24, 5, bias=False))
    model = nn.ModuleDict({"trunk": trunk, "head": nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 1))})
    images = torch.rand(43, 1, 4, 4, dtype=torch.float32)
    images[7, 0, 0, 0] = float("nan")
    targets = torch.nan_to_num(images).sum((1, 2, 3))[:, None]
    batches = ResidentBatches(images, labels=targets, batch_size=8, seed=3)

    def error(model, batch):
        passes("loss")
        x, y = batch
        return (model["head"](model["trunk"](x)) - y).square().mean()

    def smooth(model, batch):
        return model["trunk"](batch[0]).square().mean(), {"size": batch[1].abs().mean()}

    adam = torch.optim.Adam(model["trunk"].parameters(), 1e-2)
    sgd = torch.optim.SGD(model["head"].parameters(), 1e-2, momentum=0.9)
    head_too = torch.optim.SGD(model["trunk"].parameters(), 1e-3)
    updates = [Update("error", error, sgd), Update("body", error, adam), Update("smooth", smooth, head_too)]

    def validate(model):
        passes("look")
        return {"weight": model["head"][1].weight.abs().sum().item()}

    options = {"validate": validate, "watch": "weight"}
    return fit(model, updates, batches, epochs=epochs, run_dir=run_dir, checkpoint_seconds=0.0, clip=1.0, **options)


def be_one_of(place: dict[str, str], said: Path, arguments: Sequence[str]) -> None:
    """Do as the program does, where the environment says `place`; what it says goes to the file `said`."""
    os.environ.update(place)
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    torch.set_num_threads(1)
    main(arguments)


def main(arguments: Sequence[str]) -> None:
    run_dir, out, epochs, *accident = arguments
    rank, passed = int(os.environ.get("RANK", "0")), []
    happens = accident[0] if accident[1:] == [str(rank)] else ""

    def passes(place):
        passed.append(place)
        if len(passed) == 1:
            print(f"first noise of process {rank}: {torch.rand(()).item()}", file=sys.stderr, flush=True)
        if (happens, place, passed.count(place)) in SIGNALS:
            os.kill(os.getpid(), getattr(signal, SIGNALS[happens, place, passed.count(place)]))

    try:
        own = int(epochs) + (happens == "odd")
        result = run(None if run_dir == "-" else Path(run_dir), own, passes)
    except LabkitError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(2)
    if join().leads:
        torch.save({"weights": result.model.state_dict(), "history": result.history.to_dict("list")}, out)


if __name__ == "__main__":
    main(sys.argv[1:])
